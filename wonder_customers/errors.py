"""Everything this library raises, by meaning.

    WonderCustomersError
    ├─ ConfigurationError      credentials, URLs or settings that cannot work
    │  └─ MissingExtraError         the packages of a part are not installed; an ImportError, too
    ├─ SessionClosedError           the session is not open (any more)
    ├─ Unsupported             the gateway has no such operation
    ├─ InvalidRecordError           the record breaks the gateway's documented limits; all violations at once
    ├─ CallError              a call ended without its result
    │  ├─ NotSentError              no byte of the request reached the gateway
    │  ├─ NoResponseError             a read got no whole answer
    │  ├─ OutcomeUnknownError       a write was sent and may or may not have been applied
    │  ├─ DeadlineExceededError     time ran out before the outcome could matter
    │  ├─ InvalidResponseError         the gateway answered with something that is not in its documents
    │  ├─ Ambiguous            more than one customer holds the reference
    │  └─ Refused              the gateway said no
    │     └─ Unauthorized · Forbidden · NotFoundError · Duplicate · Rejected · RateLimitError · Unavailable
    └─ BulkError              a bulk job could not run or go on

Every `CallError` tells whether the call was applied, after how many requests it ended, and what to do next. No error
holds a request body or a credential, and every error survives pickling with all its fields.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from attrs import frozen

from wonder_customers.records import Applied, Customer, PaymentToken

__all__ = [
    "AmbiguousReferenceError",
    "AttemptRecord",
    "AuthenticationError",
    "BulkError",
    "CallError",
    "ConfigurationError",
    "ConflictError",
    "DeadlineExceededError",
    "GatewayError",
    "GatewayUnavailableError",
    "InvalidRecordError",
    "InvalidRequestError",
    "InvalidResponseError",
    "MissingExtraError",
    "NoResponseError",
    "NotFoundError",
    "NotSentError",
    "OutcomeUnknownError",
    "PermissionDeniedError",
    "RateLimitError",
    "SessionClosedError",
    "UnsupportedOperationError",
    "Violation",
    "WonderCustomersError",
]


def _restore(
    cls: type["WonderCustomersError"], args: tuple[Any, ...], fields: dict[str, Any]
) -> "WonderCustomersError":
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(fields)
    return error


class WonderCustomersError(Exception):
    """The root of everything this library raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.args, self.__dict__)


class ConfigurationError(WonderCustomersError):
    """Credentials, URLs or settings that cannot work. Nothing was sent."""


class MissingExtraError(ConfigurationError, ModuleNotFoundError):
    """A part is used whose packages are not installed; the message says how to install them. It is an ImportError too.

    Attributes:
        extra: The extra that has them.
    """

    def __init__(self, who: str, packages: Iterable[str], extra: str) -> None:
        super().__init__(f"{who} needs {', '.join(packages)}: pip install 'wonder-customers[{extra}]'")
        self.extra = extra


