"""Take one redaction away, and the canary test fails: nothing that hides a value is there for nothing, or untested."""

import ast
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import attrs
import pytest
from attrs import frozen
from trust import scenarios
from trust.canary_values import EMAIL
from trust.captured_output import CapturedOutput
from trust.scenario_context import ScenarioContext, play
from trust.scenarios import SCENARIOS

import wonder_customers
from wonder_customers import (
    CardSource,
    ConfigurationError,
    Monri,
    OneTimeToken,
    Paydock,
    Secret,
    VaultToken,
    Wonder,
    dialects,
)
from wonder_customers._core.operations import RawOperations
from wonder_customers._core.redaction import Redactor
from wonder_customers.bulk.dead_letters import DeadLetters
from wonder_customers.bulk.distributed.worker import Worker
from wonder_customers.bulk.journal.digest import Digests
from wonder_customers.bulk.shared_limit import SharedLimit
from wonder_customers.bulk.sources import columns
from wonder_customers.dialects.base import AccessToken
from wonder_customers.simulator import SimulatorServer
from wonder_customers.transports.httpx import HttpxTransport

PACKAGE = Path(wonder_customers.__file__).parent

Mutation = Callable[[pytest.MonkeyPatch], None]


def instead(owner: Any, name: str, other: object) -> Mutation:
    """Put something else in the place of a function, a method or a value."""
    return lambda patched: patched.setattr(owner, name, other)


def undecorated(owner: Any, name: str) -> Mutation:
    """Take the decorator off a method."""

    def mutate(patched: pytest.MonkeyPatch) -> None:
        there: Any = inspect.getattr_static(owner, name)
        of_class = isinstance(there, classmethod)
        plain = getattr(there, "__func__", there).__wrapped__
        patched.setattr(owner, name, classmethod(plain) if of_class else plain)

    return mutate


def rewritten(owner: Any, name: str, old: str, new: str) -> Mutation:
    """Change a few words in the source of a function."""

    def mutate(patched: pytest.MonkeyPatch) -> None:
        there: Any = inspect.unwrap(getattr(owner, name))
        source = textwrap.dedent(inspect.getsource(there))
        assert source.count(old) == 1, f"{name} does not say {old!r} once"
        made: dict[str, Any] = {}
        exec(compile(source.replace(old, new), "<mutant>", "exec"), there.__globals__, made)
        patched.setattr(owner, name, made[name])

    return mutate


class _Plain(str):
    """A text where a `Secret` keeps a function."""

    __slots__ = ()

    def __call__(self) -> str:
        return str(self)


def _keeps_text(self: Secret, value: str) -> None:
    object.__setattr__(self, "_reveal", _Plain(value))


def _as_it_is(text: str, *_: object) -> str:
    return text


def _nothing(*_: object, **__: object) -> None:
    """What was to be hidden stays."""


def _module(name: str) -> Any:
    return import_module(f"wonder_customers.{name}")


@frozen
class Redaction:
    """One thing that hides values.

    Attributes:
        where: The module, and what stands in it.
        scenario: What shows that it is gone.
        mutation: Takes it away.
    """

    where: str
    scenario: str
    mutation: Mutation


def decorated(where: str, scenario: str, owner: Any, name: str) -> Redaction:
    return Redaction(where, scenario, undecorated(owner, name))


def _error(part: str, old: str, new: str) -> Redaction:
    return Redaction(f"_core.redaction.out_of_error.{part}", "echo", rewritten(Redactor, "out_of_error", old, new))


def _values(part: str, old: str) -> Redaction:
    return Redaction(f"_core.redaction.Redactor.{part}", "echo", rewritten(Redactor, "__init__", old, "*()"))


def _unmask(patched: pytest.MonkeyPatch) -> None:
    made = _module("records").CardSummary.__init__
    patched.setitem(made.__globals__, "__attr_converter_number", _as_it_is)


