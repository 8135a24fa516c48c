"""Saved plans: the planned action for every row, as keyed digests."""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from hashlib import file_digest, sha256
from os.path import lexists
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

import anyio.to_thread
import orjson
from attrs import define, evolve, field, frozen

from wonder_customers._core.arguments import check_json, check_type, checked_path
from wonder_customers.bulk.batches import Batches
from wonder_customers.bulk.change_filter import ChangeFilter, PendingRow
from wonder_customers.bulk.journal import Journal
from wonder_customers.bulk.journal.database import connect, reading
from wonder_customers.bulk.journal.digest import Digests, key_mark, merchant_of
from wonder_customers.bulk.options import Options, Rows, check_job
from wonder_customers.bulk.plan import Plan, plan
from wonder_customers.bulk.private_files import new_file_opener, temporary_beside
from wonder_customers.bulk.rows import Outcome
from wonder_customers.dialects.accounts import environment
from wonder_customers.dialects.provided_secrets import provided_secrets
from wonder_customers.errors import ConfigurationError
from wonder_customers.secret import concealed_coroutine
from wonder_customers.session import CustomerSession

__all__ = ["PlanWriter", "SavedPlan", "check_plan", "contents", "plan_facts", "save_plan"]

FORMAT: Final = 1
_SHOWN = 5
_OPTIONS: Final = ("empty", "removed", "max_removed", "full", "first", "only")
"""The options that decide what a job writes."""


def plan_facts(
    session: CustomerSession[Any], journal: Journal, options: Options, source: Mapping[str, Any]
) -> dict[str, str]:
    """Return the facts that must be equal when a plan is made and when it is carried out."""
    account, digests = session.account, journal.digests
    # A secret that a function returns may change, so it is identified by the name of the function.
    functions = [it.function for it in provided_secrets(account).values()]
    named = [f"{it.__module__}.{getattr(it, '__qualname__', type(it).__qualname__)}" for it in functions]
    described = {"account": [*merchant_of(account), *named], "journal": _state(journal), **source}
    return {
        "gateway": session.gateway,
        "endpoint": account.base_url,
        "environment": environment(account),
        **{name: digests.payload({name: value}).hex() for name, value in described.items()},
        **{f"--{name.replace('_', '-')}": str(getattr(options, name)) for name in _OPTIONS},
    }


def _state(journal: Journal) -> str:
    """Return a digest of the rows of a journal."""
    found = sha256()
    with reading(journal.path), closing(connect(journal.path)) as connection:
        names = "reference, state, raw, payload, id, code, fields"
        for row in connection.execute(f"SELECT {names} FROM rows ORDER BY reference"):  # noqa: S608 - constant
            found.update(orjson.dumps([it.hex() if isinstance(it, bytes) else it for it in row]) + b"\n")
    return found.hexdigest()


def _decision(item: Outcome | PendingRow, digests: Digests) -> list[Any]:
    if isinstance(item, PendingRow):
        sent = [item.reference, item.payload.hex(), *item.cells.cleared]
        return [item.row.number, "send", digests.payload({"send": sent}).hex()]
    return [item.number, item.status, digests.payload({item.status: [item.reference, item.code]}).hex()]


def _decisions(outcomes: Sequence[Outcome], pending: Sequence[PendingRow], digests: Digests) -> list[list[Any]]:
    return sorted([_decision(it, digests) for it in outcomes] + [_decision(it, digests) for it in pending])


