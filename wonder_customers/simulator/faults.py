"""Faults: which there are, when each one strikes, and how tests switch them."""

import random
import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from wonder_customers.simulator import behaviours
from wonder_customers.simulator.behaviours import Behaviour

HEADER = b"x-simulator-fault"


@dataclass(frozen=True, slots=True)
class FaultKind:
    """A kind of fault.

    Attributes:
        behaviour: What it does to an context.
        parameters: Its parameters with their defaults, which are of the parameters' types.
        applied: Whether the gateway sees the request by default; None: this is not for the caller to choose.
        accept: Whether it can strike when a connection is accepted, before anything is read.
    """

    behaviour: Behaviour
    parameters: Mapping[str, Any] = field(default_factory=dict)
    applied: bool | None = None
    accept: bool = False


async def _elsewhere(_: behaviours.FaultContext) -> bool:
    raise NotImplementedError


FAULT_KINDS: dict[str, FaultKind] = {
    "refuse": FaultKind(behaviours.refuse, {"seconds": 1.0}, accept=True),
    "blackhole": FaultKind(behaviours.blackhole, accept=True),
    "accept_rst": FaultKind(behaviours.accept_rst, accept=True),
    "read_close": FaultKind(behaviours.read_close, applied=True),
    "read_hang": FaultKind(behaviours.read_hang, applied=True),
    "headers_rst": FaultKind(behaviours.headers_rst, applied=True),
    "truncated_body": FaultKind(behaviours.truncated_body, applied=True),
    "drip": FaultKind(behaviours.drip, {"interval": 1.0}, applied=True),
    "wrong_length": FaultKind(behaviours.wrong_length, {"difference": 10}, applied=True),
    "bad_chunk": FaultKind(behaviours.bad_chunk, applied=True),
    "gzip_bomb": FaultKind(behaviours.gzip_bomb, applied=True),
    "huge_headers": FaultKind(behaviours.huge_headers, {"size": 100_000}, applied=True),
    "rate_limited": FaultKind(behaviours.rate_limited, {"retry_after": None}),
    "server_error": FaultKind(behaviours.server_error, {"status": 503}, applied=False),
    "expired_tls": FaultKind(_elsewhere),
    "zombie": FaultKind(behaviours.zombie, {"delay": 1.0}),
    "duplicate": FaultKind(behaviours.duplicate),
    "half_close_idle": FaultKind(behaviours.half_close_idle),
    "stale_rst": FaultKind(behaviours.stale_rst),
}
"""Every fault by its name."""


@dataclass(slots=True)
class Fault:
    """A fault that waits for its request."""

    name: str
    gateway: str | None
    method: str | None
    path: re.Pattern[str] | None
    times: int | None
    probability: float
    dice: random.Random
    applied: bool
    parameters: dict[str, Any]

    @property
    def at_accept(self) -> bool:
        """Whether it strikes connections, since nothing about a request was asked for."""
        return FAULT_KINDS[self.name].accept and (self.gateway, self.method, self.path) == (None, None, None)

    def matches(self, gateway: str, method: str, path: str) -> bool:
        """Whether the request is one that was asked for; the dice are cast for those only."""
        asked = self.gateway in {None, gateway} and self.method in {None, method}
        return asked and (self.path is None or bool(self.path.search(path))) and self.strikes()

    def strikes(self) -> bool:
        """Cast the dice."""
        return self.probability >= 1 or self.dice.random() < self.probability

    def described(self) -> dict[str, Any]:
        """The fault as the administrative endpoint shows it."""
        path = None if self.path is None else self.path.pattern
        known = {
            "name": self.name,
            "gateway": self.gateway,
            "method": self.method,
            "path": path,
            "times": self.times,
        }
        return {**known, "probability": self.probability, "applied": self.applied, **self.parameters}


def fault(
    name: str,
    *,
    gateway: str | None = None,
    method: str | None = None,
    path: str | None = None,
    times: int | None = 1,
    probability: float = 1.0,
    seed: int | None = None,
    applied: bool | None = None,
    **parameters: Any,
) -> Fault:
    """Make a fault; the arguments are those of `Faults.add`.

    Raises:
        ValueError: There is no such fault, parameter or choice.
    """
    if name not in FAULT_KINDS:
        raise ValueError(f"no fault is called {name!r}; known are {', '.join(FAULT_KINDS)}")
    kind = FAULT_KINDS[name]
    if kind.behaviour is _elsewhere:
        raise ValueError(f"{name} is not switched like this: use the origin that server.tls('expired') gives")
    unknown = sorted(parameters.keys() - kind.parameters.keys())
    if unknown:
        known = ", ".join(kind.parameters) or "none"
        raise ValueError(f"{name} has no parameter {', '.join(unknown)}; it has {known}")
    if applied is not None and kind.applied is None:
        raise ValueError(f"applied cannot be chosen for {name}")
    if times is not None and times < 1:
        raise ValueError(f"times must be 1 or more, or None for always, not {times}")
    try:
        compiled = None if path is None else re.compile(path)
    except re.error as error:
        raise ValueError(f"path {path!r} is no regular expression: {error}") from None
    values = {key: _value(name, key, parameters.get(key, default), default) for key, default in kind.parameters.items()}
    method = method and method.upper()
    chosen = bool(kind.applied is not False if applied is None else applied)
    dice = random.Random(seed)  # noqa: S311 - repeatable dice, nothing secret
    made = Fault(name, gateway, method, compiled, times, probability, dice, chosen, values)
    if name in {"refuse", "accept_rst"} and not made.at_accept:
        raise ValueError(f"{name} strikes before a request is read: gateway, method and path cannot choose it")
    return made


