"""Unpacks compressed files, which are recognised by their first bytes."""

import gzip
import io
import sys
import zlib
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, cast

from wonder_customers.errors import MissingExtraError

__all__ = ["unpacked", "unreadable"]


def unpacked(path: Path, raw: BinaryIO) -> BinaryIO:
    """Return the file's contents.

    Raises:
        MissingExtraError: It needs an extra.
    """
    magic = raw.read(4)
    raw.seek(0)
    if magic.startswith(b"\x1f\x8b"):
        return cast("BinaryIO", gzip.GzipFile(fileobj=raw))
    if magic == b"\x28\xb5\x2f\xfd":
        return _zstd(path, raw)
    return raw


def unreadable() -> tuple[type[Exception], ...]:
    """Return the exceptions of unreadable files; zstd's exception is known only if its module was imported."""
    loaded = [module for name in ("compression.zstd", "zstandard") if (module := sys.modules.get(name)) is not None]
    return (OSError, EOFError, zlib.error, *(module.ZstdError for module in loaded))


def _zstd(path: Path, raw: BinaryIO) -> BinaryIO:
    for module, name in (("compression.zstd", "ZstdFile"), ("zstandard", "open")):
        try:
            opener: Any = getattr(import_module(module), name)
        except ImportError:
            continue
        return io.BufferedReader(opener(raw, "rb"))
    raise MissingExtraError(path.name, ["zstandard"], "zstd")
