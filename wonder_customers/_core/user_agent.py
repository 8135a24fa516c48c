"""The ``User-Agent`` header."""

import sys

from wonder_customers._support.installed_version import installed_version
from wonder_customers.transports.network import running_on_asyncio
from wonder_customers.wire import Header


def user_agent(app_info: str | None) -> Header:
    """Return the header for requests on the running event loop."""
    loop = "asyncio" if running_on_asyncio() else "trio"
    version = installed_version()
    library = "wonder-customers" if version is None else f"wonder-customers/{version}"
    product = f"{library} (Python/{sys.version_info.major}.{sys.version_info.minor}; {loop})"
    return b"User-Agent", (product if app_info is None else f"{product} {app_info}").encode("ascii")
