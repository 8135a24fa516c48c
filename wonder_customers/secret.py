"""`Secret`, a string that is masked in all output, and tools that keep secrets out of tracebacks."""

import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from enum import Enum
from functools import wraps
from hmac import compare_digest
from types import TracebackType
from typing import Any, Final, NoReturn, ParamSpec, SupportsIndex, TypeVar

from attrs import fields, has

P = ParamSpec("P")
T = TypeVar("T")

MASK: Final = "***"

_PACKAGES_WITH_REQUESTS: Final = sys.stdlib_module_names | {
    "wonder_customers", "anyio", "h11", "httpcore", "httpcore2", "httptools", "httpx", "httpx2", "trio", "uvloop",
}  # fmt: skip


def without_frames(error: BaseException, *, keep_others: bool = False) -> None:
    """Remove the frames and causes of `error` that may contain secrets."""
    # Tools that show local variables (Sentry by default, rich, ``traceback`` with ``capture_locals``) would show them.
    if not keep_others:
        error.__cause__ = error.__context__ = error.__traceback__ = None
        error.__suppress_context__ = True
        return
    # The causes are kept: the event loop recognises a cancellation by them.
    chain: list[BaseException | None] = [error]
    # The list grows during the iteration.
    for it in chain:
        if it is not None:
            it.__traceback__ = _without_own_frames(it.__traceback__)
            inner = it.exceptions if isinstance(it, BaseExceptionGroup) else ()
            others = (it.__cause__, it.__context__, *inner)
            chain += [other for other in others if all(other is not seen for seen in chain)]


def _without_own_frames(trace: TracebackType | None) -> TracebackType | None:
    """Return the traceback without the frames that may contain a request."""
    found = []
    while trace is not None:
        found.append(trace)
        trace = trace.tb_next
    kept = None
    for it in reversed(found):
        package = str(it.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        if package not in _PACKAGES_WITH_REQUESTS:
            kept = TracebackType(kept, it.tb_frame, it.tb_lasti, it.tb_lineno)
    return kept


def concealed(call: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function so that tracebacks contain neither its frames nor its arguments."""

    @wraps(call)
    def concealing(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return call(*args, **kwargs)
        except BaseException as error:
            del args, kwargs
            without_frames(error)
            raise

    return concealing


def concealed_coroutine(call: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Decorate an async function so that tracebacks contain no frames of this library, but those of the caller."""

    @wraps(call)
    async def concealing(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await call(*args, **kwargs)
        except BaseException as error:
            del args, kwargs
            without_frames(error, keep_others=True)
            raise

    return concealing


class Secret:
    """A key, a card number or a security code that is masked in all output.

    ``repr``, ``str`` and ``format`` show ``***``. A `Secret` cannot be pickled, iterated or measured with ``len``.

    Args:
        value: The secret string.

    Raises:
        TypeError: `value` is not a string. Neither the message nor the traceback contains it.
    """

    # The slot contains a function instead of the string, because some serializers read slots directly.
    __slots__ = ("_reveal",)
    _reveal: Callable[[], str]

    @concealed
    def __init__(self, value: str) -> None:
        if not isinstance(value, str):
            raise TypeError(f"the value of a Secret must be a str, not {type(value).__name__}")
        if hasattr(self, "_reveal"):
            raise AttributeError("a Secret cannot be changed")
        object.__setattr__(self, "_reveal", lambda: value)

    def reveal(self) -> str:
        """Return the secret string."""
        return self._reveal()

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a Secret cannot be changed")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a Secret cannot be changed")

    def __repr__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __bool__(self) -> bool:
        return bool(self._reveal())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return compare_digest(*(it.reveal().encode(errors="surrogatepass") for it in (self, other)))

    def __hash__(self) -> int:
        return hash((Secret, self._reveal()))

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: object) -> "Secret":
        return self

    def __getstate__(self) -> NoReturn:
        raise TypeError(
            "a Secret cannot be pickled. Pass the name of an environment variable instead, and read the secret in the"
            " other process."
        )

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        self.__getstate__()


def secret(value: "Secret | str") -> Secret:
    """Return `value` as a `Secret`."""
    return value if isinstance(value, Secret) else Secret(value)


def optional_secret(value: "Secret | str | None") -> Secret | None:
    """Return `value` as a `Secret`, or None for None."""
    return None if value is None else secret(value)


def fields_of(holder: object) -> Iterator[tuple[str, Any]]:
    """Yield the names and values of the fields of a record or an account."""
    kind = type(holder)
    names = [it.name for it in fields(kind)] if has(kind) else list(getattr(holder, "__dict__", ()))
    return ((name, getattr(holder, name)) for name in names)


def secrets_of(holder: object) -> tuple[Secret, ...]:
    """Return the secrets among the fields of a record or an account, except those that a function provides."""
    return tuple(value for _, value in fields_of(holder) if type(value) is Secret)


def record_repr(value: object) -> str:
    """Return the ``repr`` of a record, of None or of `UNSET`. Of other objects, return only the type."""
    known = value is None or isinstance(value, Enum) or has(type(value))
    return repr(value) if known else f"<{type(value).__name__}>"


def guarded(kind: type[T]) -> type[T]:
    """Decorate a class so that tracebacks do not contain the arguments of its constructor."""
    kind.__init__ = concealed(kind.__init__)  # type: ignore[method-assign]
    return kind
