"""Files that only their owner can read."""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from wonder_customers.bulk.continuation import as_argument
from wonder_customers.errors import ConfigurationError

__all__ = ["check_trusted", "make_private", "new_file_opener", "private_opener", "replace_private", "temporary_beside"]

_IRREPLACEABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY, errno.EXDEV}
"""The errors for a file that can be written but not replaced, such as one that is mounted into a container."""


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


def temporary_beside(target: Path) -> Path:
    """Return the path of a temporary file that replaces `target`. The name of `target` may have the maximum length."""
    return target.with_name(f".{target.name[:40]}.{os.getpid()}")


def replace_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read. If this fails, a new file is removed, and an old file is unchanged."""
    _check_link(path)
    target = path.resolve()
    # Links such as /dev/stdout lead to an open file, which others write to.
    if (target.is_file() and not path.absolute().is_relative_to("/dev")) or not path.exists():
        new = temporary_beside(target)
        try:
            with open(new, "wb", opener=new_file_opener) as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            new.replace(target)
        except OSError as error:
            with suppress(OSError):
                new.unlink(missing_ok=True)
            if error.errno not in _IRREPLACEABLE or not target.is_file():
                raise
        else:
            return
    with open(path, "wb", opener=private_opener) as file:
        file.write(content)


def _check_link(path: Path) -> None:
    """Raise `PermissionError` for a link that another user may have put into a shared folder, such as /tmp."""
    # Linux does not open such links (fs.protected_symlinks), but resolves their paths.
    if path.is_symlink() and hasattr(os, "geteuid"):
        folder, shared = path.parent.stat(), stat.S_ISVTX | stat.S_IWOTH
        if folder.st_mode & shared == shared and path.lstat().st_uid not in {os.geteuid(), folder.st_uid}:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


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
