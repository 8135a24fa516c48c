"""The errors that this library raises.

    WonderCustomersError
    ├─ ConfigurationError            credentials, URLs or settings are invalid
    │  └─ MissingExtraError          a package of an optional extra is not installed; also an ImportError
    ├─ SessionClosedError            the session is not open
    ├─ UnsupportedOperationError     the gateway does not offer the operation
    ├─ InvalidRecordError            a record or argument is not valid at the gateway
    ├─ CallError                     a call ended without a result
    │  ├─ NotSentError               no byte of the request was sent
    │  ├─ NoResponseError            a read received no complete response
    │  ├─ OutcomeUnknownError        a write may have been applied
    │  ├─ DeadlineExceededError      the deadline passed
    │  ├─ InvalidResponseError       the response cannot be used, for example because it is not JSON
    │  ├─ AmbiguousReferenceError    several customers have the reference
    │  └─ GatewayError               the gateway refused the request
    │     ├─ AuthenticationError     the credentials or the signature were not accepted
    │     ├─ PermissionDeniedError   the credentials lack a permission or, at Paydock, are invalid
    │     ├─ NotFoundError           the customer or token does not exist
    │     ├─ ConflictError           another customer has the reference, or another change is in progress
    │     ├─ InvalidRequestError     the gateway does not accept the contents
    │     ├─ RateLimitError          too many requests
    │     └─ GatewayUnavailableError the gateway failed (5xx, 408, 499)
    └─ BulkError                     a bulk job could not run or continue

Every `CallError` states whether the call was applied and what to do next. All errors can be pickled.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from attrs import frozen

from wonder_customers._support.computed_attribute import ComputedAttribute
from wonder_customers.records import Applied

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
_APPLIED = {"no": "Nothing was applied.", "yes": "The call was applied.", "unknown": "The call may have been applied."}


def _restore(cls: type["WonderCustomersError"], args: tuple[Any, ...], fields: dict[str, Any]) -> Any:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(fields)
    return error


class WonderCustomersError(Exception):
    """Base class of all errors of this library."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.args, self.__dict__)


class ConfigurationError(WonderCustomersError):
    """Credentials, URLs, settings or a source are invalid. Nothing was changed."""


class MissingExtraError(ConfigurationError, ModuleNotFoundError):
    """A package of an optional extra is not installed. The message contains the install command.

    Attributes:
        extra: The extra that installs the package.
    """

    def __init__(self, part: str, packages: Iterable[str], extra: str) -> None:
        super().__init__(f"{part} requires {', '.join(packages)}. Run: pip install 'wonder-customers[{extra}]'")
        self.extra = extra


