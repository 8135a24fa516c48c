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
    _taken: bool = False

    def take(self) -> None:
        """Acquire the lock, or raise `BulkError`."""
        if self._taken:
            raise self._in_use()
        if _LOCKS:
            self._descriptor = self._locked()
        self._taken = True

    def _locked(self) -> int:
        try:
            # A link could refer to a file outside of the journal's folder.
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise BulkError(
                f"the lock file {self.path} cannot be used: {error.strerror}. Nothing was sent. Fix the cause, or"
                " use another file as the journal."
            ) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise self._in_use() from None
        return descriptor

    def _in_use(self) -> BulkError:
        return BulkError(
            f"another run is using this journal (lock file: {self.path.name}). Nothing was sent or changed. Wait"
            " until the other run ends, or stop it."
        )

    def release(self) -> None:
        """Release the lock."""
        descriptor, self._descriptor, self._taken = self._descriptor, None, False
        if descriptor is not None:
            os.close(descriptor)
