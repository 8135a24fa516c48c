"""The documented examples of a dialect (``golden/*.json``), which are the templates of mocked responses."""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from functools import cache
from importlib import import_module
from importlib.resources import files
from typing import Any, Final

import orjson
from attrs import evolve, frozen

from wonder_customers.dialects import package
from wonder_customers.errors import ConfigurationError, InvalidResponseError
from wonder_customers.records import Customer, PaymentToken

__all__ = ["Example", "Examples", "ResponseContent", "examples", "with_scalars"]

_PREFERRED: Final = ("create_response", "customer_response", "get_response")


@frozen
class ResponseContent:
    """The records of a response."""

    customer: Customer
    token: PaymentToken | None


@frozen
class Example:
    """A documented response with a placeholder for its record."""

    name: str
    kind: str  # customer, customers, token, tokens, or plain
    body: Any
    path: tuple[str, ...]  # the keys to the placeholder

    def filled(self, record: Any, *, total: int | None = None) -> Any:
        """Return the response with its placeholder replaced by `record`, and the number of items by `total`."""
        if not self.path:
            return record
        body = deepcopy(self.body)
        parent = body
        for key in self.path[:-1]:
            parent = parent[key]
        parent[self.path[-1]] = record
        if isinstance(record, list):  # beside the number of its items
            number = len(record) if total is None else total
            parent.update({key: number for key in ("count", "total") if key in parent})
        return body


class Examples:
    """All documented responses of a dialect."""

    def __init__(self, gateway: str) -> None:
        self.gateway: str = gateway
        dialect_package = package(gateway)
        self.codec: Any = import_module(f"{dialect_package.__name__}.codec")
        golden = files(dialect_package) / "golden"
        found = sorted(golden.iterdir(), key=lambda it: it.name) if golden.is_dir() else []
        bodies = {
            it.name.removesuffix(".json"): orjson.loads(it.read_bytes())
            for it in found
            if it.name.endswith(".json") and "_request" not in it.name
        }
        self.refusals: list[Any] = [body for name, body in bodies.items() if name.startswith("error_")]
        order = sorted(bodies, key=lambda name: (name not in _PREFERRED, name))
        named = [(name, bodies[name]) for name in order if not name.startswith("error_")]
        self.all: tuple[Example, ...] = tuple(self._example(name, body) for name, body in named)
        single = next((it for it in self.all if it.kind == "customer"), None)
        if single is None:
            raise ConfigurationError(
                f"mocked responses of {gateway} require an example of a customer. Add golden/create_response.json to"
                " its dialect, and to the files of its package (package-data)."
            )
        self.customer: Customer = self.codec.read_customer(_at(single.body, single.path))
        self.token: PaymentToken | None = self._token()

    def _token(self) -> PaymentToken | None:
        for it in self.all:
            if it.kind in {"token", "tokens"}:
                held = _at(it.body, it.path)
                found: PaymentToken = self.codec.read_token(held[0] if isinstance(held, list) else held)
                return found
        return next(iter(self.customer.payment_tokens), self.customer.default_payment_token)

    def _example(self, name: str, body: Any) -> Example:
        tokens = "payment" in name
        read = self.codec.read_token if tokens else self.codec.read_customer
        what = "token" if tokens else "customer"
        if not name.startswith("delete"):
            for path, part in _parts(body):
                if isinstance(part, dict) and _reads(read, part):
                    return Example(name, what, body, path)
                if isinstance(part, list) and part and all(_reads(read, item) for item in part):
                    return Example(name, f"{what}s", body, path)
        return Example(name, "plain", body, ())

    def rendered(self, example: Example, content: ResponseContent) -> Any:
        """Return the body of `example` with the records of `content`."""
        customer: Any = self.codec.write_customer(content.customer)
        if example.kind == "customer":
            return example.filled(customer)
        if example.kind == "customers":
            return example.filled([customer])
        if example.kind == "plain":
            own, other = self.customer.id, content.customer.id
            return with_scalars(example.body, lambda it: other if it == own else it)
        token = self.codec.write_token(content.token)
        return example.filled(token if example.kind == "token" else [token])

    def changed(self, changes: dict[str, Any], *, token: bool) -> tuple[Customer, PaymentToken | None]:
        """Return the example records with `changes`. Raise `ConfigurationError` if they cannot be written."""
        if token:
            if self.token is None:
                raise ConfigurationError(
                    f"mocked payment tokens of {self.gateway} require an example of a token. Add"
                    " golden/payment_token_response.json to its dialect."
                )
            held = evolve(self.token, **changes)
            self._check(held, changes, "payment tokens", self.codec.write_token, self.codec.read_token)
            return self.customer, held
        customer = evolve(self.customer, **changes)
        self._check(customer, changes, "customers", self.codec.write_customer, self.codec.read_customer)
        return customer, self.token

    def _check(self, record: Any, changes: dict[str, Any], kind: str, write: Callable[[Any], Any], read: Any) -> None:
        try:
            written = write(record)
        except (AttributeError, TypeError, ValueError):
            raise ConfigurationError(
                f"{', '.join(changes)}: a value has another type than the attribute of {type(record).__name__}, such as"
                " Phone for phone, so it cannot be mocked."
            ) from None
        found = read(written) if _reads(read, written) else record
        for name in changes:
            if getattr(record, name) and not getattr(found, name):
                raise ConfigurationError(
                    f"the {kind} in responses of {self.gateway} have no field for {name}, so it cannot be mocked."
                    " Mock a field that the gateway has."
                )


@cache
def examples(gateway: str) -> Examples:
    """Return the documented responses of a gateway's dialect."""
    return Examples(gateway)


def _parts(body: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield a JSON value and the values of its objects, with their paths."""
    yield path, body
    if isinstance(body, dict):
        for key, value in body.items():
            yield from _parts(value, (*path, key))


def _reads(read: Callable[[Any], Any], part: Any) -> bool:
    try:
        read(part)
    except InvalidResponseError:
        return False
    return True


def _at(body: Any, path: Sequence[str]) -> Any:
    for key in path:
        body = body[key]
    return body


def with_scalars(body: Any, change: Callable[[Any], Any]) -> Any:
    """Return a copy of a JSON value with changed scalars."""
    if isinstance(body, dict):
        return {key: with_scalars(value, change) for key, value in body.items()}
    if isinstance(body, list):
        return [with_scalars(item, change) for item in body]
    return change(body)
