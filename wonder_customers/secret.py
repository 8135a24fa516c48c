"""`Secret`: a value that can be carried anywhere and read in one place only."""

import sys
from collections.abc import Callable
from functools import wraps
from hmac import compare_digest
from types import TracebackType
from typing import Final, NoReturn, ParamSpec, SupportsIndex, TypeVar, final

from attrs import fields, has

__all__ = ["Secret", "concealed", "guarded", "optional_secret", "secret", "secrets_of", "without_frames"]

P = ParamSpec("P")
T = TypeVar("T")

MASK: Final = "***"

_HOLD_REQUESTS: Final = sys.stdlib_module_names | {
    "wonder_customers", "anyio", "h11", "httpcore", "httpcore2", "httptools", "httpx", "httpx2", "trio", "uvloop",
}  # fmt: skip


def without_frames(error: BaseException, *, keep_others: bool = False) -> None:
    """Cut off the frames that `error` came through, and the errors behind it: variables there hold plain values.

    What shows local variables (Sentry by default, rich, ``traceback`` when asked) would show keys and customers.

    Args:
        error: The error.
        keep_others: Keep the frames of others' code that was called from in here, such as a mock's, and what is behind
            the error. A cancellation, too, is known by what is behind it.
    """
    if not keep_others:
        error.__cause__ = error.__context__ = error.__traceback__ = None
        error.__suppress_context__ = True
        return
    chain: list[BaseException | None] = [error]
    # It grows while it is walked.
    for it in chain:
        if it is not None:
            it.__traceback__ = _of_others(it.__traceback__)
            chain += [other for other in (it.__cause__, it.__context__) if all(other is not seen for seen in chain)]


def _of_others(trace: TracebackType | None) -> TracebackType | None:
    """A traceback without this package's frames, the transports' and the standard library's: they hold requests."""
    found = []
    while trace is not None:
        found.append(trace)
        trace = trace.tb_next
    kept = None
    for it in reversed(found):
        package = str(it.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        if package not in _HOLD_REQUESTS:
            kept = TracebackType(kept, it.tb_frame, it.tb_lasti, it.tb_lineno)
    return kept


def concealed(call: Callable[P, T]) -> Callable[P, T]:
    """Decorator for a function that is given secrets in plain: its errors come without its frames and arguments."""

    @wraps(call)
    def concealing(*given: P.args, **named: P.kwargs) -> T:
        try:
            return call(*given, **named)
        except BaseException as error:
            del given, named
            without_frames(error)
            raise

    return concealing


@final
class Secret:
    """A key, a card number or a security code that is masked in all output.

    ``repr``, ``str``, ``format`` and ``attrs.asdict`` give ``***``; pickling, iterating and measuring refuse. The one
    way to the value is `reveal`, which the library calls at the moment of writing a wire body or a header.

    Args:
        value: The secret text.

    Raises:
        TypeError: `value` is not a string. Neither the message nor the traceback contains it.
    """

    # A function and not the text itself, because some writers of objects look into slots without asking.
    __slots__ = ("_reveal",)
    _reveal: Callable[[], str]

    @concealed
    def __init__(self, value: str) -> None:
        if not isinstance(value, str):
            raise TypeError(f"a Secret holds text, not {type(value).__name__}")
        if hasattr(self, "_reveal"):
            raise AttributeError("a Secret cannot be changed")
        object.__setattr__(self, "_reveal", lambda: value)

    def reveal(self) -> str:
        """Return the secret text."""
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
        raise TypeError("a Secret cannot be pickled: pass credentials on by name, not by value")

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        self.__getstate__()


def secret(value: "Secret | str") -> Secret:
    """`value` as a `Secret`; text is wrapped."""
    return value if isinstance(value, Secret) else Secret(value)


def optional_secret(value: "Secret | str | None") -> Secret | None:
    """`value` as a `Secret`, None kept."""
    return None if value is None else secret(value)


def secrets_of(holder: object) -> tuple[Secret, ...]:
    """The secrets among the fields of a record or an account."""
    kind = type(holder)
    names = [it.name for it in fields(kind)] if has(kind) else list(getattr(holder, "__dict__", ()))
    values = (getattr(holder, name) for name in names)
    return tuple(value for value in values if isinstance(value, Secret))


def guarded(kind: type[T]) -> type[T]:
    """Class decorator for records and accounts that take secrets as plain text: their constructor is `concealed`."""
    kind.__init__ = concealed(kind.__init__)  # type: ignore[method-assign]
    return kind