def _value(name: str, key: str, value: Any, default: Any) -> Any:
    if default is None or value is None:
        return value
    try:
        return type(default)(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: {key} must be of type {type(default).__name__}, not {value!r}") from None


def fault_from_header(text: str) -> Fault:
    """The fault that a request asks for itself, as in `rate_limited; retry_after=5`.

    Raises:
        ValueError: There is no such fault or parameter.
    """
    name, *pairs = (part.strip() for part in text.split(";"))
    parameters: dict[str, Any] = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        parameters[key.strip()] = value.strip()
    if unknown := parameters.keys() & {"gateway", "method", "path", "times", "probability", "seed"}:
        raise ValueError(f"a request asks for its own fault once: {', '.join(sorted(unknown))} cannot be chosen")
    if "applied" in parameters:
        parameters["applied"] = parameters["applied"].lower() in {"1", "true", "yes"}
    return fault(name, **parameters)


class Faults:
    """The faults that are switched on; safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._active: list[Fault] = []
        self._refuse: Callable[[float | None], None] | None = None
        self._reopen: Callable[[], None] | None = None
        self.seen: list[str] = []
        """The names of the faults that struck, in order."""
        self.requests: Counter[tuple[str, str, str]] = Counter()
        """How many requests came in, whatever became of them, by gateway, method and route."""

    def add(
        self,
        name: str,
        *,
        gateway: str | None = None,
        method: str | None = None,
        path: str | None = None,
        times: int | None = 1,
        probability: float = 1.0,
        seed: int | None = None,
        applied: bool | None = None,
        **parameters: Any,
    ) -> None:
        """Switch a fault on. Of several that match a request, the one added first strikes.

        Args:
            name: A name of `FAULT_KINDS`.
            gateway: Strike only this gateway's requests.
            method: Strike only requests of this method.
            path: Strike only requests whose path, as sent, contains a match of this regular expression.
            times: How often to strike; None: until `clear`.
            probability: How likely a matching request is struck.
            seed: Makes the probability repeatable.
            applied: Whether the gateway still handles the request, where the fault leaves a choice.
            **parameters: The fault's own parameters, see `FAULT_KINDS`.

        Raises:
            ValueError: There is no such fault, parameter or choice.
            RuntimeError: The server runs without faults.
        """
        made = fault(
            name,
            gateway=gateway,
            method=method,
            path=path,
            times=times,
            probability=probability,
            seed=seed,
            applied=applied,
            **parameters,
        )
        if self._refuse is None:
            raise RuntimeError("this server cannot commit faults: start it with faults=True")
        if name == "refuse":
            self._refuse(made.parameters["seconds"] if times is not None else None)
            self.seen.append(name)
            return
        with self._lock:
            self._active.append(made)

    def clear(self) -> None:
        """Switch all faults off; connections that hang already stay so."""
        with self._lock:
            self._active.clear()
        if self._reopen is not None:
            self._reopen()

    def active(self) -> list[dict[str, Any]]:
        """The faults that are switched on."""
        with self._lock:
            return [waiting.described() for waiting in self._active]

    def connect(self, refuse: Callable[[float | None], None], reopen: Callable[[], None]) -> None:
        """Let the faults reach the listening socket of a server that has just started."""
        self._refuse, self._reopen = refuse, reopen

    def for_connection(self) -> Fault | None:
        """The fault that strikes the connection just accepted."""
        return self._take(lambda waiting: waiting.at_accept and waiting.strikes())

    def for_request(self, gateway: str, method: str, path: str) -> Fault | None:
        """The fault that strikes this request."""
        return self._take(lambda waiting: not waiting.at_accept and waiting.matches(gateway, method, path))

    def _take(self, wanted: Callable[[Fault], bool]) -> Fault | None:
        if not self._active:
            return None
        with self._lock:
            found = next(filter(wanted, self._active), None)
            if found is None:
                return None
            if found.times is not None:
                found.times -= 1
                if found.times <= 0:
                    self._active.remove(found)
            self.seen.append(found.name)
            return found
