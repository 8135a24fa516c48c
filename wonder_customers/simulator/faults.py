"""Fault injection: the kinds of faults, and the active faults."""

import random
import re
import threading
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from wonder_customers.simulator import behaviours
from wonder_customers.simulator.behaviours import Behaviour
from wonder_customers.simulator.conditions import is_number

HEADER = b"x-simulator-fault"
"""The request header that selects a fault for its request."""

_MAX_ACTIVE = 100
_MAX_TEXT = 200
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True)
class FaultKind:
    """A kind of fault.

    Attributes:
        behaviour: The function that handles a request with the fault.
        parameters: The parameters and their default values.
        applied: Whether the gateway handles the request by default; None if this cannot be chosen.
        accept: Whether the fault can apply to a connection when it is accepted, before anything is read.
        delivers: Whether the request reaches the gateway if `applied` is not False.
        limits: The minimum and maximum of numeric parameters.
    """

    behaviour: Behaviour
    parameters: Mapping[str, Any] = field(default_factory=dict)
    applied: bool | None = None
    accept: bool = False
    delivers: bool = True
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)


async def _not_injectable(_: behaviours.FaultContext) -> bool:
    raise NotImplementedError


FAULT_KINDS: dict[str, FaultKind] = {
    "refuse": FaultKind(
        behaviours.refuse, {"seconds": 1.0}, accept=True, delivers=False, limits={"seconds": (0, 3600)}
    ),
    "blackhole": FaultKind(behaviours.blackhole, accept=True, delivers=False),
    "accept_rst": FaultKind(behaviours.accept_rst, accept=True, delivers=False),
    "read_close": FaultKind(behaviours.read_close, applied=True),
    "read_hang": FaultKind(behaviours.read_hang, applied=True),
    "headers_rst": FaultKind(behaviours.headers_rst, applied=True),
    "truncated_body": FaultKind(behaviours.truncated_body, applied=True),
    "drip": FaultKind(behaviours.drip, {"interval": 1.0}, applied=True, limits={"interval": (0, 60)}),
    "wrong_length": FaultKind(
        behaviours.wrong_length, {"difference": 10}, applied=True, limits={"difference": (-1_000_000, 1_000_000)}
    ),
    "bad_chunk": FaultKind(behaviours.bad_chunk, applied=True),
    "gzip_bomb": FaultKind(behaviours.gzip_bomb, applied=True),
    "huge_headers": FaultKind(
        behaviours.huge_headers, {"size": 200_000}, applied=True, limits={"size": (0, 1_000_000)}
    ),
    "rate_limited": FaultKind(behaviours.rate_limited, {"retry_after": None}, delivers=False),
    "server_error": FaultKind(behaviours.server_error, {"status": 503}, applied=False, limits={"status": (400, 599)}),
    "expired_tls": FaultKind(_not_injectable),
    "zombie": FaultKind(behaviours.zombie, {"delay": 1.0}, limits={"delay": (0, 3600)}),
    "duplicate": FaultKind(behaviours.duplicate),
    "half_close_idle": FaultKind(behaviours.half_close_idle),
    "stale_rst": FaultKind(behaviours.stale_rst),
}
"""All kinds of faults, by name."""


def injectable() -> list[str]:
    """Return the names of the faults that `Faults.add` accepts."""
    return [name for name, kind in FAULT_KINDS.items() if kind.behaviour is not _not_injectable]


@dataclass(slots=True)
class Fault:
    """An active fault. The attributes correspond to the arguments of `Faults.add`."""

    name: str
    gateway: str | None
    method: str | None
    path: str | None
    times: int | None
    probability: float
    random: random.Random
    applied: bool
    parameters: dict[str, Any]

    @property
    def at_accept(self) -> bool:
        """Whether the fault applies to connections instead of requests."""
        return FAULT_KINDS[self.name].accept and (self.gateway, self.method, self.path) == (None, None, None)

    def matches(self, gateway: str, method: str, path: str) -> bool:
        """Return whether the fault applies to a request. With a probability below 1, the result is random."""
        selected = self.gateway in {None, gateway} and self.method in {None, method}
        return selected and (self.path is None or path_matches(self.path, path)) and self.occurs()

    def occurs(self) -> bool:
        """Return True with the probability of the fault."""
        return self.probability >= 1 or self.random.random() < self.probability

    def described(self) -> dict[str, Any]:
        """Return the fault as a JSON object for the administrative endpoint."""
        names = ("name", "gateway", "method", "path", "times", "probability", "applied")
        return {**{name: getattr(self, name) for name in names}, **self.parameters}


