"""The console script ``wonder-customers``.

This module is installed beside the package. Importing the package takes a moment, and Ctrl-C during that time must not
print a traceback.
"""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command in ``sys.argv`` and exit with its exit code; see `wonder_customers.cli.main`."""
    try:
        from wonder_customers.cli import main as command  # noqa: PLC0415 - the slow import

        command()
    except KeyboardInterrupt:
        sys.exit(130)  # `exit_codes.INTERRUPTED`, which may not be imported yet
