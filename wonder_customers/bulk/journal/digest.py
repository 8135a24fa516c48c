"""Keyed digests: whether a row changed since the gateway took it, without keeping the row.

A plain hash of an e-mail or a phone number is found again by trying them all, so digests are HMACs under a key that
stays with the user: in a file beside the journal, or in the environment variable ``WONDER_CUSTOMERS_SYNC_KEY``.
"""

import hmac
import os
import secrets
from contextlib import suppress
from hashlib import blake2b, sha256
from os import environ
from pathlib import Path
from typing import Any

import orjson
from attrs import field, frozen

from wonder_customers.errors import ConfigurationError

__all__ = ["Digests", "key_mark", "key_of"]

VARIABLE = "WONDER_CUSTOMERS_SYNC_KEY"
_SORTED = orjson.OPT_SORT_KEYS


@frozen
class Digests:
    """Makes digests under one key.

    Attributes:
        key: The secret key.
    """

    key: bytes = field(repr=False)
    _short: bytes = field(init=False, repr=False)

    @_short.default
    def _hashed(self) -> bytes:
        return sha256(b"row" + self.key).digest()

    def row(self, material: bytes) -> bytes:
        """The digest of a row's raw values and the meaning of their columns."""
        # Keyed BLAKE2 (RFC 7693) is what HMAC-SHA256 is, at a third of the time: it is asked for every row of a source.
        return blake2b(material, digest_size=16, key=self._short).digest()

    def payload(self, payload: dict[str, Any]) -> bytes:
        """The digest of what would be sent."""
        return hmac.digest(self.key, orjson.dumps(payload, option=_SORTED), "sha256")[:16]


def key_mark(digests: Digests) -> bytes:
    """Something that only who has the key can make, and from which nobody can find the key."""
    return digests.payload({"": "the key of this journal"})


def key_of(journal: Path, *, make: bool = True) -> bytes:
    """The key of a journal; made and kept beside it (readable by its owner only) when there is none.

    Args:
        journal: The journal's file.
        make: Make a key when there is none.

    Raises:
        ConfigurationError: The key in the environment is shorter than 16 characters, the file holds no key, or a
            journal is there without its key.
    """
    named = environ.get(VARIABLE)
    if named is not None:
        if len(named) < 16:
            raise ConfigurationError(f"{VARIABLE} must have at least 16 characters")
        return named.encode()
    path = journal.with_name(journal.name + ".key")
    if not path.exists():
        if not make:
            raise ConfigurationError(
                f"this process has not the key of {journal}: set {VARIABLE} in the environment of all workers, or let"
                f" them read {path}"
            )
        if journal.exists():
            raise ConfigurationError(
                f"{journal} is there without its key {path.name}: restore it, or start a new journal"
            )
        # Another process may be making it just now; then its key is the one.
        with suppress(FileExistsError):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(32))
    key = path.read_text(encoding="ascii").strip()
    if len(key) != 64:
        raise ConfigurationError(f"{path} holds no key: restore it, or delete it together with the journal")
    return bytes.fromhex(key)
