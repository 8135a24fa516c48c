"""The rate of accepted requests, for the adaptive rate limit."""

from collections import deque

from attrs import define, field


@define(eq=False)
class RequestMeter:
    """Counts accepted requests per tenth of a second."""

    tenths: "deque[tuple[int, int]]" = field(factory=deque)
    """Pairs of the index of a tenth of a second and the number of requests in it."""

    def count(self, now: float) -> None:
        """Count a request that was accepted at `now`."""
        tenth = int(now * 10)
        if self.tenths and self.tenths[-1][0] == tenth:
            self.tenths[-1] = (tenth, self.tenths[-1][1] + 1)
        else:
            self.tenths.append((tenth, 1))
            while self.tenths[0][0] <= tenth - 300:
                self.tenths.popleft()

    def rate(self, now: float, seconds: float = 1.0) -> float:
        """Return the accepted requests per second over the last `seconds` (30 at most)."""
        first = int(now * 10) - int(seconds * 10)
        total = 0
        for tenth, amount in reversed(self.tenths):
            if tenth <= first:
                break
            total += amount
        return total / seconds
