"""The console script ``wonder-customers``."""

import gc
import sys

__all__ = ["COLLECT_AFTER", "main"]

COLLECT_AFTER = 50_000
"""The number of new objects after which Python searches for reference cycles. Rows have no cycles, so Python's much
lower default slows down a job."""


def main() -> None:
    """Run the command in ``sys.argv`` and exit with its exit code."""
    gc.set_threshold(COLLECT_AFTER)
    # Importing the package takes a moment, and Ctrl-C during that time must not print a traceback.
    try:
        from wonder_customers.cli import main as command  # noqa: PLC0415 - the slow import

        command()
    except KeyboardInterrupt:
        sys.exit(130)  # `exit_codes.INTERRUPTED`, which may not be imported yet
