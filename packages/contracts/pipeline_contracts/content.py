"""The content hash: two records with one key and one hash are a repeat, with two hashes they are versions."""

import hashlib

import msgspec

HASH_BYTES = 16
_decoder = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder(order="sorted")


def canonical_json(value: bytes) -> bytes:
    """The value parsed and written again without white space, keys sorted; a value that is not JSON as it is."""
    try:
        return _encoder.encode(_decoder.decode(value))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return value


def content_hash(value: bytes | None) -> str:
    """BLAKE2b-128 of the canonical JSON, as 32 hexadecimal digits. A tombstone (None) counts as ``null``."""
    canonical = b"null" if value is None else canonical_json(value)
    return hashlib.blake2b(canonical, digest_size=HASH_BYTES).hexdigest()
