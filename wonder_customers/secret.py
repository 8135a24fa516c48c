"""`Secret`: a value that can be carried anywhere and read in one place only."""

from hmac import compare_digest
from typing import Final, NoReturn, SupportsIndex, final

__all__ = ["Secret"]

MASK: Final = "***"


@final
class Secret:
    """A key, a card number or a security code that no output shows.

    ``repr``, ``str``, ``format`` and ``attrs.asdict`` give ``***``; pickling, iterating and measuring refuse. The one
    way to the value is `reveal`, which the library calls at the moment of writing a wire body or a header.

    Args:
        value: The secret text.

    Raises:
        TypeError: `value` is no text (the message never holds it).
    """

    __slots__ = ("_value",)
    _value: str

    def __init__(self, value: str) -> None:
        if not isinstance(value, str):
            raise TypeError(f"a Secret holds text, not {type(value).__name__}")
        object.__setattr__(self, "_value", value)

    def reveal(self) -> str:
        """The secret itself."""
        return self._value

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a Secret cannot be changed")

    def __repr__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return compare_digest(self._value.encode(errors="surrogatepass"), other._value.encode(errors="surrogatepass"))

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: object) -> "Secret":
        return self

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("a Secret cannot be pickled: pass credentials on by name, not by value")


def secret(value: "Secret | str") -> Secret:
    """`value` as a `Secret`; text is wrapped."""
    return value if isinstance(value, Secret) else Secret(value)


def optional_secret(value: "Secret | str | None") -> Secret | None:
    """`value` as a `Secret`, None kept."""
    return None if value is None else secret(value)
