"""The settings of a run that a journal stores, and how a later command uses them.

A journal may come from another person, so it does not decide what a command runs or contacts.
"""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, get_args

from wonder_customers.bulk.continuation import GIVEN_AGAIN, continuation
from wonder_customers.bulk.empty_cells import EmptyRule
from wonder_customers.bulk.journal import Journal
from wonder_customers.bulk.saved_plan import contents
from wonder_customers.bulk.sources import ColumnMapping, files, fingerprint, unsupported_fields
from wonder_customers.bulk.sources.reader import Source
from wonder_customers.cli.output import print_message
from wonder_customers.dialects import names
from wonder_customers.dialects.base import Account
from wonder_customers.errors import ConfigurationError

__all__ = [
    "check_unchanged",
    "continued_facts",
    "described",
    "last_facts",
    "migrated_from",
    "report_change",
    "source_of",
    "with_digests",
]

_MAX_WORKERS: Final = 10_000
"""The largest number of workers and of processes that is accepted from a journal."""
_FINGERPRINT: Final = "(the names, sizes, times of change, and first and last 64 KB of its files were compared)"
"""What `fingerprint` compares. Hashing the whole source would take too long."""
_TEXT: Final = (str, type(None))
_KINDS: Final[Mapping[str, tuple[type, ...]]] = {
    "source": (str,),
    "fingerprint": (str,),
    "mapping": (dict,),
    "query": _TEXT,
    "format": _TEXT,
    "database": _TEXT,
    "rate": (int, float, type(None)),
    "workers": (int,),
    "max_failures": (int, type(None)),
    "give_up_after": (int, float, type(None)),
    "on": _TEXT,
    "processes": (int,),
    "shared_limit": _TEXT,
    "shared_name": (str,),
    "full": (bool,),
    "removed": _TEXT,
}


def with_digests(facts: Mapping[str, Any], journal: Journal) -> dict[str, Any]:
    """Return settings as the journal stores them."""
    digests = {name: _digest(journal, name, facts[name]) for name in GIVEN_AGAIN if facts.get(name) is not None}
    return {**facts, **digests}


def _digest(journal: Journal, name: str, value: str) -> str:
    return journal.digests.payload({name: value}).hex()


def last_facts(journal: Journal) -> dict[str, Any]:
    """Return the stored settings of a journal's last run."""
    last = journal.last_run()
    if last is None:
        raise ConfigurationError(f"{journal.path} contains no run. Start a run with `sync` or `migrate`.")
    added = {"empty": "own", "removed": None, "give_up_after": None, "database": None}  # after 0.1.0
    facts = {**added, **last.facts}
    if "migrate" in facts:
        command = continuation(journal.name, facts, gateway=journal.gateway)
        raise ConfigurationError(f"{journal.path} is the journal of a migration. To continue, run: {command}")
    if not last.facts:
        raise ConfigurationError(
            f"the last run in {journal.path} was started by a program, which did not record its source, so this"
            " command cannot read the source. To continue the run, start the program again."
        )
    wrong = [name for name, kinds in _KINDS.items() if name not in facts or type(facts[name]) not in kinds]
    wrong += [name for name in ("workers", "processes") if name not in wrong and not 0 < facts[name] <= _MAX_WORKERS]
    wrong += [] if facts["empty"] in get_args(EmptyRule) else ["empty"]
    with suppress(ConfigurationError, TypeError):
        if not wrong:
            ColumnMapping.from_dict(facts["mapping"])
            return facts
    named = wrong[0] if wrong else "mapping"
    raise ConfigurationError(
        f"the journal {journal.path} is damaged: its setting {named!r} is invalid. Restore the journal from a backup."
    )


