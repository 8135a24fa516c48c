"""Exit codes of all commands."""

from typing import Final

__all__ = ["BROKEN_PIPE", "FAILED", "INTERRUPTED", "SIGNALLED", "STOPPED", "SUCCESS", "USAGE"]

SUCCESS: Final = 0
USAGE: Final = 1
"""Wrong usage, missing settings, or a record that cannot be sent. The demo uses it for a mismatch."""
FAILED: Final = 2
"""A call failed, or some rows or checks failed."""
STOPPED: Final = 3
"""A job stopped early, for example because of too many failures, refused credentials, an outage or a full disk."""
INTERRUPTED: Final = 130
"""Interrupted by Ctrl-C; the number that shells use."""
BROKEN_PIPE: Final = 141
"""The reader of standard output closed it; the number that shells use."""
SIGNALLED: Final = 128
"""Added to the number of the signal that ended a command, as shells do."""
