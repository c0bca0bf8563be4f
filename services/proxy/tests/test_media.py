import pytest
from ingest_proxy.errors import NotAcceptableError, UnsupportedMediaTypeError
from ingest_proxy.media import answer_type, body_format

V2 = "application/vnd.kafka.v2+json"


@pytest.mark.parametrize(
    ("content_type", "embedded"),
    [
        ("application/vnd.kafka.json.v2+json", "json"),
        ("application/vnd.kafka.json.v2+json; charset=UTF-8", "json"),
        ("Application/VND.Kafka.JSON+json", "json"),
        ("application/vnd.kafka.binary.v2+json", "binary"),
        ("application/vnd.kafka.v2+json", "binary"),
        ("application/vnd.kafka+json", "binary"),
        ("application/json", "binary"),
        ("application/vnd.kafka.avro.v2+json", "schema"),
        ("application/vnd.kafka.jsonschema+json", "schema"),
    ],
)
def test_formats(content_type: str, embedded: str) -> None:
    assert body_format(content_type) == embedded


@pytest.mark.parametrize(
    "content_type", [None, "", "text/plain", "application/vnd.kafka.json.v3+json", "application/json; charset=latin-1"]
)
def test_other_types_are_refused(content_type: str | None) -> None:
    with pytest.raises(UnsupportedMediaTypeError):
        body_format(content_type)


@pytest.mark.parametrize(
    ("accept", "answer"),
    [
        (None, V2),
        ("*/*", V2),
        ("application/*;q=0.1", V2),
        ("application/json", "application/json"),
        ("application/vnd.kafka.v2+json; q=0.5, application/json; q=0.9", "application/json"),
        ("text/html, application/vnd.kafka+json;q=0.3", "application/vnd.kafka+json"),
        ("*/*, application/vnd.kafka.v2+json;q=0", "application/vnd.kafka+json"),
        ("application/json;q=nonsense, application/vnd.kafka.v2+json;q=0.1", V2),
        (", ".join(["text/plain"] * 100 + [V2]), V2),
    ],
)
def test_accept(accept: str | None, answer: str) -> None:
    assert answer_type(accept) == answer


@pytest.mark.parametrize("accept", ["text/plain", "application/json;q=0", "application/xml, text/*", ";", ","])
def test_not_acceptable(accept: str) -> None:
    with pytest.raises(NotAcceptableError):
        answer_type(accept)
