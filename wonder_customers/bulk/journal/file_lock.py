"""A file lock that limits a journal to one process."""

import os
from pathlib import Path

from attrs import define

from wonder_customers.errors import BulkError

try:
    import fcntl

    _LOCKS = True
except ImportError:  # Windows has no such lock; SQLite's own lock protects the file there
    _LOCKS = False

__all__ = ["FileLock"]


@define(eq=False)
class FileLock:
    """An exclusive lock on a file."""

    path: Path
    _descriptor: int | None = None

    def take(self) -> None:
        """Acquire the lock.

        Raises:
            BulkError: The lock cannot be acquired.
        """
        if self._descriptor is not None or not _LOCKS:
            return
        try:
            # A link could refer to a file outside of the journal's folder.
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            reason = (
                f"the lock file {self.path} cannot be used: {error.strerror}. Nothing was sent. Fix the cause, or"
                " use another file as the journal."
            )
            raise BulkError(reason) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise self.in_use() from None
        self._descriptor = descriptor

    def in_use(self) -> BulkError:
        """Return the error for a lock that is held."""
        return BulkError(
            f"another run is using this journal (lock file: {self.path.name}). Nothing was sent or changed. Wait"
            " until the other run ends, or stop it."
        )

    def release(self) -> None:
        """Release the lock."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
