"""The command line: ``wonder-customers``."""

import sys
from importlib.util import find_spec

from wonder_customers.cli.exit_codes import INTERRUPTED
from wonder_customers.errors import MissingExtraError

__all__ = ["main"]

_REQUIRED = ("cyclopts", "rich", "starlette", "uvicorn")


def main() -> None:
    """Run the command in ``sys.argv`` and exit with its exit code."""
    missing = [name for name in _REQUIRED if find_spec(name) is None]
    if missing:
        sys.stderr.write(f"wonder-customers: {MissingExtraError('the command line', missing, 'cli')}\n")
        sys.exit(1)
    try:
        from wonder_customers.cli.app import run  # noqa: PLC0415 - it imports the packages checked above
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    sys.exit(run(sys.argv[1:]))