REDACTIONS = [
    Redaction("secret.Secret.__repr__", "secrets", instead(Secret, "__repr__", Secret.reveal)),
    Redaction("secret.Secret.__format__", "secrets", instead(Secret, "__format__", lambda it, _: it.reveal())),
    Redaction("secret.Secret.__getstate__", "secrets", instead(Secret, "__getstate__", Secret.reveal)),
    Redaction(
        "secret.Secret.__reduce_ex__", "secrets", instead(Secret, "__reduce_ex__", lambda it, _: (str, (it.reveal(),)))
    ),
    Redaction("secret.Secret.__slots__", "secrets", instead(Secret, "__init__", _keeps_text)),
    decorated("secret.Secret.__init__ concealed", "constructors", Secret, "__init__"),
    decorated("records.CardSource guarded", "constructors", CardSource, "__init__"),
    decorated("records.OneTimeToken guarded", "constructors", OneTimeToken, "__init__"),
    decorated("records.VaultToken guarded", "constructors", VaultToken, "__init__"),
    decorated("dialects.wonder.Wonder guarded", "constructors", Wonder, "__init__"),
    decorated("dialects.paydock.Paydock guarded", "constructors", Paydock, "__init__"),
    decorated("dialects.monri.Monri guarded", "constructors", Monri, "__init__"),
    decorated("dialects.wonder.Wonder.from_environment concealed", "environment", Wonder, "from_environment"),
    decorated("dialects.paydock.Paydock.from_environment concealed", "environment", Paydock, "from_environment"),
    decorated("dialects.monri.Monri.from_environment concealed", "environment", Monri, "from_environment"),
    decorated("bulk.shared_limit.SharedLimit guarded", "constructors", SharedLimit, "__init__"),
    decorated("cli.accounts.account_from_environment concealed", "environment", scenarios, "account_from_environment"),
    decorated("_core.operations.RawOperations.page concealed", "echo", RawOperations, "page"),
    decorated("transports.httpx.HttpxTransport.__init__ concealed", "constructors", HttpxTransport, "__init__"),
    Redaction(
        "_core.attempt.AttemptRunner.make without_frames",
        "cancelled",
        instead(_module("_core.attempt"), "without_frames", _nothing),
    ),
    Redaction(
        "_core.redaction.Redactor.out_of_error without_frames",
        "garbled",
        instead(_module("_core.redaction"), "without_frames", _nothing),
    ),
    Redaction("_core.attempt.AttemptRunner.make out_of_error", "echo", instead(Redactor, "out_of_error", _nothing)),
    Redaction(
        "_core.attempt.AttemptRunner.make out_of_id", "echo", instead(Redactor, "out_of_id", lambda _, text: text)
    ),
    _error("reason", "error.reason = self.out_of(error.reason)", "pass"),
    _error("message", "self.out_of(error.message) if error.message else error.message", "error.message"),
    _error("code", "self.out_of(error.code) if error.code else error.code", "error.code"),
    _error("names", "self.out_of(name[:200])", "name[:200]"),
    _error("messages", "map(self.out_of, messages[:20])", "messages[:20]"),
    _values("body", "*_texts(loose_object(request.body))"),
    _values("query", "*_queried(request.target)"),
    _values("secrets", "*(it.reveal() for it in secrets)"),
    Redaction("_core.redaction.Redactor.case", "echo", rewritten(Redactor, "_without_values", "re.IGNORECASE", "0")),
    Redaction("_core.redaction._PERSONAL", "echo", rewritten(Redactor, "out_of", "_PERSONAL.sub(_MARK, ", "str(")),
    Redaction("records.CardSummary _masked", "masked", _unmask),
    Redaction("bulk.journal.digest.row", "sync_commands", instead(Digests, "row", lambda _, material: material)),
    Redaction(
        "bulk.journal.digest.payload", "sync_commands", instead(Digests, "payload", lambda _, it: str(it).encode())
    ),
    Redaction(
        "bulk.letters.values",
        "sync_commands",
        rewritten(DeadLetters, "_write", "self._values and outcome.draft is not None", "outcome.draft is not None"),
    ),
    Redaction("bulk.sources.columns.told", "headless", rewritten(columns, "_strange", "if not told:", "if False:")),
    Redaction(
        "bulk.sources.columns._LOOKS_LIKE_DATA", "headless", instead(columns, "_LOOKS_LIKE_DATA", re.compile(r"(?!)"))
    ),
    Redaction(
        "bulk.sources.tables._words",
        "queried",
        rewritten(_module("bulk.sources.tables"), "_words", "if kind in _SQL_ERRORS:", "if 1:"),
    ),
]


def _case(redaction: Redaction) -> Any:
    """The quick run takes the first of each scenario, and leaves out the bulk jobs, which take longest."""
    first = next(it for it in REDACTIONS if it.scenario == redaction.scenario) is redaction
    capabilities: Any = () if first and redaction.scenario != "sync_commands" else pytest.mark.long
    return pytest.param(redaction, id=redaction.where.replace(" ", "-"), marks=capabilities)


