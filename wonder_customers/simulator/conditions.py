"""Conditions that apply to every request: latency, a rate limit, and magic references."""

import asyncio
import random
import re
import threading
import time
from dataclasses import dataclass
from math import ceil, isfinite
from typing import TYPE_CHECKING, Any, Final, TypeGuard

if TYPE_CHECKING:
    from wonder_customers.simulator.gateway import ReceivedRequest

_MAX_SECONDS: Final = 60.0
_MAX_RATE: Final = 1_000_000.0
_MAGIC: Final = re.compile(r"(?<![\w-])(?:fail-(?P<status>[45]\d\d)|slow-(?P<time>\d{1,5})(?P<unit>ms|s))-")


@dataclass(frozen=True, slots=True)
class Magic:
    """The effect of a magic reference.

    Attributes:
        status: The HTTP status of the refusal; None if the request is handled.
        seconds: The delay of the response in seconds.
    """

    status: int | None = None
    seconds: float = 0.0


class Conditions:
    """The latency and rate limit of all gateways. They can be changed from any thread.

    Magic references in the path, query or body of a request control its response. With ``fail-422-…``, the request is
    refused with status 422 (400 to 599 are possible) after authentication. With ``slow-2s-…`` or ``slow-250ms-…``, the
    response is delayed, by at most 60 s.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latency: tuple[float, float] | None = None
        self._rate_limit: float | None = None
        self._available: dict[str, tuple[float, float]] = {}
        self._random = random.Random()  # noqa: S311 - delays, no secret

    @property
    def latency(self) -> tuple[float, float] | None:
        """The minimum and maximum delay of responses in seconds; None for no delay.

        Raises:
            ValueError: On assignment: a number is not in the range 0 to 60, or the minimum exceeds the maximum.
        """
        return self._latency

    @latency.setter
    def latency(self, value: tuple[float, float] | None) -> None:
        """Set the delay; raise `ValueError` if it is invalid."""
        self._latency = _checked_latency(value)

    @property
    def rate_limit(self) -> float | None:
        """The maximum number of requests per second for each gateway; None for no limit.

        Requests above the limit are refused with status 429. The requests of one second may arrive in a burst.

        Raises:
            ValueError: On assignment: the number is not greater than 0, or exceeds 1,000,000.
        """
        return self._rate_limit

    @rate_limit.setter
    def rate_limit(self, value: float | None) -> None:
        """Set the limit; raise `ValueError` if it is invalid."""
        checked = _checked_rate(value)
        with self._lock:
            self._rate_limit = checked
            self._available.clear()

    def described(self) -> dict[str, Any]:
        """Return the conditions as a JSON object for the administrative endpoint."""
        return {"latency": self._latency, "rate_limit": self._rate_limit}

    def change(self, values: Any) -> None:
        """Set the conditions from a JSON object with the optional keys ``latency`` and ``rate_limit``.

        Raises:
            ValueError: A key is unknown or a value is invalid. Nothing was changed.
        """
        if not isinstance(values, dict) or values.keys() - {"latency", "rate_limit"}:
            raise ValueError("conditions must be a JSON object with no keys other than latency and rate_limit")
        latency, rate = _checked_latency(values.get("latency", self._latency)), _checked_rate(values.get("rate_limit"))
        self._latency = latency
        if "rate_limit" in values:
            self.rate_limit = rate

    def retry_after(self, gateway: str) -> int | None:
        """Count a request. Return the seconds to wait, or None if the rate limit allows the request."""
        with self._lock:
            rate = self._rate_limit
            if rate is None:
                return None
            now, capacity = time.monotonic(), max(rate, 1.0)
            tokens, updated = self._available.get(gateway, (capacity, now))
            tokens = min(capacity, tokens + (now - updated) * rate)
            allowed = tokens >= 1
            self._available[gateway] = (tokens - 1 if allowed else tokens, now)
            return None if allowed else ceil((1 - tokens) / rate)

    async def delay(self, magic: Magic) -> None:
        """Wait for a random delay within the latency, plus the delay of a magic reference."""
        latency = self._latency
        seconds = magic.seconds + (0.0 if latency is None else self._random.uniform(*latency))
        if seconds > 0:
            await asyncio.sleep(seconds)


def magic_of(request: "ReceivedRequest") -> Magic:
    """Return the effect of the magic reference in a request, if any."""
    for text in request.texts:
        if found := _MAGIC.search(text):
            if found["status"]:
                return Magic(status=int(found["status"]))
            seconds = int(found["time"]) / (1000 if found["unit"] == "ms" else 1)
            return Magic(seconds=min(seconds, _MAX_SECONDS))
    return Magic()


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a JSON value is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)


def _checked_latency(value: Any) -> tuple[float, float] | None:
    if value is None:
        return None
    if not (isinstance(value, list | tuple) and len(value) == 2):
        raise ValueError("latency must be a list of two numbers, in seconds, or null")
    for it in value:
        if not is_number(it) or not 0 <= it <= _MAX_SECONDS:
            raise ValueError(f"latency must be a number of seconds from 0 to {_MAX_SECONDS:g}, not {it!r:.100}")
    low, high = map(float, value)
    if low > high:
        raise ValueError(f"latency: the minimum, {low:g} s, is greater than the maximum, {high:g} s")
    return low, high


def _checked_rate(value: Any) -> float | None:
    if value is None:
        return None
    if not is_number(value) or not 0 < value <= _MAX_RATE:
        expected = f"a number greater than 0 and at most {_MAX_RATE:,.0f}, or null for no limit"
        raise ValueError(f"rate_limit must be {expected}, not {value!r:.100}")
    return float(value)
