"""An attribute that is computed until it is set."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class ComputedAttribute(Generic[T]):
    """Computes the value of an attribute at each access, unless the object has a value of its own.

    Unlike a property, the attribute can be set. Unlike ``functools.cached_property``, the computed value is not stored.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __get__(self, instance: object, owner: type | None = None) -> T:
        return self if instance is None else self._compute(instance)  # type: ignore[return-value]
