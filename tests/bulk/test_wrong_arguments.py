"""Arguments of a wrong type: one error that says what to pass, and nothing is sent."""

from collections.abc import Callable
from inspect import isawaitable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from mock_gateway import ACCOUNTS

from wonder_customers import ConfigurationError, CustomerSession
from wonder_customers.bulk import (
    ColumnMapping,
    Journal,
    Options,
    check_plan,
    losses,
    migrated,
    run_partition,
    save_plan,
    sources,
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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"facts": {"a": object()}}, "facts must contain only JSON values"),
        ({"facts": {"a": MappingProxyType({})}}, "facts must contain only JSON values"),
        ({"facts": {1: "a"}}, "facts must contain only JSON values"),
        ({"facts": [1]}, "facts must be a mapping of JSON values, not list"),
        ({"inspect": _inspect}, "inspect must be a regular function, not a coroutine function"),
    ],
)
def test_options_without_an_effect_or_a_record_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Options(**options)


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
