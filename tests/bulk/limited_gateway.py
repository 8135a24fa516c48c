"""A simulated gateway with a rate limit."""

import time
from typing import ClassVar

from wonder_customers.dialects.wonder.simulator import WonderSimulator
from wonder_customers.simulator.gateway import GatewayRefusal, ReceivedRequest


class LimitedWonder(WonderSimulator):
    """Wonder with a limit of 200 requests per second and a burst of 20."""

    tokens, last = 20.0, 0.0
    taken: ClassVar[list[float]] = []
    refused = 0

    def authenticate(self, request: ReceivedRequest) -> str:
        """Refuse requests over the limit."""
        now, mine = time.monotonic(), LimitedWonder
        mine.tokens, mine.last = min(20.0, mine.tokens + (now - mine.last) * 200), now
        if mine.tokens < 1:
            mine.refused += 1
            raise GatewayRefusal(429, {"message": "Too Many Requests"}, {"Retry-After": "1"})
        mine.tokens -= 1
        mine.taken.append(now)
        return super().authenticate(request)
