"""Arguments of a wrong type: one error that says what to pass, and nothing is sent."""

from collections.abc import Callable
from inspect import isawaitable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from bulk.customers import draft
from mock_gateway import ACCOUNTS

from wonder_customers import ConfigurationError, CustomerSession, RetryPolicy
from wonder_customers.bulk import (
    ColumnMapping,
    Journal,
    Options,
    Source,
    check_plan,
    losses,
    migrated,
    plan,
    run_partition,
    save_plan,
    sources,
    sync,
    verify,
)

Call = Callable[[Any, CustomerSession[Any], Journal], Any]
CALLS: dict[str, tuple[Call, str]] = {
    "read": (lambda it, session, journal: sources.read(it), "a str or a Path"),
    "read query": (lambda it, session, journal: sources.read("c.csv", query=it), "a str"),
    "read unsupported": (lambda it, session, journal: sources.read("c.csv", unsupported=it), "a set of field names"),
    "files": (lambda it, session, journal: sources.files(it), "a str or a Path"),
    "fingerprint": (lambda it, session, journal: sources.fingerprint(it), "a str or a Path"),
    "unsupported_fields": (lambda it, session, journal: sources.unsupported_fields(it), "a Wonder"),
    "load": (lambda it, session, journal: ColumnMapping.load(it), "a str or a Path"),
    "open": (lambda it, session, journal: Journal.open(it, gateway="monri", endpoint="x"), "a str or a Path"),
    "existing": (lambda it, session, journal: Journal.existing(it), "a str or a Path"),
    "check": (lambda it, session, journal: journal.check(it), "a Wonder"),
    "confirm": (lambda it, session, journal: journal.confirm(it), "a Wonder"),
    "save_plan": (lambda it, session, journal: save_plan(it, session, [], journal=journal), "a str or a Path"),
    "save_plan session": (lambda it, session, journal: save_plan("p", it, [], journal=journal), "an open CustomerS"),
    "save_plan journal": (lambda it, session, journal: save_plan("p", session, [], journal=it), "a Journal"),
    "check_plan": (lambda it, session, journal: check_plan(it, session, [], journal=journal), "a str or a Path"),
    "check_plan source": (
        lambda it, session, journal: check_plan("p", session, [], journal=journal, source=it), "a mapping of JSON"
    ),
    "losses": (lambda it, session, journal: losses(session, it), "an open CustomerSession"),
    "migrated": (lambda it, session, journal: anext(migrated(it, session)), "an open CustomerSession"),
    "run_partition": (run_partition, "a Partition"),
}  # fmt: skip


@pytest.mark.anyio
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("value", [1, b"Lovelace", object()], ids=["int", "bytes", "object"])
async def test_wrong_type_is_refused_with_the_right_type(
    name: str, value: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    account, (call, expected) = ACCOUNTS["monri"](), CALLS[name]
    journal = Journal.open("j", gateway="monri", endpoint=account.base_url)
    async with CustomerSession(account) as session:

        async def run() -> None:
            result = call(value, session, journal)
            if isawaitable(result):
                await result

        with pytest.raises(ConfigurationError, match=f"must be {expected}") as caught:
            await run()
    assert "Lovelace" not in str(caught.value)


async def _inspect(*_: object) -> None:
    raise AssertionError


WRONG_OPTIONS: list[tuple[str, list[Any], str]] = [
    ("workers", [0, "8", None], "workers must be "),
    ("first", [0, True], "first must be "),
    ("max_failures", [0], "max_failures must be "),
    ("failure_share", [20, -0.1, "20%"], "failure_share must be "),
    ("only", [["c-1"]], "only must be "),
    ("empty", ["Own"], "empty must be "),
    ("removed", ["remove"], "removed must be "),
    ("retry", [5, RetryPolicy], "retry must be "),
    ("give_up_after", ["10m", 0, -1, float("inf"), float("nan")], "give_up_after must be "),
    ("facts", [{"a": object()}, {"a": MappingProxyType({})}, {1: "a"}], "facts must contain only JSON values"),
    ("facts", [[1]], "facts must be a mapping of JSON values, not list"),
    ("facts", [None], "facts must be "),
    ("inspect", [[]], "inspect must be "),
    ("inspect", [_inspect], "inspect must be a regular function, not a coroutine function"),
]


@pytest.mark.parametrize(
    ("name", "value", "message"), [(it[0], value, it[2]) for it in WRONG_OPTIONS for value in it[1]]
)
def test_wrong_option_is_refused(name: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{message}"):
        Options(**{name: value})


def test_missing_policy_is_the_default() -> None:
    missing: Any = None
    assert Options(retry=missing) == Options()


@pytest.mark.anyio
@pytest.mark.parametrize("given", [Path("c.csv"), "c.csv", 5, Source("c.csv")], ids=["Path", "str", "int", "Source"])
async def test_rows_that_are_no_iterable_of_rows_are_refused(given: Any) -> None:
    words = rf"not {type(given).__name__}\. Nothing was sent\. To read a file, pass sources\.read\(path\)"
    async with CustomerSession(ACCOUNTS["monri"]()) as session:
        with pytest.raises(ConfigurationError, match=words):
            sync(session, given)
        for call in (plan, verify):
            with pytest.raises(ConfigurationError, match=r"pass sources\.read\(path\)"):
                await call(session, given)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("call", "name", "value"),
    [
        *((call, "session", None) for call in (sync, plan, verify)),
        *((call, "journal", "c.journal") for call in (sync, plan, verify)),
        *((call, "options", {"workers": 2}) for call in (sync, plan, verify)),
        *((verify, name, "x") for name in ("rng", "sample")),
        *((plan, name, "x") for name in ("diff", "look_up")),
    ],
)
async def test_argument_of_another_type_is_refused_by_the_call(call: Any, name: str, value: Any) -> None:
    async with CustomerSession(ACCOUNTS["monri"]()) as session:
        arguments = {"session": session, "rows": [draft(1)], name: value or session.account}

        async def run() -> None:
            found = call(**arguments)
            if isawaitable(found):
                await found

        with pytest.raises(ConfigurationError, match=rf"\b{name} must be "):
            await run()


@pytest.mark.anyio
async def test_plan_is_saved_at_a_path_of_type_str(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    account = ACCOUNTS["monri"]()
    journal = Journal.open("j", gateway="monri", endpoint=account.base_url)
    async with CustomerSession(account) as session:
        await save_plan("p", session, [], journal=journal)
        assert (await check_plan("p", session, [], journal=journal)).inspect is not None


@pytest.mark.anyio
async def test_paths_that_cannot_exist_are_refused(tmp_path: Path) -> None:
    account = ACCOUNTS["monri"]()
    journal, path = Journal.open(tmp_path / "j", gateway="monri", endpoint=account.base_url), tmp_path / ("x" * 300)
    with pytest.raises(ConfigurationError, match="cannot be used as a journal: File name too long"):
        Journal.existing(path)
    for read in (Journal.existing, sources.read, sources.ColumnMapping.load):
        with pytest.raises(ConfigurationError, match=r"the path 'c\\udcff' is not UTF-8"):
            read("c\udcff")
    async with CustomerSession(account) as session:
        for it, message in ((path, "cannot be written: File name too long"), ("/", "already exists")):
            with pytest.raises(ConfigurationError, match=message):
                await save_plan(it, session, [], journal=journal)
