"""Around the imports of packages that an extra brings: who has not installed them is told how to."""

from collections.abc import Iterator
from contextlib import contextmanager

from wonder_customers.errors import MissingExtraError

__all__ = ["needed"]


@contextmanager
def needed(extra: str, *packages: str, by: str) -> Iterator[None]:
    """Around the imports of an extra's packages.

    Args:
        extra: The extra.
        *packages: The names under which its packages are imported.
        by: What needs them.

    Raises:
        MissingExtraError: One of them is not installed. Whatever else is missing is told as Python tells it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in packages:
            raise
        raise MissingExtraError(by, [package], extra) from None
