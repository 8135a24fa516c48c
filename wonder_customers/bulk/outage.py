"""Detects that a gateway processes no request, and why."""

from typing import Any, Final

from attrs import define, field

from wonder_customers._support import clock
from wonder_customers.errors import CallError, GatewayError, NoResponseError
from wonder_customers.retry import Evidence

__all__ = ["Outage", "OutageWatch"]

_PROCESSED: Final = frozenset({Evidence.RESPONSE, Evidence.REJECTED, Evidence.BODY_LOST, Evidence.ABSENT})
_SHORTEST: Final = 1.0
"""Seconds without a processed request from which an outage is reported."""
_MOST_KEPT: Final = 50


@define
class Outage:
    """A time in which the gateway processed no request.

    Attributes:
        began: When the first request failed, on the monotonic clock.
        reason: How the last request ended, such as ``the gateway answers 503`` or ``connection refused``.
        requests: The number of requests that failed.
        seconds: The duration so far.
    """

    began: float
    reason: str = ""
    requests: int = 0
    seconds: float = 0.0

    @property
    def text(self) -> str:
        """The reason and the number of requests."""
        times = "1 time" if self.requests == 1 else f"{self.requests:,} times"
        return f"{self.reason} ({times})"

    def as_dict(self) -> dict[str, Any]:
        """Return the outage as plain data."""
        return {"reason": self.reason, "requests": self.requests, "seconds": round(self.seconds, 1)}


@define(eq=False)
class OutageWatch:
    """Follows how the requests of a job end.

    Attributes:
        past: The outages that ended, without short ones. The first 50.
    """

    past: list[Outage] = field(factory=list, init=False)
    _current: Outage | None = field(default=None, init=False)

    @property
    def lasts(self) -> bool:
        """Whether no request was processed since the last one that failed."""
        return self._current is not None

    @property
    def current(self) -> Outage | None:
        """The outage that lasts; None if a request was processed in the last second, or none was sent."""
        found = self._current
        if found is None:
            return None
        found.seconds = clock.monotonic() - found.began
        return found if found.seconds >= _SHORTEST else None

    def record(self, evidence: Evidence, error: CallError) -> None:
        """Take note of how a request ended. Called for each request, so a processed one must cost little."""
        if evidence in _PROCESSED:
            if self._current is not None:
                self.end()
            return
        if self._current is None:
            self._current = Outage(clock.monotonic())
        self._current.reason = _reason(error)
        self._current.requests += 1

    def end(self) -> None:
        """End the outage, because a request was processed or the job ends."""
        found, self._current = self.current, None
        if found is not None and len(self.past) < _MOST_KEPT:
            self.past.append(found)


def _reason(error: CallError) -> str:
    """Return how a request ended, without the gateway's words."""
    if isinstance(error, GatewayError) and error.status:
        return f"the gateway answers {error.status}"
    if isinstance(error, NoResponseError):
        return "the gateway does not answer"
    # The reason ends with the cause, after the gateway's URL.
    return error.reason.rpartition(": ")[2]
