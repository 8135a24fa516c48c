"""The command ``wonder-customers``, from its first line on.

It stands beside the package once it is installed: to import anything of the package takes a moment, and whoever presses
Ctrl-C in it shall not be shown a traceback.
"""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command in ``sys.argv``, and leave with its exit code: see `wonder_customers.cli.main`."""
    try:
        from wonder_customers.cli import main as command  # noqa: PLC0415 - this is what takes a moment

        command()
    except KeyboardInterrupt:
        sys.exit(130)  # `codes.INTERRUPTED`, which may not have been loaded
