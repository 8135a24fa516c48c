"""The generation of random request ids, and the identity of the current process."""

import os
from typing import Final

_VARIANT: Final = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))


class _Process:
    """The current process."""

    mark: object = object()  # replaced in the child process after a fork; `os.getpid` is a system call

    def renew(self) -> None:
        self.mark = object()


process: Final = _Process()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=process.renew)


class UniqueIds:
    """Generates random UUIDs of version 4."""

    __slots__ = ("_digits", "_process")

    def __init__(self) -> None:
        self._digits, self._process = "", process.mark

    def __call__(self) -> str:
        """Return a random UUID of version 4."""
        if not self._digits or self._process is not process.mark:
            # Read for 32 ids at once, because each system call may release the GIL to another thread.
            self._digits, self._process = os.urandom(1024).hex(), process.mark
        digits, self._digits = self._digits[:32], self._digits[32:]
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{_VARIANT[digits[16]]}{digits[17:20]}-{digits[20:]}"
