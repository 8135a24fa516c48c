"""The headers of a response that describe a rate limit."""

import re
from collections.abc import Mapping
from typing import Final

_NAME: Final = re.compile(r"(x-)?rate-?limit(-[a-z0-9-]+)?|retry-after(-ms)?")
_LONGEST: Final = 200


def rate_limit_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers about rate limits, such as ``retry-after``."""
    return {name: value[:_LONGEST] for name, value in headers.items() if _NAME.fullmatch(name) and value.isprintable()}
