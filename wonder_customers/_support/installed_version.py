"""The version of the installed package."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def installed_version() -> str | None:
    """Return the version of this library; None if it is used without being installed."""
    try:
        return version("wonder-customers")
    except PackageNotFoundError:
        return None
