"""Unpacks compressed files."""

import gzip
import io
import sys
import zlib
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, Final

from wonder_customers.errors import ConfigurationError, MissingExtraError

__all__ = ["largest", "read_error", "too_large", "unpacked", "unreadable"]

LONGEST_LINE: Final = 32 << 20
"""The maximum length in bytes of a line in a compressed file."""
_RATIO: Final = 100
_SMALLEST: Final = 64 << 20


def unpacked(path: Path, raw: BinaryIO) -> BinaryIO:
    """Return the contents of a file, decompressed if it is a gzip or zstd file."""
    magic = raw.read(4)
    raw.seek(0)
    if magic.startswith(b"\x1f\x8b"):
        return _Lines(_Unpacked(path, gzip.GzipFile(fileobj=raw)))
    if magic == b"\x28\xb5\x2f\xfd":
        return _Lines(_Unpacked(path, _zstd(path, raw)))
    return raw


def largest(path: Path) -> int:
    """Return the number of bytes up to which a compressed file is read."""
    return _SMALLEST + _RATIO * path.stat().st_size


def too_large(path: Path, limit: int, advice: str) -> ConfigurationError:
    """Return the error for a compressed file with more than `limit` bytes."""
    return ConfigurationError(
        f"{path.name} expands to more than {limit >> 20} MB, which is more than {_RATIO} times its size. {advice}"
    )


class _Unpacked(io.RawIOBase):
    """The unpacked bytes of a compressed file, up to a limit."""

    def __init__(self, path: Path, contents: Any) -> None:
        self._contents = contents
        self._limit = largest(path)
        self.path = path

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._contents.read(len(buffer))
        if self._contents.tell() > self._limit:
            raise too_large(self.path, self._limit, "Decompress the file, and use the result as the source.")
        buffer[: len(piece)] = piece
        return len(piece)

    def seek(self, offset: int, whence: int = 0) -> int:
        position: int = self._contents.seek(offset, whence)
        return position

    def tell(self) -> int:
        position: int = self._contents.tell()
        return position

    def close(self) -> None:
        self._contents.close()
        super().close()


class _Lines(io.BufferedReader):
    """The lines of a compressed file, up to a maximum length."""

    raw: _Unpacked

    # Iteration calls this method.
    def readline(self, size: int | None = -1) -> bytes:
        line = super().readline(LONGEST_LINE + 1 if size is None or size < 0 else size)
        if len(line) > LONGEST_LINE:
            raise ConfigurationError(
                f"{self.raw.path.name} has a line of more than {LONGEST_LINE >> 20} MB. Check that the"
                " compressed file is CSV or JSON Lines, with one row per line."
            )
        return line


def unreadable() -> tuple[type[Exception], ...]:
    """Return the exceptions that mean an unreadable file."""
    loaded = [module for name in ("compression.zstd", "zstandard") if (module := sys.modules.get(name)) is not None]
    return (OSError, EOFError, zlib.error, *(module.ZstdError for module in loaded))


def read_error(path: Path, error: Exception) -> ConfigurationError:
    """Return the error for a file that cannot be read."""
    reason = getattr(error, "strerror", None)
    advice = "Check the path and the permissions of the file." if reason else "Save the complete file again."
    return ConfigurationError(f"{path} cannot be read: {reason or error}. {advice}")


def _zstd(path: Path, raw: BinaryIO) -> Any:
    for module, name in (("compression.zstd", "ZstdFile"), ("zstandard", "open")):
        try:
            opener: Any = getattr(import_module(module), name)
        except ImportError:
            continue
        return opener(raw, "rb")
    raise MissingExtraError(path.name, ["zstandard"], "zstd")
