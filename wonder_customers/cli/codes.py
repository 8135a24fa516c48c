"""The exit codes, as every command uses them."""

from typing import Final

__all__ = ["BROKEN_PIPE", "DONE", "FAILED", "INTERRUPTED", "SIGNALLED", "USAGE"]

DONE: Final = 0
USAGE: Final = 1
"""Wrong usage, missing settings, a record that cannot be sent; for the demo: something does not match."""
FAILED: Final = 2
"""A call failed."""
INTERRUPTED: Final = 130
"""Ctrl-C, as shells number it."""
BROKEN_PIPE: Final = 141
"""The reader of the output has gone, as shells number it."""
SIGNALLED: Final = 128
"""Added to the number of the signal that ended a command, as shells do."""
