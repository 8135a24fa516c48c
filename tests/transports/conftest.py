"""A transport of each kind."""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import pytest


@pytest.fixture
async def transport(kind: Callable[..., Any]) -> AsyncIterator[Any]:
    """Return a transport of each kind, which is closed after the test."""
    async with aclosing(kind()) as opened:
        yield opened