def continued_facts(
    journal: Journal, facts: Mapping[str, Any], given: Mapping[str, str | None], source: Path | None
) -> dict[str, Any]:
    """Return the settings of a run that is continued."""
    found = dict(facts)
    for name in GIVEN_AGAIN:
        found[name] = (_given_again(journal, name, facts[name], given[name]) or None) if name in given else None
    if source is not None:
        found["source"] = str(source) if str(source) == "-" else str(source.absolute())
    elif facts["source"] != "-" and not _is_beside(Path(facts["source"]), journal.path.resolve().parent):
        raise ConfigurationError(
            f"the source {facts['source']} is not in the folder of the journal. To use this source, pass its path with"
            " --source."
        )
    elif facts["source"] != "-" and not Path(facts["source"]).exists():
        raise ConfigurationError(
            f"the source {facts['source']} does not exist. If it was renamed or moved, pass its path with --source."
        )
    return found


def _given_again(journal: Journal, name: str, digest: str | None, given: str | None) -> str | None:
    option = f"--{name.replace('_', '-')}"
    if (digest is None and given is None) or (name == "removed" and given == "report"):
        return None
    if given is None:
        none = "report" if name == "removed" else "''"
        rest = "." if name == "query" else f", or pass {option} {none} to continue without it."
        raise ConfigurationError(
            f"the run was started with {option}, whose value the journal does not store. Give the option again{rest}"
        )
    if digest != _digest(journal, name, given):
        problem = None
        if digest is None and name in {"query", "database"}:
            problem = f"the earlier run had no {option}. Remove the option"
        elif name == "query":
            problem = "--query differs from the query of the earlier run. Give the same query"
        if problem is not None:
            raise ConfigurationError(f"{problem}, or start a new run with `sync`.")
        print_message(f"The value of {option} differs from the value in the earlier run.", "yellow")
    return given


def _is_beside(source: Path, folder: Path) -> bool:
    """Return whether a source is inside of a folder."""
    # The entries of a folder may be links to other folders.
    entries = [source, *(source.iterdir() if source.is_dir() else ())]
    return all(entry.resolve().is_relative_to(folder) for entry in entries)


def check_unchanged(facts: Mapping[str, Any], *, allow_changed: bool) -> None:
    """Check that the source has not changed since the run began."""
    if not allow_changed and fingerprint(facts["source"], facts["query"]) != facts["fingerprint"]:
        raise ConfigurationError(
            f"{facts['source']} differs from the source with which the run began {_FINGERPRINT}. Start a new run with"
            " `sync`, or continue with --allow-changed, which compares each row with its last confirmed state."
        )


def report_change(facts: Mapping[str, Any], journal: Journal) -> None:
    """Print a message if the source has changed since the last run."""
    last = journal.last_run()
    if last is not None and fingerprint(facts["source"], facts["query"]) != facts["fingerprint"]:
        print_message(f"{facts['source']} differs from the source of run {last.number} {_FINGERPRINT}.", "yellow")


def migrated_from(journal: Journal) -> str | None:
    """Return the source gateway of a migration; None for other runs."""
    last = journal.last_run()
    origin = None if last is None else last.facts.get("migrate")
    if origin is not None and origin not in names():
        raise ConfigurationError(
            f"{journal.path} is the journal of a migration from {origin!r}, which is not an installed gateway. Install"
            " the package of this gateway. If the journal is damaged, restore it from a backup."
        )
    return origin


def described(source: Source) -> dict[str, Any]:
    """Return the facts about a source that must not change after a plan was saved."""
    chosen = [] if source.path == "-" else files(Path(source.path), source.form)
    return {
        "source": Path(source.path).name,
        "contents": contents(path for path, _ in chosen),
        "mapping": source.mapping.as_dict(),
        "query": source.query,
        "database": source.database,
        "format": source.form,
    }


def source_of(facts: Mapping[str, Any], owner: Account) -> Source:
    """Return the source that the settings of a run describe."""
    return Source(
        facts["source"],
        ColumnMapping.from_dict(facts["mapping"]),
        facts["query"],
        facts["format"],
        facts["database"],
        unsupported_fields(owner),
    )
