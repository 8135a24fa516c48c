"""Keyed digests, which show whether a row has changed.

A plain hash of an e-mail address or telephone number can be reversed by trying all values.
"""

import hmac
import os
import re
import secrets
from contextlib import suppress
from functools import cache
from hashlib import blake2b, scrypt, sha256
from os import environ
from pathlib import Path
from typing import Any

import orjson

from wonder_customers.bulk.private_files import check_trusted, new_file_opener
from wonder_customers.dialects.base import Account
from wonder_customers.dialects.provided_secrets import ProvidedSecret
from wonder_customers.errors import ConfigurationError
from wonder_customers.secret import Secret, secrets_of

__all__ = ["Digests", "account_mark", "key_mark", "key_of", "merchant_of"]

VARIABLE = "WONDER_CUSTOMERS_SYNC_KEY"
_SORTED = orjson.OPT_SORT_KEYS


class Digests:
    """Computes digests with one key.

    Attributes:
        key: The secret key.
    """

    def __init__(self, key: bytes) -> None:
        self.key: bytes = key
        # These objects are copied, which takes half the time of making new ones. Keyed BLAKE2 (RFC 7693) is as strong
        # as HMAC-SHA256 and faster.
        self._row = blake2b(digest_size=16, key=sha256(b"row" + key).digest())
        self._payload = hmac.new(key, digestmod="sha256")

    def row(self, raw_values: bytes) -> bytes:
        """Return the digest of the bytes of a row's raw values."""
        digest = self._row.copy()
        digest.update(raw_values)
        return digest.digest()

    def running(self) -> "blake2b":
        """Return a new keyed hash object, as in `hashlib`."""
        return self._row.copy()

    def payload(self, payload: dict[str, Any]) -> bytes:
        """Return the digest of a request body."""
        digest = self._payload.copy()
        digest.update(orjson.dumps(payload, option=_SORTED))
        return digest.digest()[:16]


def key_mark(digests: Digests) -> bytes:
    """Return a digest that identifies the key."""
    return digests.payload({"": "the key of this journal"})


def merchant_of(account: Account) -> list[str]:
    """Return what identifies an account's merchant: its id, or its secrets. The list is empty if it is not known."""
    merchant = account.dialect().merchant
    held: list[Any] = list(secrets_of(account)) if merchant is None else [merchant]
    # The value of a secret that a function returns is not known, and may change.
    known = [it for it in held if not isinstance(it, ProvidedSecret)]
    return [it.reveal() if isinstance(it, Secret) else str(it) for it in known]


def account_mark(account: Account, digests: Digests) -> str | None:
    """Return a digest that identifies an account's merchant; None if the merchant is not known."""
    merchant = merchant_of(account)
    return digests.payload({"account": merchant}).hex() if merchant else None


def key_of(journal: Path, *, make: bool = True) -> bytes:
    """Return the key of a journal. If `make` is true, create a key for a new journal.

    Raises:
        ConfigurationError: The journal has no usable key.
    """
    named = environ.get(VARIABLE)
    if named is not None:
        if len(named) < 16:
            raise ConfigurationError(f"{VARIABLE} must have at least 16 characters. Set a longer value.")
        return _derived(named)
    path = _key_file(journal)
    if not path.exists():
        if not make:
            raise ConfigurationError(
                f"this worker does not have the key of the journal {journal}. This worker sent nothing. If the journal"
                f" was created with {VARIABLE}, set the same value for all workers; otherwise give them"
                f" access to {path}."
            )
        if journal.exists():
            raise ConfigurationError(
                f"the key file {path.name} of the journal {journal} is missing. Restore the key file. If the key was"
                f" in the environment, set {VARIABLE}. If the key is lost, start a new journal."
            )
        _create_key(path)
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii"))
    except ValueError:
        key = b""
    if len(key) != 32:
        raise ConfigurationError(
            f"{path} does not contain a key. Restore the file. If the key is lost, use another file as the journal."
        )
    check_trusted(path, secret=True)
    return key


@cache
def _derived(named: str) -> bytes:
    """Derive the key from the value of the environment variable."""
    if re.fullmatch(r"[0-9a-fA-F]{64}", named):
        return bytes.fromhex(named)
    # A password can be guessed; scrypt (RFC 7914) makes each guess expensive.
    # The salt is constant, because all processes and machines must derive the same key without shared state.
    return scrypt(named.encode(), salt=b"wonder-customers journal key", n=2**14, r=8, p=1, dklen=32)


def _key_file(journal: Path) -> Path:
    """Return the path of a journal's key file."""
    beside = journal.with_name(journal.name + ".key")
    target = journal.resolve()
    # A link without its own key file uses the key of its target.
    return beside if beside.exists() else target.with_name(target.name + ".key")


def _create_key(path: Path) -> None:
    # A complete file is linked, so that a crash does not leave a part of a key.
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        with open(temporary, "w", encoding="ascii", opener=new_file_opener) as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
        # If another process creates the key at the same time, its key is used.
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk, if the system supports it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # Windows
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