def path_matches(pattern: str, path: str) -> bool:
    """Return whether `pattern` matches the whole path. Each ``*`` in the pattern matches any characters."""
    return fnmatchcase(path, re.sub(r"[?\[]", r"[\g<0>]", pattern))


def fault(
    name: str, parameters: Mapping[str, Any], times: int | None = 1, probability: float = 1.0, **selection: Any
) -> Fault:
    """Return a fault. The arguments and the `ValueError` of invalid ones are those of `Faults.add`."""
    gateway, method, path = (selection.get(key) for key in ("gateway", "method", "path"))
    applied, seed = selection.get("applied"), selection.get("seed")
    kind = _kind(name, parameters)
    if applied is not None and kind.applied is None:
        raise ValueError(f"applied cannot be set for {name}, which determines whether the request is applied")
    _check_selection(gateway=gateway, method=method, path=path, applied=applied, seed=seed)
    if times is not None:
        _check_number("times", times, (1, 1_000_000), whole=True)
    _check_number("probability", probability, (0, 1))
    values = {
        key: _value(f"{name}: {key}", parameters.get(key, default), default, kind.limits.get(key))
        for key, default in kind.parameters.items()
    }
    created = Fault(
        name=name,
        gateway=gateway,
        method=method and method.upper(),
        path=path,
        times=times,
        probability=probability,
        random=random.Random(seed),  # noqa: S311 - reproducible test runs, no secret
        applied=kind.applied is not False if applied is None else applied,
        parameters=values,
    )
    if name in {"refuse", "accept_rst"} and not created.at_accept:
        raise ValueError(
            f"gateway, method and path cannot be set for {name}, which is injected before a request is read"
        )
    return created


def _kind(name: str, parameters: Mapping[str, Any]) -> FaultKind:
    if name not in FAULT_KINDS:
        raise ValueError(f"unknown fault {name!r:.100}; choose from {', '.join(injectable())}")
    kind = FAULT_KINDS[name]
    if kind.behaviour is _not_injectable:
        raise ValueError(
            f"{name} cannot be injected into a request. In Python, use the origin that"
            " SimulatorServer.tls('expired') returns."
        )
    unknown = sorted(parameters.keys() - kind.parameters.keys())
    if unknown:
        known = f"its parameters are: {', '.join(kind.parameters)}" if kind.parameters else "it has no parameters"
        raise ValueError(f"{name} has no parameter {', '.join(unknown):.200}; {known}")
    return kind


def _check_selection(*, applied: object, seed: object, **texts: object) -> None:
    for key, value in texts.items():
        if value is not None and not (isinstance(value, str) and len(value) <= _MAX_TEXT):
            raise ValueError(f"{key} must be a string of at most {_MAX_TEXT} characters")
    method = str(texts["method"] or "GET").upper()
    if method not in _METHODS:
        raise ValueError(f"unknown method {method!r:.100}; choose from {', '.join(_METHODS)}")
    if texts["path"] and not str(texts["path"]).startswith(("/", "*")):
        raise ValueError(f"path must begin with / or *, such as /v2/customers, not {texts['path']!r:.100}")
    if not (applied is None or isinstance(applied, bool)):
        raise ValueError("applied must be true or false")
    if seed is not None:
        _check_number("seed", seed, (-(2**63), 2**63), whole=True)


def _check_number(key: str, value: object, limits: tuple[float, float], *, whole: bool = False) -> None:
    low, high = limits
    if not is_number(value) or (whole and not isinstance(value, int)) or not low <= value <= high:
        expected = "an integer" if whole else "a number"
        raise ValueError(f"{key} must be {expected} from {low:,} to {high:,}, not {value!r:.100}")


def _value(key: str, value: Any, default: Any, limits: tuple[float, float] | None) -> Any:
    if limits is None:
        return _retry_after(key, value)
    try:
        # The values in a header are strings.
        number = type(default)(value) if isinstance(value, str) else value
    except ValueError:
        number = value
    _check_number(key, number, limits, whole=isinstance(default, int))
    return number


def _retry_after(key: str, value: Any) -> Any:
    """Return the value of a Retry-After header, which may be malformed."""
    text = str(value) if isinstance(value, (int, float, str)) else ""
    if value is not None and not (0 < len(text) <= _MAX_TEXT and text.isascii() and text.isprintable()):
        raise ValueError(f"{key} must be a number, or a string of 1 to {_MAX_TEXT} printable ASCII characters")
    return value


