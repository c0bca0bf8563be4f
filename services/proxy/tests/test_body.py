import io

import pytest
from ingest_proxy import body
from ingest_proxy.body import read_body
from ingest_proxy.errors import BadRequestError, TooLargeError, UnsupportedMediaTypeError


class Unreadable(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        raise AssertionError("must not be read")


class Endless(io.BytesIO):
    longest = 0
    reads = 0

    def read(self, size: int | None = -1) -> bytes:
        assert size is not None
        assert size >= 0, "the rest at once"
        self.longest = max(self.longest, size)
        self.reads += 1
        return b"x" * size


def test_an_announced_length_over_the_limit_is_discarded_in_pieces() -> None:
    sent = Endless()
    with pytest.raises(TooLargeError, match="11 bytes; at most 10"):
        read_body({"wsgi.input": sent, "CONTENT_LENGTH": "11"}, 10)
    assert sent.longest <= 65_536


def test_a_sender_too_slow_to_wait_for_is_answered_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "_PIECE_S", 0)
    sent = Endless()
    with pytest.raises(TooLargeError):
        read_body({"wsgi.input": sent, "CONTENT_LENGTH": "11"}, 10)
    assert sent.reads == 1


def test_an_unannounced_body_is_read_up_to_the_limit() -> None:
    with pytest.raises(TooLargeError, match="more than 10 bytes"):
        read_body({"wsgi.input": Endless()}, 10)
    assert read_body({"wsgi.input": io.BytesIO(b"x" * 10)}, 10) == b"x" * 10


def test_a_body_that_was_cut_off() -> None:
    with pytest.raises(BadRequestError, match="ended after 3 of 5 bytes"):
        read_body({"wsgi.input": io.BytesIO(b"abc"), "CONTENT_LENGTH": "5"}, 10)


def test_a_compressed_body() -> None:
    with pytest.raises(UnsupportedMediaTypeError, match="gzip"):
        read_body({"wsgi.input": Unreadable(), "HTTP_CONTENT_ENCODING": "gzip"}, 10)


@pytest.mark.parametrize("coding", ["identity", "Identity", " IDENTITY ", "identity, identity", ""])
def test_a_coding_that_changes_nothing_is_read(coding: str) -> None:
    assert read_body({"wsgi.input": io.BytesIO(b"x"), "HTTP_CONTENT_ENCODING": coding}, 10) == b"x"


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "identity, gzip", "br"])
def test_a_compressed_body_is_refused(coding: str) -> None:
    with pytest.raises(UnsupportedMediaTypeError, match="is not read here"):
        read_body({"wsgi.input": Unreadable(), "HTTP_CONTENT_ENCODING": coding}, 10)