@contextmanager
def needed(extra: str, *packages: str, by: str) -> Iterator[None]:
    """Wrap the imports of an extra's packages.

    Args:
        extra: The name of the extra.
        *packages: The import names of its packages.
        by: The part of the library that needs them, for the message.

    Raises:
        MissingExtraError: One of `packages` is not installed. Other missing modules raise as usual.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in packages:
            raise
        raise MissingExtraError(by, [package], extra) from None


class SessionClosedError(WonderCustomersError):
    """The session is used outside its ``async with`` block. Nothing was sent."""


class UnsupportedOperationError(WonderCustomersError):
    """The gateway has no such operation. Known beforehand: nothing was sent.

    Attributes:
        gateway: The gateway's name.
        operation: The verb that was asked for.
    """

    def __init__(self, gateway: str, operation: str, reason: str) -> None:
        super().__init__(f"{gateway} has no {operation}: {reason}. Nothing was sent.")
        self.gateway = gateway
        self.operation = operation


@frozen
class Violation:
    """One broken limit.

    Attributes:
        field: The record's field, such as ``address.city``.
        wire_field: The gateway's name for it; None for a field the gateway cannot carry.
        limit: What the gateway's documents ask for. Never holds the value.
    """

    field: str
    wire_field: str | None
    limit: str

    def __str__(self) -> str:
        return f"{self.field}{f' (on the wire: {self.wire_field})' if self.wire_field else ''}: {self.limit}"


class InvalidRecordError(WonderCustomersError):
    """A record breaks the gateway's documented limits. All violations are listed; nothing was sent.

    Attributes:
        gateway: The gateway's name.
        violations: Every broken limit, in the order of the gateway's document.
    """

    def __init__(self, gateway: str, violations: Sequence[Violation]) -> None:
        listed = "; ".join(map(str, violations))
        super().__init__(f"{gateway} cannot take this record: {listed}. Nothing was sent.")
        self.gateway = gateway
        self.violations: tuple[Violation, ...] = tuple(violations)


@frozen
class AttemptRecord:
    """What is known of one request of a call.

    Attributes:
        outcome: ``not sent``, ``no answer``, ``body lost`` or ``HTTP`` with the status.
        cause: Where it ended, in a few words, without any datum of the request.
        elapsed: Seconds this request took.
        request_id: The id under which the gateway may find it in its logs.
    """

    outcome: str
    cause: str
    elapsed: float
    request_id: str | None = None


class CustomerReader(Protocol):
    """The reads that `OutcomeUnknownError.resolve` needs; a session has them."""

    async def get(self, id: str, /) -> Customer:
        """The customer with this id."""

    async def get_by_reference(self, reference: str, /) -> Customer:
        """The customer with this reference."""

    async def list_payment_tokens(self, customer_id: str, /) -> tuple[PaymentToken, ...]:
        """The customer's tokens."""


_APPLIED = {
    "no": "Nothing was applied.",
    "yes": "The gateway has applied it.",
    "unknown": "It may have been applied.",
}


