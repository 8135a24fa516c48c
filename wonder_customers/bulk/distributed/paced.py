"""A moment of its own for every request, not only for every row.

A row takes one request or more, and the later ones follow whenever the gateway has answered. When it answers late, many
rows go on at once; so with a limit that holds for every second, each request waits for its own moment where it leaves.
"""

from contextvars import ContextVar
from typing import Any

import anyio
from attrs import define

from wonder_customers.bulk.pace import Halted, Limiter
from wonder_customers.wire import HttpResponse, SignedRequest, Transmission, Transport, TransportError

__all__ = ["PacedTransport", "PerRequest"]

LONGEST = 5.0
"""Seconds that a request may wait for its moment once it is signed: a signature grows old."""

_paid: ContextVar[list[bool]] = ContextVar("wonder_customers_paid")
"""Whether the row's task has waited for the next request's moment already."""


@define(eq=False)
class PerRequest:
    """A limiter for jobs whose session has a `PacedTransport`: a row waits for its first request only.

    Attributes:
        limiter: Says when requests may go.
    """

    limiter: Limiter

    async def take(self, requests: int) -> None:
        """Wait until a row may begin; its later requests wait by themselves."""
        await self.limiter.take(1)
        _paid.set([True])


class PacedTransport:
    """Sends each request at a moment of its own.

    Args:
        transport: Carries the requests.
        limits: Says when.
    """

    ends_in_time = False

    def __init__(self, transport: Transport, limits: PerRequest) -> None:
        self._transport, self._limits = transport, limits

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    async def send(self, signed_request: SignedRequest, transmission: Transmission) -> HttpResponse:
        """Wait for the moment, unless the row has done so, and send.

        Raises:
            TransportError: There was no moment in time, or the transport failed.
        """
        paid = _paid.get(None)
        if paid:
            paid.clear()
        else:
            await self._moment()
        return await self._transport.send(signed_request, transmission)

    async def _moment(self) -> None:
        with anyio.move_on_after(LONGEST) as scope:
            try:
                await self._limits.limiter.take(1)
            except Halted:
                raise TransportError("somebody else has these rows now") from None
        if scope.cancelled_caught:
            raise TransportError(f"the rate's limiter gave it no moment within {LONGEST:g} s")

    async def aclose(self) -> None:
        """Close every connection."""
        await self._transport.aclose()