@define(eq=False)
class PlanWriter:
    """Writes a plan to a new file, which appears when the plan is complete."""

    path: Path
    digests: Digests
    facts: Mapping[str, str]
    _new: Path = field(init=False)
    _file: BinaryIO = field(init=False)
    _seal: Any = field(init=False)

    def __enter__(self) -> Self:
        if lexists(self.path):
            raise ConfigurationError(f"{self.path} already exists. Nothing was planned. Give the path of a new file.")
        self._new = temporary_beside(self.path)
        try:
            self._file = open(self._new, "wb", opener=new_file_opener)
        except OSError as error:
            raise self._unwritable(error) from None
        self._seal = self.digests.running()
        self._line({"wonder-customers plan": FORMAT, "key": key_mark(self.digests).hex(), "facts": dict(self.facts)})
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        with suppress(OSError):  # a complete plan is already written
            self._file.close()
        with suppress(OSError):
            self._new.unlink(missing_ok=True)

    def add(self, outcomes: Sequence[Outcome], pending: Sequence[PendingRow]) -> None:
        """Write the decisions of a batch of rows."""
        for decision in _decisions(outcomes, pending, self.digests):
            self._line(decision)

    def finish(self, counts: Mapping[str, int]) -> None:
        """Write the counts and the seal."""
        self._line({"counts": dict(counts)})
        self._line({"seal": self._seal.hexdigest()})
        try:
            self._file.close()
            self._new.replace(self.path)
        except OSError as error:
            raise self._unwritable(error) from None

    def _line(self, content: Any) -> None:
        line = orjson.dumps(content) + b"\n"
        self._seal.update(line)
        try:
            self._file.write(line)
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> ConfigurationError:
        return ConfigurationError(
            f"{self.path} cannot be written: {error.strerror}. The plan was not saved. Choose another file."
        )


@frozen
class SavedPlan:
    """A plan in a file. Its facts are those of `plan_facts` when it was made."""

    path: Path
    facts: Mapping[str, str]
    counts: Mapping[str, int]
    digests: Digests

    @classmethod
    def load(cls, path: Path, digests: Digests) -> "SavedPlan":
        """Load a plan, or raise `ConfigurationError`."""
        running = digests.running()
        first = last = counts = b""
        try:
            with path.open("rb") as file:
                for line in file:
                    running.update(last)
                    first, counts, last = first or line, last, line
            head, tail, seal = (orjson.loads(it) for it in (first, counts, last))
            known = head["wonder-customers plan"] == FORMAT
            found = cls(path, dict(head["facts"]), dict(tail["counts"]), digests)
            mark, sealed = head["key"], seal["seal"]
        except OSError as error:
            raise ConfigurationError(
                f"{path} cannot be read: {error.strerror}. Give the path of a saved plan."
            ) from None
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            raise ConfigurationError(f"{path} is not a complete saved plan. Save a new plan.") from None
        if not known or mark != key_mark(digests).hex():
            raise ConfigurationError(
                f"{path} was saved for a journal with another key, or by another version of wonder-customers. Save a"
                " new plan."
            )
        if sealed != running.hexdigest():
            raise ConfigurationError(f"{path} was changed after the plan was saved. Save a new plan.")
        return found

    def check(self, facts: Mapping[str, str]) -> None:
        """Check that the facts of a job equal those of the plan."""
        differing = []
        for name in sorted(self.facts.keys() | facts.keys()):
            planned, now = self.facts.get(name), facts.get(name)
            # Of the other facts, the file contains digests.
            shown = name.startswith("--") or name in {"gateway", "endpoint", "environment"}
            if planned != now:
                differing.append(f"{name} ({planned} in the plan, now {now})" if shown else f"{name} (changed)")
        if differing:
            raise self._differs(differing)

    def checker(self) -> Callable[[Sequence[Outcome], Sequence[PendingRow]], None]:
        """Return a function for `Options.inspect` that compares each batch with the plan."""
        lines = self._rows()

        def check(outcomes: Sequence[Outcome], pending: Sequence[PendingRow]) -> None:
            found = []
            for decision in _decisions(outcomes, pending, self.digests):
                planned = next(lines, None)
                if planned != decision:
                    found.append(_difference(decision, planned))
            if found:
                raise self._differs(found)

        return check

    def check_rows(self, rows: int) -> None:
        """Check that a source has as many rows as the plan."""
        planned = self.counts.get("rows", 0)
        if rows != planned:
            raise self._differs([f"the source has {rows:,} rows ({planned:,} in the plan)"])

    def _rows(self) -> Generator[list[Any]]:
        position, lines = 0, [b""]
        while lines:
            # The file is not kept open, because a job may end before the last row.
            with self.path.open("rb") as file:
                file.seek(position)
                lines, position = file.readlines(1 << 16), file.tell()
            yield from (orjson.loads(line) for line in lines if line.startswith(b"["))

    def _differs(self, differing: Sequence[str]) -> ConfigurationError:
        more = f" and {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
        return ConfigurationError(
            f"the plan {self.path} differs from the changes that the job would make now:"
            f" {'; '.join(differing[:_SHOWN])}{more}. Save a new plan."
        )


