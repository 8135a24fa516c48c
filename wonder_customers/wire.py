"""The vocabulary that dialects and transports share: what is sent, what was seen, what came back."""

from collections.abc import Mapping
from enum import Enum
from ipaddress import ip_address
from math import inf

from attrs import define, field, frozen

Header = tuple[bytes, bytes]


class Replay(Enum):
    """What repeating a request would do, which decides what may follow an unknown outcome."""

    READ = "read"
    IDEMPOTENT = "idempotent"  # an update or delete by id: the same bytes twice leave the same state
    NATURAL_UPSERT = "natural upsert"  # a create that the gateway itself keys by the caller's reference
    LOOKUP = "look-up"  # a create whose reference can be looked up afterwards
    NONE = "none"  # a create that cannot be told from another one


@frozen(cache_hash=True)
class Origin:
    """Where a gateway listens. `host` is lower case, without the brackets of an IPv6 address."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = self.port == {"https": 443, "http": 80}[self.scheme]
        return f"{self.scheme}://{host}{'' if usual else f':{self.port}'}"


def is_loopback(host: str) -> bool:
    """Return whether `host` is a loopback address or a name below ``localhost``. Names are not resolved."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


@frozen
class HttpRequest:
    """One request before it is signed.

    Attributes:
        method: In upper case.
        target: Path and query exactly as they will stand in the request line: percent-encoded ASCII.
        body: The exact bytes that are signed and sent.
        route: The path's template, such as ``/customers/{id}``: what logs and traces may show.
    """

    method: str
    target: str = field(repr=False)
    route: str
    body: bytes = field(default=b"", repr=False)


@frozen
class Timeouts:
    """Seconds for the phases of one attempt; never more than what is left of the call's deadline."""

    connect: float
    read: float
    write: float


@frozen
class SignedRequest:
    """One attempt as it goes out: signed, addressed, with its time limits.

    Attributes:
        within: Seconds for all of it, the wait for a free connection included: what is left of the call's deadline.
    """

    origin: Origin
    method: str
    target: str = field(repr=False)
    headers: tuple[Header, ...] = field(repr=False)
    body: bytes = field(repr=False)
    timeouts: Timeouts
    within: float = inf


@define
class Transmission:
    """What the transport saw of one attempt. It is written while the attempt runs and read however it ends.

    Attributes:
        sent: A byte of the request may have left this machine.
        status: The status line arrived.
        headers: The headers that came with it, names in lower case.
        stale: The request went out on a kept connection, and that ended before a byte of an answer.
    """

    sent: bool = False
    status: int | None = None
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    stale: bool = False


@frozen
class HttpResponse:
    """A whole answer. Header names are in lower case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class TransportError(Exception):
    """An attempt ended without a whole answer; the `Transmission` tells how far it came.

    The message names the phase and the kind of failure and never a header, a body or a URL.
    """


class TransportTimeout(TransportError):
    """The attempt used up its total time."""
