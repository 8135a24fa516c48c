"""Exit codes of all commands."""

from typing import Final

__all__ = ["BROKEN_PIPE", "FAILED", "INTERRUPTED", "SIGNALLED", "STOPPED", "SUCCESS", "USAGE"]

SUCCESS: Final = 0
USAGE: Final = 1
"""Any other failure, such as wrong usage, missing settings, a file error, or a mismatch in the demo."""
FAILED: Final = 2
"""A call or a job failed, or the result contains failures, such as failed rows, failed checks or differences."""
STOPPED: Final = 3
"""A job stopped early or did not start, for example because of refused credentials, an outage or a full disk."""
INTERRUPTED: Final = 130
"""Interrupted by Ctrl-C, or a job was stopped by a signal; the number that shells use for Ctrl-C."""
BROKEN_PIPE: Final = 141
"""The reader of standard output closed it; the number that shells use."""
SIGNALLED: Final = 128
"""Added to the number of the signal that ended a command, as shells do."""
