"""The ``User-Agent`` header."""

import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from wonder_customers.transports.network import running_on_asyncio
from wonder_customers.wire import Header

__all__ = ["user_agent"]


def user_agent(app_info: str | None) -> Header:
    """Return the header for requests on the running event loop."""
    loop = "asyncio" if running_on_asyncio() else "trio"
    product = f"{_library()} (Python/{sys.version_info.major}.{sys.version_info.minor}; {loop})"
    return b"User-Agent", (product if app_info is None else f"{product} {app_info}").encode("ascii")


@cache
def _library() -> str:
    """Return the library's name, with its version if known."""
    try:
        return f"wonder-customers/{version('wonder-customers')}"
    except PackageNotFoundError:  # the package is used without being installed
        return "wonder-customers"