@pytest.mark.parametrize("redaction", [_case(it) for it in REDACTIONS])
def test_without_it_a_canary_gets_out(
    redaction: Redaction,
    simulator: SimulatorServer,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    redaction.mutation(monkeypatch)
    assert play(SCENARIOS[redaction.scenario], ScenarioContext(simulator, tmp_path, CapturedOutput()), capfd.readouterr)


# Fields that no repr shows


def _modules() -> Iterator[Any]:
    for found in pkgutil.walk_packages(wonder_customers.__path__, "wonder_customers."):
        if "simulat" not in found.name and not found.name.endswith("__main__"):
            with suppress(ImportError, ConfigurationError):  # what needs an extra that is not installed
                yield import_module(found.name)


def _classes() -> Iterator[type[Any]]:
    seen = set()
    for module in _modules():
        for it in vars(module).values():
            if inspect.isclass(it) and it.__module__ == module.__name__ and attrs.has(it) and it not in seen:
                seen.add(it)
                yield it


HIDDEN = [
    pytest.param(kind, attribute.name, id=f"{kind.__name__}.{attribute.name}")
    for kind in _classes()
    for attribute in attrs.fields(kind)
    if not attribute.repr
]


@pytest.mark.parametrize(("kind", "name"), HIDDEN)
def test_a_field_that_is_hidden_is_not_in_the_repr(kind: type[Any], name: str) -> None:
    holder = object.__new__(kind)
    for attribute in attrs.fields(kind):
        object.__setattr__(holder, attribute.name, EMAIL if attribute.name == name else None)
    assert EMAIL not in repr(holder)
    assert repr(holder).startswith(f"{kind.__name__}(")


OPEN = {
    "CardSource": {"number", "cvv", "gateway_id", "transaction_type"},
    "OneTimeToken": {"token"},
    "VaultToken": {"token", "gateway_id"},
    "CustomerDraft": {"reference", "payment_source"},
    "CustomerPatch": {"reference", "payment_source"},
    "CardSummary": {"brand", "billing_currency", "expired"},
    "PaymentToken": {
        "token_type", "state", "default", "card", "error_code", "gateway_id", "customer_id", "keep_until", "created_at",
        "updated_at",
    },
    "Customer": {"id", "reference", "status", "deleted", "created_at", "updated_at", "deleted_at"},
    "Page": {"items", "cursor", "total"},
    "Response": {"record", "status", "request_id", "attempts", "elapsed", "recovered"},
    "Wonder": {"app_id", "private_key", "base_url"},
    "Paydock": {"secret_key", "access_token", "base_url"},
    "Monri": {"merchant_key", "authenticity_token", "auth", "base_url"},
    "AccessToken": {"value", "lifetime"},
    "HttpRequest": {"method", "route"},
    "SignedRequest": {"origin", "method", "timeouts", "within"},
    "Transmission": {"sent", "status", "stale"},
    "HttpResponse": {"status"},
    "Worker": {"name", "coordinator", "limiter", "options", "policy", "patience"},
    "Outcome": {
        "number", "reference", "status", "id", "reason", "code", "applied", "attempts", "request_id", "place",
        "replayed",
    },
}  # fmt: skip
"""What a repr shows of what carries customers and keys: ids, references, states, the gateway's own times, and secrets
as stars. Whoever shows one more field has to say so here."""


def test_what_carries_customers_or_keys_shows_no_other_field() -> None:
    carriers = {"records", "wire", "bulk.rows", "bulk.journal.digest", *(f"dialects.{it}" for it in dialects.names())}
    shown = {
        kind.__name__: {attribute.name for attribute in attrs.fields(kind) if attribute.repr}
        for kind in _classes()
        if kind.__module__.removeprefix("wonder_customers.") in carriers or kind in {AccessToken, Worker}
    }
    assert {name: fields for name, fields in shown.items() if fields and name not in _HARMLESS} == OPEN


_HARMLESS = {"Origin", "Timeouts"}


# That no redaction is forgotten

_HIDES = {"concealed", "guarded", "without_frames", "out_of_error", "out_of_id", "_masked"}


class _Places(ast.NodeVisitor):
    """Where in a module something is used that hides values."""

    def __init__(self, module: str) -> None:
        self._path, self.found = [module], set[str]()

    def _inside(self, node: Any) -> None:
        for decorator in node.decorator_list:
            self._used(decorator, [*self._path, node.name])
        self._path.append(node.name)
        for child in node.body:
            self.visit(child)
        self._path.pop()

    visit_ClassDef = visit_FunctionDef = visit_AsyncFunctionDef = _inside  # noqa: N815 - ast's names

    def visit_Call(self, node: ast.Call) -> None:
        """A function that is called."""
        self._used(node.func, self._path)
        self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> None:
        """A converter of a field."""
        self._used(node.value, self._path)
        self.generic_visit(node)

    def _used(self, node: ast.expr, path: list[str]) -> None:
        name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
        if name in _HIDES:
            self.found.add(f"{'.'.join(path)} {name}")


def test_every_place_that_hides_something_has_its_mutation() -> None:
    found = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        places = _Places(module)
        places.visit(ast.parse(path.read_text(encoding="utf-8")))
        found |= places.found
    own = {
        "secret.concealed.concealing without_frames",
        "secret.guarded concealed",
    }
    assert found - own == {it.where for it in REDACTIONS if " " in it.where}
