"""The command line: ``wonder-customers``.

The script comes to ``main`` through ``wonder_customers_cli``, which is installed beside the package. It stays
importable without the packages of the extra ``cli``, so that a person who has not installed them is told how to, and
not shown a traceback.
"""

import sys
from importlib.util import find_spec

from wonder_customers.cli.codes import INTERRUPTED
from wonder_customers.errors import MissingExtraError

__all__ = ["main"]

_NEEDED = ("cyclopts", "rich", "starlette", "uvicorn")


def main() -> None:
    """Run the command in ``sys.argv`` and leave with its exit code.

    0: done; 1: wrong usage or settings; 2: a call failed; 130: interrupted from the keyboard.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        sys.stderr.write(f"wonder-customers: {MissingExtraError('the command line', missing, 'cli')}\n")
        sys.exit(1)
    try:
        from wonder_customers.cli.app import run  # noqa: PLC0415 - it needs the packages that were just looked for
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    sys.exit(run(sys.argv[1:]))