class CallError(WonderCustomersError):
    """A call ended without its result.

    Attributes:
        gateway: The gateway's name.
        operation: The verb, such as ``create``.
        why: What happened, in a few words.
        applied: Whether the gateway has applied the call: ``no``, ``yes`` or ``unknown``.
        attempts: How many requests were started for the write or read itself.
        history: One record per request, look-ups included.
        request_id: The gateway's id of the last request, else the one that was sent with it.
        elapsed: Seconds from the call's start to this error, waits included.
        reference: The customer's reference where the call had one.
        id: The gateway's id of the customer where the call had one.
    """

    hint = "See the gateway's documents."

    def __init__(
        self,
        reason: str,
        *,
        gateway: str = "",
        operation: str = "",
        applied: Applied = "no",
        attempts: int = 0,
        history: Sequence[AttemptRecord] = (),
        request_id: str | None = None,
        elapsed: float = 0.0,
        reference: str | None = None,
        id: str | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.gateway = gateway
        self.operation = operation
        self.applied: Applied = applied
        self.attempts = attempts
        self.history: tuple[AttemptRecord, ...] = tuple(history)
        self.request_id = request_id
        self.elapsed = elapsed
        self.reference = reference
        self.id = id

    def __str__(self) -> str:
        times = f"{self.attempts} attempt{'' if self.attempts == 1 else 's'} in {self.elapsed:.2f} s"
        mark = f", request id {self.request_id}" if self.request_id else ""
        call = f"{self.gateway} {self.operation}".strip() or "call"
        return f"{call}: {self.reason} ({times}{mark}). {_APPLIED[self.applied]} {self.hint}"


class NotSentError(CallError):
    """No byte of the request reached the gateway: refused connections, failed TLS, no free connection in time."""

    hint = "Calling again is safe: check that the gateway's host can be reached."


class NoResponseError(CallError):
    """A read was sent and no whole answer came, as often as the retry policy allowed."""

    hint = "It was a read: call again when the gateway answers."


class OutcomeUnknownError(CallError):
    """A write was sent and no answer tells whether it was applied."""

    @property
    def hint(self) -> str:  # type: ignore[override]
        """What to do next: ask the gateway, where there is something to ask for."""
        if self.reference is None and self.id is None:
            return "Do not simply repeat it: it had no reference, so look for the customer in the gateway's list first."
        return "Do not simply repeat it: `await error.resolve(session)` asks the gateway what it holds now."

    async def resolve(self, session: CustomerReader) -> Customer | tuple[PaymentToken, ...] | None:
        """Ask the gateway what it holds now.

        Args:
            session: An open session for the same account.

        Returns:
            The customer as the gateway holds it, or None when it holds none (ask again later before you conclude
            that the write was lost: it may still be under way). After a write to payment tokens, the customer's tokens.

        Raises:
            OutcomeUnknownError: The call had neither a reference nor an id to ask for.
            CallError: The question itself failed.
        """
        if self.id is not None and self.operation.endswith("payment_token"):
            return await session.list_payment_tokens(self.id)
        try:
            if self.id is not None:
                return await session.get(self.id)
            if self.reference is not None:
                return await session.get_by_reference(self.reference)
        except NotFoundError:
            return None
        raise self


class DeadlineExceededError(CallError):
    """The call's deadline passed, and nothing was applied."""

    hint = "Calling again is safe: allow more time with RetryPolicy(deadline=…) or look at the gateway's health."


class InvalidResponseError(CallError):
    """The gateway answered with something its documents do not know: no JSON, a missing id, a wrong type.

    Attributes:
        status: The HTTP status that came with it.
    """

    hint = "Read the customer back before you repeat a write, and report the reply's form."

    def __init__(self, reason: str, *, status: int = 0, **facts: Any) -> None:
        super().__init__(reason, **facts)
        self.status = status


class AmbiguousReferenceError(CallError):
    """More than one customer holds the reference. Nothing was deleted; a person has to choose.

    Attributes:
        ids: The gateway's ids of all of them.
    """

    hint = "Nothing was deleted: keep one of the customers and archive the others."

    def __init__(self, reason: str, *, ids: Sequence[str] = (), **facts: Any) -> None:
        super().__init__(reason, **facts)
        self.ids: tuple[str, ...] = tuple(ids)


class GatewayError(CallError):
    """The gateway said no.

    Attributes:
        status: The HTTP status; the envelope's number where the gateway hides a refusal in HTTP 200.
        code: The gateway's own error code.
        message: The gateway's own words, with everything removed that the request had carried.
        retry_after: Seconds the gateway asked to wait; None when it did not.
    """

    def __init__(
        self,
        reason: str,
        *,
        status: int = 0,
        code: str | None = None,
        message: str | None = None,
        retry_after: float | None = None,
        **facts: Any,
    ) -> None:
        super().__init__(reason, **facts)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = retry_after


class AuthenticationError(GatewayError):
    """The credentials or the signature were not accepted."""

    hint = "Check the credentials, that they belong to this environment, and this machine's clock."


class PermissionDeniedError(GatewayError):
    """The credentials are known, but may not do this."""

    hint = "Check the credentials and the permissions of the account."


class NotFoundError(GatewayError):
    """The gateway knows no such customer or token."""

    hint = "Check the id and that it was made in this environment by this account."


class ConflictError(GatewayError):
    """A customer with this reference is there already, and is not the one that was to be created.

    Attributes:
        ids: The ids of the customers that hold the reference, where they are known.
    """

    hint = "Use upsert to bring the existing customer up to date, or another reference."

    def __init__(self, reason: str, *, ids: Sequence[str] = (), **facts: Any) -> None:
        super().__init__(reason, **facts)
        self.ids: tuple[str, ...] = tuple(ids)


class InvalidRequestError(GatewayError):
    """The gateway understood the request and does not accept its contents.

    Attributes:
        fields: The gateway's own messages by wire field, where it names fields.
    """

    hint = "Correct the record; the same call will be refused again."

    def __init__(self, reason: str, *, fields: Mapping[str, Sequence[str]] | None = None, **facts: Any) -> None:
        super().__init__(reason, **facts)
        found = {name: tuple(messages) for name, messages in (fields or {}).items()}
        self.fields: dict[str, tuple[str, ...]] = found


class RateLimitError(GatewayError):
    """Too many requests. The request was not processed."""

    hint = "Wait at least `retry_after` seconds, then call again."


class GatewayUnavailableError(GatewayError):
    """The gateway answered with a fault of its own (5xx)."""

    hint = "Try again later; after a write, read the customer back first."


class BulkError(WonderCustomersError):
    """A bulk job could not run or go on; its message says where it stands and how to resume."""