def _difference(decision: list[Any], planned: list[Any] | None) -> str:
    number, word, _ = decision
    if planned is None or planned[0] != number:
        return f"row {number} (not in the plan)"
    if planned[1] == word:
        return f"row {number} (other values)"
    return f"row {number} ({planned[1]} in the plan, now {word})"


def _check_arguments(session: object, journal: object, options: object, source: object) -> None:
    check_job(session, journal, options)
    check_type("journal", journal, (Journal,), "a Journal, such as Journal.open(…)")
    check_json("source", source or {})


@concealed_coroutine
async def save_plan(
    path: str | Path,
    session: CustomerSession[Any],
    rows: Rows,
    *,
    journal: Journal,
    options: Options | None = None,
    source: Mapping[str, Any] | None = None,
    **how: Any,
) -> Plan:
    """Make a plan and save it to a new file.

    Args:
        path: The file.
        session: An open session.
        rows: The rows of the job.
        journal: The journal of the job.
        options: The options of the job.
        source: JSON values that identify the source, such as its contents and its mapping. Only their digests are
            saved.
        how: `look_up` and `diff`, as for `plan`.

    Raises:
        ConfigurationError: The file exists or cannot be written, an argument is invalid, or the source or the journal
            cannot be read.
        CallError: A lookup failed.
    """
    _check_arguments(session, journal, options, source)
    chosen, path = options or Options(), checked_path(path)
    facts = await anyio.to_thread.run_sync(plan_facts, session, journal, chosen, source or {})
    with PlanWriter(path, journal.digests, facts) as writer:
        found = await plan(session, rows, journal=journal, options=evolve(chosen, inspect=writer.add), **how)
        names = ("rows", "creates", "updates", "open", "unchanged", "invalid", "duplicates", "unconfirmed")
        counts = {name: getattr(found, name) for name in names}
        writer.finish({**counts, "missing_from_source": found.missing_from_source.count, **found.clears})
    return found


@concealed_coroutine
async def check_plan(
    path: str | Path,
    session: CustomerSession[Any],
    rows: Rows,
    *,
    journal: Journal,
    options: Options | None = None,
    source: Mapping[str, Any] | None = None,
) -> Options:
    """Check, before anything is sent, that a job would carry out a saved plan exactly.

    Args:
        path: The file.
        session: An open session.
        rows: The rows of the job. All rows are read, so the job must be able to read them again.
        journal: The journal of the job.
        options: The options of the job.
        source: JSON values that identify the source, as for `save_plan`.

    Returns:
        The options for the job. With them, the job stops before it sends a row that is not in the plan.

    Raises:
        ConfigurationError: The job would differ from the plan, or the plan, the source or the journal cannot be read.
    """
    _check_arguments(session, journal, options, source)
    chosen, path = options or Options(), checked_path(path)
    async with Batches(rows, chosen.first) as batches:
        saved = await anyio.to_thread.run_sync(SavedPlan.load, path, journal.digests)
        saved.check(await anyio.to_thread.run_sync(plan_facts, session, journal, chosen, source or {}))
        checked = evolve(chosen, inspect=saved.checker())
        with ChangeFilter(session, journal, checked, read_only=True) as change_filter:
            while await batches.next(change_filter) is not None:
                pass
        saved.check_rows(batches.read - change_filter.skipped)
    return evolve(chosen, inspect=saved.checker())


def contents(files: Iterable[Path]) -> str:
    """Return a digest of the names and contents of files."""
    found = sha256()
    for path in files:
        with path.open("rb") as file:
            found.update(path.name.encode() + b"\n" + file_digest(file, sha256).digest())
    return found.hexdigest()
