"""The files that bulk commands write."""

import os
from os.path import expanduser, isfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from wonder_customers.bulk.dead_letters import check_dead_letters
from wonder_customers.bulk.html_report import page
from wonder_customers.bulk.private_files import private_opener, replace_private
from wonder_customers.bulk.sources.databases import database_file
from wonder_customers.bulk.sources.paths import is_read
from wonder_customers.bulk.sources.reader import Source
from wonder_customers.bulk.sources.tables import named_files
from wonder_customers.cli.output import print_message
from wonder_customers.dialects import names
from wonder_customers.errors import ConfigurationError

if TYPE_CHECKING:
    from wonder_customers.cli.sync_jobs import SyncTask

__all__ = ["check_outputs", "default_failed_rows", "default_path", "new_file", "write_reports"]


_GATEWAYS = tuple(f"{name.upper()}_" for name in names())
_SECRETS = ("_FILE", "_KEY")
"""The endings of the names of variables that contain the path of a secret."""


def default_path(source: Path, suffix: str) -> Path:
    """Return the default path of a file for a source."""
    if str(source) == "-":
        return Path(f"query.{suffix}")
    named = source if source.name else source.resolve()
    return named.with_name(f"{named.name}.{suffix}")


def default_failed_rows(source: Path, gateway: str, journal: Path) -> Path:
    """Return the default path of the file for failed rows: beside the journal if the source's folder is read-only."""
    path = default_path(source, f"{gateway}.failed.jsonl")
    if not _is_writable(path):
        path = journal.with_name(path.name)
    if path.is_symlink():
        raise ConfigurationError(
            f"{path} is a symbolic link. Remove the link, or give the path of a file with --failures."
        )
    return path


def new_file(path: Path, text: str, option: str = "--output") -> None:
    """Write a new file that only its owner can read."""
    created = False
    try:
        with open(path, "x", encoding="utf-8", newline="", opener=private_opener) as file:
            created = True
            file.write(text)
    except FileExistsError:
        raise ConfigurationError(
            f"{path} already exists. Nothing was written. Give the path of a new file with {option}."
        ) from None
    except OSError as error:
        if created:
            path.unlink(missing_ok=True)
        raise ConfigurationError(
            f"{path} cannot be written: {error.strerror}. Choose another file with {option}."
        ) from None


def check_outputs(task: "SyncTask", source: Source | None = None) -> None:
    """Check the output files before anything is sent. `source` is None for a migration."""
    taken, folder = _inputs(task, source), Path(task.source)
    for option, file in (
        ("--failures", task.failed_rows),
        ("--report", task.output.report),
        ("--html", task.output.html),
        ("--heartbeat", task.output.heartbeat),
    ):
        if file is None:
            continue
        if not file.resolve().parent.is_dir():
            raise ConfigurationError(
                f"{file} cannot be written, because its folder does not exist. Create the folder, or give another path"
                f" with {option}."
            )
        if file.is_dir():
            raise ConfigurationError(f"{file} is a folder. Give the path of a file with {option}.")
        # The default file for failed rows is needed only if a row fails.
        if (option != "--failures" or task.output.failures is not None) and not _is_writable(file):
            raise ConfigurationError(
                f"{file} cannot be written, because of the permissions of the file or its folder, or because the file"
                f" system is read-only. Give another path with {option}."
            )
        for what, other in taken:
            if _is_same_file(file, other):
                raise ConfigurationError(f"{option} {file} would overwrite {what}. Give another path.")
        if source is not None and folder.is_dir() and is_read(file, folder, source.form):
            raise ConfigurationError(
                f"{option} {file} is in the folder of the source, so that the next run would read it as a part of the"
                " source. Give a path in another folder."
            )
        taken.append((f"the file of {option}", file))
    check_dead_letters(task.failed_rows)


def _inputs(task: "SyncTask", source: Source | None) -> list[tuple[str, Path]]:
    """Return the files that the job reads, with their names for messages."""
    journal, path = task.journal.path, Path(task.source)
    form = None if source is None else source.form
    entries = [it for it in path.iterdir() if is_read(it, path, form)] if path.is_dir() else [path]
    found = [("the source", it) for it in entries]
    if source is not None and source.query is not None:
        file = None if source.database is None else database_file(source.database)
        found += [("the source", it) for it in ([file] if file else named_files(source.query))]
    found += [("the journal", journal), ("the journal's key", journal.with_name(f"{journal.name}.key"))]
    found += [("a file of the journal", journal.with_name(journal.name + it)) for it in ("-wal", "-shm", ".lock")]
    found += [("the saved plan", task.approved)] if task.approved is not None else []
    found += [("the mapping", task.mapping)] if task.mapping is not None else []
    # The value may be a key or its path. For a key, methods of `Path` can raise errors: it is long, or starts with "~".
    for name in (it for it in os.environ if it.startswith(_GATEWAYS) and it.endswith(_SECRETS)):
        if isfile(named := expanduser(os.environ[name])):  # noqa: PTH111, PTH113
            found.append((f"the file of {name}", Path(named)))
    return found


def _is_writable(file: Path) -> bool:
    target = file.resolve()
    return os.access(file, os.W_OK) if file.exists() else os.access(target.parent, os.W_OK | os.X_OK)


def _is_same_file(first: Path, second: Path) -> bool:
    if first.exists() and second.exists():
        return first.samefile(second)
    # The files need not exist.
    return first.resolve() == second.resolve()


def write_reports(task: "SyncTask", facts: dict[str, Any]) -> bool:
    """Write the requested reports of a job; return whether all of them were written."""
    report, html, written = task.output.report, task.output.html, True
    if report is not None:
        written = _save(report, "report", orjson.dumps(facts, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    if html is not None:
        written = _save(html, "HTML report", page(facts).encode()) and written
    return written


def _save(file: Path, what: str, content: bytes) -> bool:
    """Write a report; return whether this succeeded."""
    try:
        replace_private(file, content)
    except OSError as error:
        print_message(
            f"wonder-customers: the {what} {file} could not be written: {error.strerror}. The summary above shows the"
            " result of the job.",
            "red",
        )
        return False
    print_message(f"The {what} was written to {file}.")
    return True
