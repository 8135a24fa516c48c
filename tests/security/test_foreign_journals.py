"""A journal from another person is refused, or does not decide what a command runs, reads or contacts."""

import os
import sqlite3
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from shutil import copytree, rmtree
from typing import Any

import orjson
import pytest
from bulk.customers import write_csv
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from wonder_customers.bulk.journal.digest import Digests
from wonder_customers.cli.app import run
from wonder_customers.errors import ConfigurationError
from wonder_customers.simulator.server import SimulatorServer

Commands = Callable[..., tuple[int, str]]
JOURNAL = "c.csv.monri.journal"
AFTER = (("status",), ("status", "--json"), ("ids",), ("verify",), ("resume",), ("retry-failed",),
         ("forget", "c-1"))  # fmt: skip


@pytest.fixture(scope="module")
def finished_job(_simulator: SimulatorServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """Run a job; return its folder, which the journal names, and a copy of the folder's parent."""
    parent = tmp_path_factory.mktemp("job")
    folder = parent / "inside"
    folder.mkdir()
    write_csv(folder / "c.csv", 3)
    (parent / "secret.csv").write_text("reference,name,email\nsecret-1,Secret,secret@example.org\n")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in _simulator.environment().items():
            patch.setenv(name, value)
        patch.chdir(folder)
        assert run(["sync", "c.csv", "--to", "monri"]) == 0
    copy = parent.with_name(f"{parent.name}-copy")
    copytree(parent, copy)
    yield folder, copy
    rmtree(parent, ignore_errors=True)


@pytest.fixture
def inside(finished_job: tuple[Path, Path], simulator: SimulatorServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a finished job, beside files that no command may read."""
    folder, copy = finished_job
    rmtree(folder.parent)
    copytree(copy, folder.parent)
    for name, value in simulator.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def commands(inside: Path, capfd: pytest.CaptureFixture[str]) -> Commands:
    """Return a function that runs a command and returns its exit code and its output."""

    def call(*words: str) -> tuple[int, str]:
        code = run(words)
        output = capfd.readouterr()
        return code, output.out + output.err

    return call


def facts_of(path: Path) -> dict[str, Any]:
    with closing(sqlite3.connect(path)) as connection:
        found: dict[str, Any] = orjson.loads(connection.execute("SELECT facts FROM runs").fetchone()[0])
        return found


def change(path: Path, *statements: str, facts: object = None) -> None:
    """Run SQL on a journal, and replace the facts of its run."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        if facts is not None:
            text = facts if isinstance(facts, str) else orjson.dumps(facts).decode()
            connection.execute("UPDATE runs SET facts = ?", [text])
        for statement in statements:
            connection.executescript(statement)


# The file


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX modes")
@pytest.mark.parametrize("name", [JOURNAL, f"{JOURNAL}.key"])
@pytest.mark.parametrize("mode", [0o622, 0o660, 0o606])
def test_journal_that_others_can_write_is_refused(inside: Path, commands: Commands, name: str, mode: int) -> None:
    (inside / name).chmod(mode)
    for words in AFTER if (name, mode) == (JOURNAL, 0o622) else (("resume",),):
        code, output = commands(words[0], JOURNAL, *words[1:])
        assert (code, "other users can" in output) == (1, True), words
    assert commands("sync", "c.csv", "--to", "monri")[0] == 1


def test_key_that_others_can_read_is_refused(inside: Path, commands: Commands) -> None:
    (inside / f"{JOURNAL}.key").chmod(0o644)
    code, output = commands("resume", JOURNAL)
    assert (code, f"chmod 600 {JOURNAL}.key" in output) == (1, True)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("name", [JOURNAL, f"{JOURNAL}.key"])
def test_journal_of_another_user_is_refused(inside: Path, commands: Commands, name: str) -> None:
    os.chown(inside / name, 12345, 12345)
    for words in AFTER:
        code, output = commands(words[0], JOURNAL, *words[1:])
        assert (code, "belongs to another user" in output) == (1, True), words


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
def test_link_beside_the_journal_is_refused(inside: Path, commands: Commands, suffix: str) -> None:
    victim = inside.parent / "victim"
    victim.write_text("content")
    (inside / f"{JOURNAL}{suffix}").symlink_to(victim)
    for words in AFTER if suffix == "-wal" else (("resume",),):
        code, output = commands(words[0], JOURNAL, *words[1:])
        assert (code, "is a symbolic link" in output) == (1, True), words
    assert victim.read_text() == "content"


@pytest.mark.parametrize("name", [f"{JOURNAL}.lock", "c.csv.monri.failed.jsonl"])
def test_nothing_is_written_through_a_link(inside: Path, commands: Commands, name: str) -> None:
    victim = inside.parent / "victim"
    (inside / name).unlink(missing_ok=True)
    (inside / name).symlink_to(victim)
    assert commands("resume", JOURNAL)[0] != 0
    assert not victim.exists()


def test_rollback_journal_that_names_another_file_is_refused(inside: Path, commands: Commands) -> None:
    (inside / f"{JOURNAL}-journal").write_bytes(b"x" * 100 + bytes.fromhex("d9d505f920a163d7"))
    code, output = commands("status", JOURNAL)
    assert (code, "contains the name of another file" in output) == (1, True)


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT"
FOREIGN_SCHEMAS = {
    "endless view": f"ALTER TABLE rows RENAME TO r; CREATE VIEW rows AS {ENDLESS} i AS state, i AS code FROM n",
    "further view": f"CREATE VIEW more AS {ENDLESS} i FROM n",
    "trigger": "CREATE TRIGGER t AFTER INSERT ON runs BEGIN DELETE FROM rows; END",
    "trigger on updates": "CREATE TRIGGER t AFTER UPDATE ON runs BEGIN DELETE FROM rows; END",
    "further table": "CREATE TABLE more (name)",
    "index on an expression": "CREATE INDEX i ON rows (abs(number))",
    "column with a default": "ALTER TABLE rows ADD COLUMN more DEFAULT 1",
    "missing table": "DROP TABLE runs",
    "full-text table": "CREATE VIRTUAL TABLE f USING fts5(a)",
}


@pytest.mark.parametrize("schema", FOREIGN_SCHEMAS.values(), ids=[it.replace(" ", "-") for it in FOREIGN_SCHEMAS])
def test_journal_with_another_schema_is_refused(inside: Path, commands: Commands, schema: str) -> None:
    change(inside / JOURNAL, schema)
    for words in AFTER if schema == FOREIGN_SCHEMAS["trigger"] else (("status",), ("resume",)):
        code, output = commands(words[0], JOURNAL, *words[1:])
        assert code == 1, words
        assert "is another database, or a journal of another version" in " ".join(output.split()), words


# The facts


def test_query_of_the_journal_is_not_run(inside: Path, commands: Commands) -> None:
    pytest.importorskip("duckdb", reason="needs the extra duckdb")
    target = inside / "written"
    hostile = f"COPY (SELECT 1 AS reference) TO '{target}'"
    change(inside / JOURNAL, facts={**facts_of(inside / JOURNAL), "source": "-", "query": hostile})
    for name in ("verify", "resume", "retry-failed"):
        code, output = commands(name, JOURNAL)
        assert (code, "Give the option again" in output) == (1, True)
        assert commands(name, JOURNAL, "--query", hostile)[0] == 1
    assert not target.exists()


@pytest.mark.parametrize(
    ("name", "value"), [("on", "ray://192.0.2.1:1"), ("shared_limit", "redis://192.0.2.1:1")], ids=["engine", "limit"]
)
def test_address_in_the_journal_is_not_contacted(
    inside: Path, commands: Commands, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv("WONDER_CUSTOMERS_LIMIT_PASSWORD", "not-for-others")
    change(inside / JOURNAL, facts={**facts_of(inside / JOURNAL), "rate": 5, name: value})
    for command in ("resume", "retry-failed"):
        with watched() as seen:
            code, output = commands(command, JOURNAL)
        assert (code, f"--{name.replace('_', '-')}" in output) == (1, True)
        assert not [it for it in seen if it[0] == "socket.connect"]


def test_source_outside_of_the_folder_has_to_be_named(
    inside: Path, commands: Commands, simulator: SimulatorServer
) -> None:
    outside = inside.parent / "secret.csv"
    (inside / "link.csv").symlink_to(outside)
    (inside / "files").mkdir()
    (inside / "files" / "link.csv").symlink_to(outside)
    for source in (outside, inside / "link.csv", inside / "files", inside / ".." / "secret.csv"):
        change(inside / JOURNAL, facts={**facts_of(inside / JOURNAL), "source": str(source)})
        for name in ("verify", "resume", "retry-failed"):
            options = () if name == "verify" else ("--allow-changed",)
            code, output = commands(name, JOURNAL, *options)
            assert (code, "--source" in output) == (1, True)
    assert "secret-1" not in simulator.store.ledger("monri")
    code, output = commands("resume", JOURNAL, "--allow-changed", "--source", str(outside))
    assert code == 0, output
    assert "secret-1" in simulator.store.ledger("monri")


def test_journal_contains_no_query_and_another_query_is_refused(inside: Path, commands: Commands) -> None:
    pytest.importorskip("duckdb", reason="needs the extra duckdb")
    query = "SELECT reference, name, email, 'p4ssw0rd' <> '' AS \"metadata.x\" FROM 'c.csv'"
    code, output = commands("sync", "-", "--query", query, "--to", "monri", "--journal", "q", "--first", "1")
    assert code == 0, output
    assert "wonder-customers resume q (with the same --query)" in output
    assert b"p4ssw0rd" not in (inside / "q").read_bytes()
    assert "differs from the query" in commands("resume", "q", "--query", query + " ")[1]
    assert commands("resume", "q", "--query", query)[0] == 0
    assert commands("verify", "q", "--query", query)[0] in {0, 2}


def test_verify_compares_with_the_gateway_of_the_journal_only(inside: Path, commands: Commands) -> None:
    change(inside / JOURNAL, "UPDATE about SET value = 'https://192.0.2.1' WHERE name = 'endpoint'")
    code, output = commands("verify", JOURNAL)
    assert (code, "is the journal of monri at https://192.0.2.1" in output) == (1, True)


# Crafted journals


_watch: list[list[tuple[str, Any]]] = []


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _watch and event in {"open", "socket.connect", "os.remove", "os.rename", "subprocess.Popen", "os.system"}:
        _watch[-1].append((event, arguments))


sys.addaudithook(_audit)


@contextmanager
def watched() -> Iterator[list[tuple[str, Any]]]:
    """Collect files that are opened or removed, connections and started programs."""
    seen: list[tuple[str, Any]] = []
    _watch.append(seen)
    try:
        yield seen
    finally:
        _watch.remove(seen)


def _is_write(arguments: tuple[Any, ...]) -> bool:
    path, mode, flags = arguments
    writes = isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    writes = writes or (isinstance(mode, str) and bool(set(mode) & set("wax+")))
    return writes and isinstance(path, (str, bytes, Path)) and "__pycache__" not in str(path)


SNIPPETS = [
    "-", "/proc/self/environ", "../secret.csv", "COPY (SELECT 1) TO 'x'", "ray", "ray://192.0.2.1:1", "",
    "redis://192.0.2.1:1", "\x1b[2J", "\u202e", "'; DROP TABLE rows; --", "$(touch x)", "zip", "utf_7",
]  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.sampled_from(SNIPPETS),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(SNIPPETS), inner, max_size=2),
    max_leaves=4,
)
FACTS = ("source", "fingerprint", "mapping", "ignore_unknown", "query", "format", "encoding", "rate", "workers",
         "max_failures", "on", "processes", "shared_limit", "shared_name", "full", "migrate")  # fmt: skip
CELLS = st.none() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.binary(max_size=8) | st.sampled_from(SNIPPETS)


@settings(max_examples=settings().max_examples // 4, phases=[Phase.explicit, Phase.generate])
@given(
    changed=st.dictionaries(st.sampled_from(FACTS), JSON, max_size=3),
    removed=st.sets(st.sampled_from(FACTS), max_size=1),
    cells=st.dictionaries(st.sampled_from(["number", "run", "state", "result", "raw", "payload", "id", "attempts",
                                           "code", "at"]), CELLS, max_size=3),
    schema=st.none() | st.sampled_from(list(FOREIGN_SCHEMAS.values())),
    mode=st.sampled_from([0o600, 0o644, 0o666]),
    run_cells=st.dictionaries(st.sampled_from(["started", "ended", "ending", "counts"]), CELLS, max_size=2),
)  # fmt: skip
@example(changed={}, removed=set(), cells={"state": b""}, schema=None, mode=0o600, run_cells={})
@example(changed={}, removed=set(), cells={"state": "failed", "code": b"x"}, schema=None, mode=0o600, run_cells={})
def test_crafted_journal_decides_nothing(
    inside: Path,
    commands: Commands,
    simulator: SimulatorServer,
    changed: dict[str, Any],
    removed: set[str],
    cells: dict[str, Any],
    schema: str | None,
    mode: int,
    run_cells: dict[str, Any],
) -> None:
    path = inside / JOURNAL
    original = path.read_bytes(), (inside / f"{JOURNAL}.key").read_bytes()
    facts = {name: value for name, value in (facts_of(path) | changed).items() if name not in removed}
    change(path, *([] if schema is None else [schema]), facts=facts)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for table, values in (("rows", cells), ("runs", run_cells)):
            for column, value in values.items():
                try:
                    connection.execute(f"UPDATE {table} SET {column} = ?", [value])
                except sqlite3.Error:
                    continue
    path.chmod(mode)
    before = {it: it.read_bytes() for it in inside.parent.iterdir() if it.is_file()}
    created = simulator.store.ledger("monri")
    try:
        for words in AFTER:
            with watched() as seen:
                code, output = commands(words[0], JOURNAL, *words[1:])
            assert code in {0, 1, 2, 3, 130}, output
            assert "Traceback" not in output
            assert not any(character in output for character in "\x1b\u202e")
            for event, arguments in seen:
                if event == "socket.connect":
                    assert arguments[1][0] == "127.0.0.1", arguments
                elif event == "open" and _is_write(arguments):
                    written = Path(os.fsdecode(arguments[0])).resolve()
                    assert written.is_relative_to(inside) or str(written).startswith("/dev/"), written
                elif event in {"os.remove", "os.rename"}:
                    assert Path(os.fsdecode(arguments[0])).resolve().is_relative_to(inside), arguments
                else:
                    assert event == "open", (event, arguments)
        assert {it: it.read_bytes() for it in inside.parent.iterdir() if it.is_file()} == before
        assert simulator.store.ledger("monri") == created
        if schema is None and mode != 0o666 and path.exists():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        for name in (*(f"{JOURNAL}{it}" for it in ("-wal", "-shm", ".lock")), "c.csv.monri.failed.jsonl"):
            (inside / name).unlink(missing_ok=True)
        # A new file: SQLite may still have the changed one open in this process.
        fresh = inside / "fresh"
        fresh.write_bytes(original[0])
        fresh.chmod(0o600)
        fresh.replace(path)


def test_digests_of_facts_are_keyed() -> None:
    first, second = (Digests(bytes([it]) * 32).payload({"query": "SELECT 1"}) for it in (1, 2))
    assert first != second


STATEMENTS = (
    "COPY (SELECT 1 AS reference) TO 'x.csv'", "SELECT 1; SELECT 2", "SET threads = 2", "ATTACH 'x.db'", "LOAD httpfs",
    "INSTALL httpfs", "CALL pragma_version()", "", "EXPORT DATABASE 'x'", "CREATE TABLE t AS SELECT 1",
    "PRAGMA database_list",
)  # fmt: skip


@pytest.mark.parametrize(
    "sql", [pytest.param(sql, marks=pytest.mark.long if number > 3 else ()) for number, sql in enumerate(STATEMENTS)]
)
def test_query_must_be_one_select(inside: Path, commands: Commands, sql: str) -> None:
    pytest.importorskip("duckdb", reason="needs the extra duckdb")
    before = sorted(inside.rglob("*"))
    for name, source in (("plan", "c.csv"), ("sync", "-")):
        code, output = commands(name, source, "--query", sql, "--to", "monri", "--journal", "new")
        assert (code, "must be exactly one SELECT" in output) == (1, True), output
        (inside / "new").unlink(missing_ok=True)
        (inside / "new.key").unlink(missing_ok=True)
    assert sorted(inside.rglob("*")) == before


@pytest.mark.parametrize("table", ["'../secret.csv'", "read_csv('../secret.csv')", "read_text('../secret.csv')",
                                   "glob('../*')", "'other.csv'", "read_csv('c*.csv')"])  # fmt: skip
def test_query_reads_its_source_only(inside: Path, table: str) -> None:
    pytest.importorskip("duckdb", reason="needs the extra duckdb")
    from wonder_customers.bulk import sources

    write_csv(inside / "other.csv", 1)
    with pytest.raises(ConfigurationError, match="Cannot access file"):
        list(sources.read(inside / "c.csv", query=f"SELECT 'x' AS reference FROM {table}"))
    assert len(list(sources.read(inside / "c.csv", query="SELECT reference, name, email FROM source"))) == 3


@pytest.mark.parametrize("name", ["d[1].parquet", "d*.parquet", "d?.parquet", "it's.parquet"])
def test_file_name_is_not_a_pattern(inside: Path, name: str) -> None:
    duckdb = pytest.importorskip("duckdb", reason="needs the extra duckdb")
    from wonder_customers.bulk import sources
    from wonder_customers.bulk.distributed.partition import Index
    from wonder_customers.bulk.sources.reader import Source

    for number, file in enumerate(("d1.parquet", name)):
        duckdb.sql(f"COPY (SELECT 'f-{number}' AS reference, 'x' AS name) TO '{file.replace(chr(39), chr(39) * 2)}'")
    assert [row.reference for row in sources.read(inside / name)] == ["f-1"]
    assert [row.reference for row in sources.read(inside / name, query="FROM source")] == ["f-1"]
    (partition,) = Index(Source(str(inside / name)))
    assert [row.reference for row in partition.read()] == ["f-1"]
