"""Removing any redaction makes a canary scenario fail, so every redaction is needed and tested."""

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
from security import scenarios
from security.canary_values import EMAIL
from security.captured_output import CapturedOutput
from security.scenario_context import ScenarioContext, run_scenario
from security.scenarios import SCENARIOS

import wonder_customers
from wonder_customers import (
    CardSource,
    ConfigurationError,
    CustomerSession,
    Monri,
    OneTimeToken,
    Paydock,
    PaydockFilter,
    Secret,
    VaultToken,
    Wonder,
    WonderCard,
    WonderFilter,
    dialects,
)
from wonder_customers._core.operations import RawOperations
from wonder_customers._core.redaction import Redactor
from wonder_customers._support.folded_text import FoldedText
from wonder_customers.bulk.dead_letters import DeadLetters
from wonder_customers.bulk.distributed.worker import Worker
from wonder_customers.bulk.journal.digest import Digests
from wonder_customers.bulk.shared_limit import SharedLimit
from wonder_customers.bulk.sources import column_checks, columns
from wonder_customers.dialects.base import AccessToken
from wonder_customers.dialects.filters import CustomerFilter
from wonder_customers.simulator import SimulatorServer
from wonder_customers.transports.httpx import HttpxTransport

PACKAGE = Path(wonder_customers.__file__).parent

Mutation = Callable[[pytest.MonkeyPatch], None]


def replaced(owner: Any, name: str, other: object) -> Mutation:
    """Replace a function, a method or a value."""
    return lambda patched: patched.setattr(owner, name, other)


def undecorated(owner: Any, name: str) -> Mutation:
    """Remove the decorator of a method."""

    def mutate(patched: pytest.MonkeyPatch) -> None:
        original: Any = inspect.getattr_static(owner, name)
        is_classmethod = isinstance(original, classmethod)
        plain = getattr(original, "__func__", original).__wrapped__
        patched.setattr(owner, name, classmethod(plain) if is_classmethod else plain)

    return mutate


def rewritten(owner: Any, name: str, old: str, new: str) -> Mutation:
    """Change the source of a function."""

    def mutate(patched: pytest.MonkeyPatch) -> None:
        original: Any = inspect.unwrap(getattr(owner, name))
        source = textwrap.dedent(inspect.getsource(original))
        assert source.count(old) == 1, f"the source of {name} must contain {old!r} once"
        namespace: dict[str, Any] = {}
        exec(compile(source.replace(old, new), "<mutant>", "exec"), original.__globals__, namespace)
        patched.setattr(owner, name, namespace[name])

    return mutate


class _Plain(str):
    """A string instead of the function that a `Secret` contains."""

    __slots__ = ()

    def __call__(self) -> str:
        return str(self)


def _store_text(self: Secret, value: str) -> None:
    object.__setattr__(self, "_reveal", _Plain(value))


def _unchanged(text: str, *_: object) -> str:
    return text


def _do_nothing(*_: object, **__: object) -> None:
    """Redact nothing."""


def _module(name: str) -> Any:
    return import_module(f"wonder_customers.{name}")


@frozen
class Redaction:
    """One redaction of values.

    Attributes:
        where: The module and the function or field.
        scenario: The scenario that fails without the redaction.
        mutation: Removes the redaction.
    """

    where: str
    scenario: str
    mutation: Mutation


def decorated(where: str, scenario: str, owner: Any, name: str) -> Redaction:
    return Redaction(where, scenario, undecorated(owner, name))


ENV = "from_environment"


def _path(kind: type) -> str:
    return f"{kind.__module__.removeprefix('wonder_customers.')}.{kind.__name__}"


def _error(part: str, old: str, new: str) -> Redaction:
    return Redaction(f"_core.redaction.redact_error.{part}", "echo", rewritten(Redactor, "redact_error", old, new))


def _values(part: str, old: str) -> Redaction:
    return Redaction(f"_core.redaction.Redactor.{part}", "echo", rewritten(Redactor, "__init__", old, "()"))


