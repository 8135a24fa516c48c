"""Detects outages of the gateway."""

from typing import Any, Final

from attrs import define, field

from wonder_customers._support import clock
from wonder_customers._support.counted import counted
from wonder_customers.bulk.stats import RequestStats
from wonder_customers.errors import CallError, GatewayError, NoResponseError
from wonder_customers.retry import Evidence

__all__ = ["Outage", "OutageWatch"]

_PROCESSED: Final = frozenset(
    {Evidence.RESPONSE, Evidence.UNREADABLE, Evidence.REJECTED, Evidence.BODY_LOST, Evidence.ABSENT}
)
_SHORTEST: Final = 1.0
"""The minimum duration in seconds of an outage that is reported."""
_MOST_KEPT: Final = 50


@define
class Outage:
    """A period in which the gateway processed no request.

    Attributes:
        began: The time of the first failed request, on the monotonic clock.
        reason: The result of the last failed request, such as ``the gateway responds with 503``.
        requests: The number of requests that failed.
        seconds: The duration so far.
    """

    began: float
    reason: str = ""
    requests: int = 0
    seconds: float = 0.0

    @property
    def text(self) -> str:
        """The reason and the number of requests, for messages."""
        times = counted(self.requests, "time", "times")
        return f"{self.reason} ({times})"

    def as_dict(self) -> dict[str, Any]:
        """Return the outage as plain data."""
        return {"reason": self.reason, "requests": self.requests, "seconds": round(self.seconds, 1)}


@define(eq=False)
class OutageWatch:
    """Counts a job's requests, and detects outages from their results.

    Attributes:
        requests: The counts.
        past: The reported outages that have ended.
    """

    requests: RequestStats = field(factory=RequestStats)
    past: list[Outage] = field(factory=list, init=False)
    _current: Outage | None = field(default=None, init=False)

    @property
    def lasts(self) -> bool:
        """Whether a request has failed and none has been processed since."""
        return self._current is not None

    @property
    def current(self) -> Outage | None:
        """The current outage; None if it is too short to be reported."""
        found = self._current
        if found is None:
            return None
        found.seconds = clock.monotonic() - found.began
        return found if found.seconds >= _SHORTEST else None

    def record(self, evidence: Evidence, error: CallError, permitted: bool = True) -> None:
        """Record the result of a request. Without a permit, it was not sent and is not counted."""
        self.requests.issued += permitted
        if evidence is Evidence.RESPONSE and self._current is None:
            return  # most requests
        if evidence in _PROCESSED:
            self.end()
            return
        throttled = evidence is Evidence.THROTTLED
        self.requests.throttled += throttled
        self.requests.failed += permitted and not throttled
        if self._current is None:
            self._current = Outage(clock.monotonic())
        self._current.reason = _reason(error)
        self._current.requests += 1

    def end(self) -> None:
        """End the current outage."""
        found, self._current = self.current, None
        if found is not None and len(self.past) < _MOST_KEPT:
            self.past.append(found)


def _reason(error: CallError) -> str:
    """Return the result of a failed request as text."""
    if isinstance(error, GatewayError) and error.status:
        return f"the gateway responds with {error.status}"
    if isinstance(error, NoResponseError):
        return "the gateway does not respond"
    # The reason ends with the cause, after the gateway's URL.
    return error.reason.rpartition(": ")[2]
