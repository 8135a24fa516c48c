"""Marks that choose the event loops of a test; without one, an asynchronous test runs on asyncio and on trio."""

import pytest

ASYNCIO_ONLY = pytest.mark.parametrize("anyio_backend", ["asyncio"])
"""For behaviour of asyncio, and for code that runs on asyncio only."""

TRIO_IN_LONG_TESTS = pytest.mark.parametrize("anyio_backend", ["asyncio", pytest.param("trio", marks=pytest.mark.long)])
"""For slow tests whose code under test does not depend on the event loop."""