def _case_sensitive(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(FoldedText, "of", classmethod(lambda kind, text: kind(text, text, None, None)))


def _unmask(patched: pytest.MonkeyPatch) -> None:
    init = _module("records").CardSummary.__init__
    patched.setitem(init.__globals__, "__attr_converter_number", _unchanged)


REDACTIONS = [
    Redaction("secret.Secret.__repr__", "secrets", replaced(Secret, "__repr__", Secret.reveal)),
    Redaction("secret.Secret.__format__", "secrets", replaced(Secret, "__format__", lambda it, _: it.reveal())),
    Redaction("secret.Secret.__getstate__", "secrets", replaced(Secret, "__getstate__", Secret.reveal)),
    Redaction(
        "secret.Secret.__reduce_ex__", "secrets", replaced(Secret, "__reduce_ex__", lambda it, _: (str, (it.reveal(),)))
    ),
    Redaction("secret.Secret.__slots__", "secrets", replaced(Secret, "__init__", _store_text)),
    decorated("secret.Secret.__init__ concealed", "constructors", Secret, "__init__"),
    *(
        decorated(f"{_path(it)} guarded", "constructors", it, "__init__")
        for it in (CardSource, WonderCard, OneTimeToken, VaultToken, Wonder, Paydock, Monri)
    ),
    *(decorated(f"{_path(it)}.{ENV} concealed", "environment", it, ENV) for it in (Wonder, Paydock, Monri)),
    decorated("bulk.shared_limit.SharedLimit guarded", "constructors", SharedLimit, "__init__"),
    decorated("cli.accounts.account_from_environment concealed", "environment", scenarios, "account_from_environment"),
    decorated("dialects.filters.CustomerFilter.parse concealed", "echo", CustomerFilter, "parse"),
    *(decorated(f"{_path(it)}.__init__ concealed", "echo", it, "__init__") for it in (PaydockFilter, WonderFilter)),
    decorated("session.CustomerSession.request", "echo", CustomerSession, "request"),
    decorated("_core.operations.RawOperations.request", "echo", RawOperations, "request"),
    Redaction("bulk.plan.plan _masked", "sync_commands", replaced(_module("bulk.plan"), "_masked", lambda it: it)),
    decorated("transports.httpx.HttpxTransport.__init__ concealed", "constructors", HttpxTransport, "__init__"),
    Redaction(
        "_core.redaction.Redactor.redact_error without_frames",
        "garbled",
        replaced(_module("_core.redaction"), "without_frames", _do_nothing),
    ),
    Redaction("_core.attempt._redacted redact_error", "echo", replaced(Redactor, "redact_error", _do_nothing)),
    Redaction("_core.attempt._redacted redact_id", "echo", replaced(Redactor, "redact_id", lambda _, text: text)),
    _error("reason", "error.reason = self.redact(error.reason, code)", "pass"),
    _error("message", "self.redact(error.message, code) if error.message else error.message", "error.message"),
    _error("code", "self.redact(error.code, code) if error.code else error.code", "error.code"),
    _error("names", "self.redact(name[:200])", "name[:200]"),
    _error("messages", "map(self.redact, messages[:20])", "messages[:20]"),
    _values("body", "_texts(_json_value(body))"),
    _values("query", "_query_values(target)"),
    _values("secrets", "(it.reveal() for it in secrets)"),
    Redaction("_core.redaction.Redactor.case", "echo", _case_sensitive),
    Redaction("_core.redaction._EMAIL", "echo", rewritten(Redactor, "redact", "_EMAIL.finditer", "(lambda _: ())")),
    Redaction("_core.redaction._DIGITS", "echo", replaced(_module("_core.redaction"), "_long_numbers", lambda *_: ())),
    Redaction("records.CardSummary _masked", "masked", _unmask),
    Redaction("bulk.journal.digest.row", "sync_commands", replaced(Digests, "row", lambda _, material: material)),
    Redaction(
        "bulk.journal.digest.payload", "sync_commands", replaced(Digests, "payload", lambda _, it: str(it).encode())
    ),
    Redaction(
        "bulk.dead_letters.values",
        "sync_commands",
        rewritten(DeadLetters, "_write", "self._values and outcome.draft is not None", "outcome.draft is not None"),
    ),
    Redaction(
        "bulk.sources.column_checks.unknown_columns",
        "missing_header",
        rewritten(columns, "unknown_columns", "if _has_no_names(found, hints)", "if False"),
    ),
    Redaction(
        "bulk.sources.column_checks._DATA", "missing_header", replaced(column_checks, "_DATA", re.compile(r"(?!)"))
    ),
    Redaction(
        "bulk.sources.column_checks.MAY_BE_DATA",
        "missing_header",
        replaced(column_checks, "MAY_BE_DATA", re.compile(r"(?!)")),
    ),
    Redaction(
        "bulk.sources.tables._message",
        "failed_query",
        rewritten(_module("bulk.sources.tables"), "_message", "if kind in shown", "if 1"),
    ),
]


def _case(redaction: Redaction) -> Any:
    """Return a test case. Without ``--long``, the first redaction of each scenario runs, except those of bulk jobs."""
    first = next(it for it in REDACTIONS if it.scenario == redaction.scenario) is redaction
    marks: Any = () if first and redaction.scenario != "sync_commands" else pytest.mark.long
    return pytest.param(redaction, id=redaction.where.replace(" ", "-"), marks=marks)


@pytest.mark.parametrize("redaction", [_case(it) for it in REDACTIONS])
def test_scenario_fails_without_the_redaction(
    redaction: Redaction,
    simulator: SimulatorServer,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    redaction.mutation(monkeypatch)
    context = ScenarioContext(simulator, tmp_path, CapturedOutput())
    assert run_scenario(SCENARIOS[redaction.scenario], context, capfd.readouterr)


# Fields that are hidden in reprs


def _modules() -> Iterator[Any]:
    for found in pkgutil.walk_packages(wonder_customers.__path__, "wonder_customers."):
        if "simulat" not in found.name and not found.name.endswith("__main__"):
            with suppress(ImportError, ConfigurationError):  # modules whose extra is not installed
                yield import_module(found.name)


def _classes() -> Iterator[type[Any]]:
    seen = set()
    for module in _modules():
        for it in vars(module).values():
            if inspect.isclass(it) and it.__module__ == module.__name__ and attrs.has(it) and it not in seen:
                seen.add(it)
                yield it


def test_hidden_fields_are_not_in_the_repr() -> None:
    hidden = [(kind, it.name) for kind in _classes() for it in attrs.fields(kind) if not it.repr]
    assert len(hidden) > 80
    for kind, name in hidden:
        holder = object.__new__(kind)
        for attribute in attrs.fields(kind):
            object.__setattr__(holder, attribute.name, EMAIL if attribute.name == name else None)
        assert EMAIL not in repr(holder), (kind, name)
        assert repr(holder).startswith(f"{kind.__name__}(")


OPEN = {
    "CardSource": {"number", "cvv", "gateway_id", "transaction_type"},
    "WonderCard": {"number", "cvv", "gateway_id", "transaction_type"},
    "OneTimeToken": {"token"},
    "BankAccountSource": {"number", "holder_type", "gateway_id"},
    "VaultToken": {"token", "gateway_id"},
    "CustomerDraft": {"reference", "payment_source", "clear"},
    "CustomerPatch": {"reference", "payment_source"},
    "CardSummary": {"brand", "billing_currency", "expired"},
    "PaymentToken": {
        "token_type", "state", "default", "card", "error_code", "gateway_id", "customer_id", "keep_until", "created_at",
        "updated_at",
    },
    "Customer": {"id", "reference", "status", "deleted", "created_at", "updated_at", "deleted_at"},
    "Page": {"items", "cursor", "total", "unreadable", "omitted"},
    "Response": {"record", "status", "request_id", "attempts", "elapsed", "recovered", "late_attempt"},
    "Wonder": {"app_id", "private_key", "base_url", "language"},
    "Paydock": {"secret_key", "access_token", "base_url", "keep_default_source"},
    "Monri": {"merchant_key", "authenticity_token", "auth", "base_url"},
    "AccessToken": {"value", "lifetime"},
    "HttpRequest": {"method", "route"},
    "SignedRequest": {"origin", "method", "timeouts", "within"},
    "Transmission": {"_sent", "status", "stale", "valid_until"},
    "HttpResponse": {"status"},
    "Worker": {"coordinator", "rate_limit", "options"},
    "Outcome": {
        "number", "reference", "status", "id", "reason", "code", "applied", "attempts", "request_id", "place",
        "replayed", "cleared",
    },
}  # fmt: skip
"""The fields in the reprs of classes that contain customers or keys. A newly shown field must be added here."""


def test_classes_with_customers_or_keys_show_only_listed_fields() -> None:
    modules = {
        "records",
        "wire",
        "bulk.rows",
        "bulk.journal.digest",
        *(f"dialects.{it}.account" for it in dialects.names()),
    }
    shown = {
        kind.__name__: {attribute.name for attribute in attrs.fields(kind) if attribute.repr}
        for kind in _classes()
        if kind.__module__.removeprefix("wonder_customers.") in modules or kind in {AccessToken, Worker}
    }
    assert {name: fields for name, fields in shown.items() if fields and name not in _HARMLESS} == OPEN


_HARMLESS = {"Origin", "Timeouts"}


# Completeness of the list

_HIDES = {"concealed", "guarded", "without_frames", "redact_error", "redact_id", "_masked"}


class _RedactionVisitor(ast.NodeVisitor):
    """Finds the uses of redaction functions in a module."""

    def __init__(self, module: str) -> None:
        self._path, self.found = [module], set[str]()

    def _inside(self, node: Any) -> None:
        for decorator in node.decorator_list:
            self._used(decorator, [*self._path, node.name])
        self._path.append(node.name)
        for child in node.body:
            self.visit(child)
        self._path.pop()

    visit_ClassDef = visit_FunctionDef = visit_AsyncFunctionDef = _inside  # noqa: N815 - names of ast.NodeVisitor

    def visit_Call(self, node: ast.Call) -> None:
        """Check the called function."""
        self._used(node.func, self._path)
        self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> None:
        """Check the converter of a field."""
        self._used(node.value, self._path)
        self.generic_visit(node)

    def _used(self, node: ast.expr, path: list[str]) -> None:
        name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
        if name in _HIDES:
            self.found.add(f"{'.'.join(path)} {name}")


def test_every_redaction_is_listed() -> None:
    found = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        places = _RedactionVisitor(module)
        places.visit(ast.parse(path.read_text(encoding="utf-8")))
        found |= places.found
    own = {
        "secret.concealed.concealing without_frames",
        "secret.concealed_coroutine.concealing without_frames",
        "bulk.shared_limit.SharedLimit._run without_frames",
        "secret.guarded concealed",
        # A second safeguard: reports show no values of the frames below the attempt.
        "_core.attempt.AttemptRunner._sign_and_send without_frames",
        # `test_request_id_of_events_repeats_no_value_of_the_request` and
        # `test_history_of_an_error_repeats_no_value_of_a_successful_request` cover it.
        "_core.context.CallContext._redacted_id redact_id",
        # `test_unreadable_file_is_reported_with_its_variable` covers both.
        "dialects.accounts._setting concealed",
        "dialects.accounts.read_secret_file concealed",
        # Removes frames that contain only records, which hide their values.
        "_core.operations.check_card_data concealed",
        # `test_attributes_of_frames_do_not_lead_to_requests` covers it.
        "_core.operations.RawOperations._run without_frames",
        # The same redaction as for CardSource, which a test with an invalid number covers.
        "records.BankAccountSource guarded",
        "bulk.plan._masked _masked",  # its own recursion
        # The simulator masks the card numbers of the requests it shows; its own tests cover that.
    }
    # `test_source_errors.py` covers these.
    bulk = "job.Job.__aexit__ sources.reader._file_encoding sources.reader._without_values writer.RowWriter._failed"
    own |= {f"bulk.{it} without_frames" for it in bulk.split()}
    assert found - own == {it.where for it in REDACTIONS if " " in it.where}
