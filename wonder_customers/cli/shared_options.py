"""Options of several commands."""

from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import Parameter, Token
from cyclopts.validators import Number

from wonder_customers.dialects import names

__all__ = ["GATEWAYS", "POSITIVE", "WHOLE", "WORKERS", "Gateway", "Json"]

GATEWAYS = ", ".join(names())
"""The installed gateways, for help texts."""

Gateway = Annotated[str, Parameter(help=f"The gateway: {GATEWAYS}.")]
Json = Annotated[bool, Parameter(help="Print the result as JSON lines.", show_default=False)]


def _whole(_kind: Any, tokens: Sequence[Token]) -> int:
    """Convert the value of an option to an int."""
    # By default, cyclopts would round decimal numbers.
    given = tokens[0].value
    if not given.removeprefix("-").isdecimal():
        raise ValueError(f"{given!r} is not a whole number in digits, such as 20")
    return int(given)


WHOLE = Parameter(converter=_whole, validator=Number(gte=0))
"""For options with a whole number from 0."""
POSITIVE = Parameter(converter=_whole, validator=Number(gte=1))
"""For options with a whole number from 1."""
WORKERS = Parameter(converter=_whole, validator=Number(gte=1, lte=10_000))
"""For the number of workers, each of which may need a connection."""
