"""Files that only their owner can read."""

import os
import stat
from pathlib import Path

from wonder_customers.bulk.continuation import as_argument
from wonder_customers.errors import ConfigurationError

__all__ = ["check_trusted", "make_private", "new_file_opener", "private_opener"]


def private_opener(path: str, flags: int) -> int:
    """Open a file, as the ``opener`` of `open`, and limit access to its owner."""
    descriptor = os.open(path, flags, 0o600)
    try:
        status = os.fstat(descriptor)
        if hasattr(os, "fchmod") and stat.S_ISREG(status.st_mode) and status.st_mode & 0o077:
            os.fchmod(descriptor, 0o600)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def new_file_opener(path: str, flags: int) -> int:
    """Create a temporary file like `private_opener`. In a shared folder, another user could have put a link there."""
    Path(path).unlink(missing_ok=True)
    return private_opener(path, flags | os.O_EXCL)


def make_private(path: Path) -> None:
    """Create a missing file, and limit access to its owner."""
    target = path.resolve()
    try:
        os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    # An existing file is not opened, because closing it would release the locks that SQLite holds on it.
    except FileExistsError:
        if target.stat().st_mode & 0o077:
            target.chmod(0o600)


def check_trusted(path: Path, *, secret: bool = False) -> None:
    """Raise `ConfigurationError` if another user can have written a file, or can read a secret file."""
    if not hasattr(os, "geteuid"):
        return
    try:
        status = path.stat()
    except FileNotFoundError:  # SQLite removes its files beside a database whenever the last connection is closed
        return
    if status.st_uid != os.geteuid():
        raise ConfigurationError(f"{path} belongs to another user, who can change it. Use a file that you own.")
    if not stat.S_ISREG(status.st_mode):
        raise ConfigurationError(f"{path} is not a regular file. Give the path of a regular file.")
    if status.st_mode & (0o077 if secret else 0o022):
        what = "read or change" if secret else "change"
        raise ConfigurationError(
            f"other users can {what} {path}. If you trust its contents, run: chmod 600 {as_argument(path)}"
        )