_BOOLEANS: Final = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


def fault_from_header(text: str) -> Fault:
    """Parse the header of a fault, such as ``rate_limited; retry_after=5``. Raise `ValueError` if it is invalid."""
    name, *pairs = (part.strip() for part in text.split(";"))
    parameters: dict[str, Any] = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        parameters[key.strip()] = value.strip()
    if unknown := parameters.keys() & {"gateway", "method", "path", "times", "probability", "seed"}:
        raise ValueError(
            f"{', '.join(sorted(unknown))} cannot be set in a header, because a header applies only to its request"
        )
    applied = parameters.pop("applied", None)
    return fault(name, parameters, applied=None if applied is None else _BOOLEANS.get(applied.lower(), applied))


class Faults:
    """The active faults. They can be used from any thread."""

    def __init__(self, gateways: Collection[str]) -> None:
        self._gateways = gateways
        self._lock = threading.Lock()
        self._active: list[Fault] = []
        self._refuse: Callable[[float | None], None] | None = None
        self._reopen: Callable[[], None] | None = None
        self.seen: list[str] = []
        """The names of the faults that occurred, in order."""
        self.requests: Counter[tuple[str, str, str]] = Counter()
        """Number of received requests by gateway, method and route."""

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
        """Activate a fault. If several faults match a request, the fault that was added first applies.

        Args:
            name: The name of the fault; see `FAULT_KINDS`.
            gateway: The name of the gateway; None for requests to any gateway.
            method: The HTTP method; None for requests with any method.
            path: The path as sent, without the query; None for requests with any path. Each ``*`` matches any
                characters, as in ``/v1/customers/*``.
            times: Maximum number of affected requests or connections; None for all until `clear`. ``refuse`` lasts for
                its parameter ``seconds``, or until `clear` if `times` is None.
            probability: The probability that a matching request is affected, from 0 to 1.
            seed: The seed of the random decisions.
            applied: Whether the gateway handles the request, for faults that allow this choice; None for the default.
            **parameters: The parameters of the fault.

        Raises:
            ValueError: The fault or a parameter is unknown, or a value is invalid.
            RuntimeError: Fault injection is not available, or too many faults are active.
        """
        selection = {"gateway": gateway, "method": method, "path": path, "seed": seed, "applied": applied}
        created = fault(name, parameters, times, probability, **selection)
        if gateway is not None and gateway not in self._gateways:
            raise ValueError(f"unknown gateway {gateway!r:.100}; choose from {', '.join(self._gateways)}")
        if self._refuse is None:
            raise RuntimeError(
                "fault injection is not enabled, or the simulator has not been started. Start it with --faults on the"
                " command line, or create SimulatorServer(…, faults=True) and start it."
            )
        if name == "refuse":
            self._refuse(created.parameters["seconds"] if times is not None else None)
            self.seen.append(name)
            return
        with self._lock:
            if len(self._active) >= _MAX_ACTIVE:
                raise RuntimeError(
                    f"the maximum of {_MAX_ACTIVE} faults is already active. Deactivate all faults first."
                )
            self._active.append(created)

    def clear(self) -> None:
        """Deactivate all faults. Connections that are already stalled remain stalled."""
        with self._lock:
            self._active.clear()
        if self._reopen is not None:
            self._reopen()

    def active(self) -> list[dict[str, Any]]:
        """Return descriptions of the active faults."""
        with self._lock:
            return [it.described() for it in self._active]

    def connect(self, refuse: Callable[[float | None], None], reopen: Callable[[], None]) -> None:
        """Connect the faults to the listening socket of a started server."""
        self._refuse, self._reopen = refuse, reopen

    def for_connection(self) -> Fault | None:
        """Return the fault that applies to a newly accepted connection, or None."""
        return self._take(lambda it: it.at_accept and it.occurs())

    def for_request(self, gateway: str, method: str, path: str) -> Fault | None:
        """Return the fault that applies to a request, or None."""
        return self._take(lambda it: not it.at_accept and it.matches(gateway, method, path))

    def _take(self, applies: Callable[[Fault], bool]) -> Fault | None:
        if not self._active:
            return None
        with self._lock:
            found = next(filter(applies, self._active), None)
            if found is None:
                return None
            if found.times is not None:
                found.times -= 1
                if found.times <= 0:
                    self._active.remove(found)
            self.seen.append(found.name)
            return found