@contextmanager
def needed(extra: str, *packages: str, by: str) -> Iterator[None]:
    """Raise `MissingExtraError` for failed imports of `packages` in the block."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in packages:
            raise
        raise MissingExtraError(by, [package], extra) from None


class SessionClosedError(WonderCustomersError):
    """The session is not open, cannot be opened again, or belongs to another event loop or process."""


class UnsupportedOperationError(WonderCustomersError):
    """The gateway does not offer the operation. Nothing was sent.

    Attributes:
        gateway: The name of the gateway.
        operation: The requested operation.
    """

    def __init__(self, gateway: str, operation: str, reason: str) -> None:
        super().__init__(f"{gateway} does not support {operation}: {reason}. Nothing was sent.")
        self.gateway = gateway
        self.operation = operation


@frozen
class Violation:
    """One violated rule of a record, filter or argument.

    Attributes:
        field: The field or argument, such as ``address.city``.
        wire_field: The gateway's name for the field; None if it has no such name.
        limit: The requirement that is not met.
    """

    field: str
    wire_field: str | None
    limit: str

    def __str__(self) -> str:
        sent = f" (sent as {self.wire_field})" if self.wire_field not in {None, self.field.rpartition(".")[2]} else ""
        return f"{self.field}{sent}: {self.limit}"


class InvalidRecordError(WonderCustomersError):
    """A record or argument is not valid at the gateway. Nothing was changed.

    Attributes:
        gateway: The name of the gateway.
        violations: The violated rules.
    """

    def __init__(self, gateway: str, violations: Sequence[Violation]) -> None:
        listed = "; ".join(map(str, violations))
        super().__init__(f"{gateway} does not accept this input: {listed}. Nothing was changed.")
        self.gateway = gateway
        self.violations: tuple[Violation, ...] = tuple(violations)


@frozen
class AttemptRecord:
    """One request of a call.

    Attributes:
        outcome: ``not sent``, ``no response``, ``body lost``, or ``HTTP`` and the status.
        cause: How the request ended.
        elapsed: Duration in seconds.
        request_id: The id to search for in the gateway's logs; None if no request was signed.
    """

    outcome: str
    cause: str
    elapsed: float
    request_id: str | None = None


class CallError(WonderCustomersError):
    """A call ended without a result.

    Attributes:
        gateway: The name of the gateway.
        operation: The operation, such as ``create``.
        reason: What happened, in a few words.
        applied: Whether the gateway applied the call: ``no``, ``yes`` or ``unknown``.
        attempts: Number of attempts at the request that failed; of all requests if no single request failed.
        history: One record per request, including lookups and token requests.
        request_id: The gateway's id for the request that failed, or the id sent with it; None if there is none.
        elapsed: Seconds from the start of the call to this error, including waits.
        reference: The customer's reference, if known.
        id: The gateway's id for the customer, if known.
        hint: What to do next.
        rate_limit_headers: The headers about rate limits of the request that failed, such as ``retry-after``.
    """

    hint: str = "See the documentation of the gateway."

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
        hint: str | None = None,
        rate_limit_headers: Mapping[str, str] | None = None,
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
        if hint is not None:
            self.hint = hint
        self.rate_limit_headers: dict[str, str] = dict(rate_limit_headers or {})

    def __str__(self) -> str:
        times = f"{self.attempts} attempt{'' if self.attempts == 1 else 's'} in {self.elapsed:.2f} s"
        shown = times if not self.request_id else f"{times}, request id {self.request_id}"
        call = f"{self.gateway} {self.operation}".strip() or "call"
        return f"{call}: {self.reason} ({shown}). {_APPLIED[self.applied]} {self.hint}"


class NotSentError(CallError):
    """No byte of the request was sent, for example because no connection could be opened."""

    hint = "It is safe to call again. Check that the gateway's host can be reached."


class NoResponseError(CallError):
    """A read received no complete response."""

    hint = "It is safe to call again, because the failed request only reads."


class OutcomeUnknownError(CallError):
    """A write was sent, and no response shows whether it was applied. `CustomerSession.resolve` reads the customer."""

    def __init__(self, reason: str, **facts: Any) -> None:
        super().__init__(reason, **{"applied": "unknown", **facts})

    @ComputedAttribute
    def hint(self) -> str:
        """What to do next."""
        if self.operation == "request":
            return "Do not repeat the call. Check at the gateway whether it was applied."
        if self.reference is None and self.id is None:
            return "Do not repeat the call. It has no reference, so search the gateway's customer list first."
        if self.operation.endswith("payment_token"):
            return "Do not repeat the call. Read the tokens with `await session.resolve_payment_tokens(error)`."
        return "Do not repeat the call. Read the customer with `await session.resolve(error)`."


class DeadlineExceededError(CallError):
    """The call could not be completed before its deadline."""

    hint = "It is safe to call again. Increase RetryPolicy(deadline=…), or check whether the gateway is available."


class InvalidResponseError(CallError):
    """The response cannot be used. For example, it is not JSON, has no id, is incomplete, or is about another customer.

    Attributes:
        status: The HTTP status of the response; 0 if the error does not concern a single response.
        mismatch: Whether the response is about another customer or token than the requested one.
    """

    hint = "Report the deviation to the maintainers of the library."
    mismatch = False

    def __init__(self, reason: str, *, status: int = 0, **facts: Any) -> None:
        super().__init__(reason, **facts)
        self.status = status


class AmbiguousReferenceError(CallError):
    """Several customers have the reference.

    Attributes:
        ids: The gateway's ids for these customers.
    """

    hint = "Keep one of the customers and archive the others. The library does not delete any of them."

    def __init__(self, reason: str, *, ids: Sequence[str] = (), **facts: Any) -> None:
        super().__init__(reason, **facts)
        self.ids: tuple[str, ...] = tuple(ids)


class GatewayError(CallError):
    """The gateway refused the request.

    Attributes:
        status: The HTTP status, or that in the body of a refusal with HTTP 200; 0 for conflicts that a lookup found.
        code: The gateway's error code; None if it sent no code.
        message: The gateway's message, without the values that the request contained; None if it sent no message.
        retry_after: Seconds to wait before the next request; None if the gateway sent no time.
        certain: False if HTTP 403 or 404 may come from a proxy (its body is not a JSON object) or is about a route.
    """

    certain = True

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

    hint = "Check that the credentials belong to this environment and that the clock of this machine is correct."


class PermissionDeniedError(GatewayError):
    """The credentials lack the permission for the operation, or, at Paydock, are unknown or expired."""

    hint = "Check that the credentials belong to this environment, are valid, and permit the call and this IP address."


class NotFoundError(GatewayError):
    """The customer or token does not exist. If a deleted customer at Monri has the reference, `id` is its id."""

    hint = "Check that the id, reference or token is correct and belongs to this account and environment."


class ConflictError(GatewayError):
    """Another customer has the reference, or another change of the customer is in progress.

    Attributes:
        ids: The ids of the customers that have the reference, if known.
    """

    def __init__(self, reason: str, *, ids: Sequence[str] = (), **facts: Any) -> None:
        super().__init__(reason, **facts)
        self.ids: tuple[str, ...] = tuple(ids)

    @ComputedAttribute
    def hint(self) -> str:
        """What to do next."""
        if self.operation == "create":
            return "Call upsert to update the existing customer, or use another reference."
        return "Use another reference, or call again if another change of the customer is in progress."


class InvalidRequestError(GatewayError):
    """The gateway does not accept the contents of the request.

    Attributes:
        fields: The gateway's messages by wire field; empty if the gateway does not name fields.
    """

    hint = "Correct the record or the arguments, because the gateway will refuse the same request again."

    def __init__(self, reason: str, *, fields: Mapping[str, Sequence[str]] | None = None, **facts: Any) -> None:
        super().__init__(reason, **facts)
        self.fields: dict[str, tuple[str, ...]] = {name: tuple(messages) for name, messages in (fields or {}).items()}


class RateLimitError(GatewayError):
    """The gateway received too many requests and did not process this request."""

    @ComputedAttribute
    def hint(self) -> str:
        """What to do next."""
        usable = 0 < (self.retry_after or 0) <= 86_400  # at most a day
        return f"Call again after {self.retry_after:.5g} s." if usable else "Call again later."


class GatewayUnavailableError(GatewayError):
    """The gateway failed to process a read (5xx, 408, 499). After a write, `OutcomeUnknownError` is raised instead."""

    hint = "Call again later."


class BulkError(WonderCustomersError):
    """A bulk job could not run or continue."""
