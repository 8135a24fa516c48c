"""Output files: names that look like markup or shell syntax, and paths that name an input."""

import os
import shlex
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import cycle
from pathlib import Path

import pytest
from bulk.customers import write_csv
from cli.conftest import Terminal

from wonder_customers.bulk.private_files import replace_private
from wonder_customers.cli.exit_codes import FAILED, STOPPED, SUCCESS, USAGE
from wonder_customers.cli.job_outputs import new_file
from wonder_customers.errors import ConfigurationError
from wonder_customers.simulator.server import SimulatorServer

NAMES = ["x[/bold].csv", "[red]x.csv", "a\x1b[2Jb.csv", "x; echo 'y'.csv", "x\u202egpj.csv"]


@pytest.fixture
def sync(terminal: Terminal) -> Callable[..., str]:
    """Run ``wonder-customers sync`` to Monri in a new folder that contains ``c.csv``, and check its exit code."""
    write_csv(terminal.folder / "c.csv", 2)
    return lambda code, *words, **more: terminal.ends(code, "sync", *words, "--to", "monri", **more)


Sync = Callable[..., str]


def continued(text: str) -> list[str]:
    """Return the words of the command in a message."""
    return shlex.split(text.partition("To continue, run: ")[2])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("colour", [{}, {"FORCE_COLOR": "1", "TERM": "xterm-256color"}], ids=["pipe", "terminal"])
def test_file_names_are_escaped_in_titles(sync: Sync, tmp_path: Path, name: str, colour: dict[str, str]) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / "c.csv").rename(tmp_path / name)
    text = sync(SUCCESS, name, **colour)
    assert "adds up" in text
    assert "\x1b[2J" not in text
    assert "\u202e" not in text
    if "[" in name and not colour and "\x1b" not in name:
        assert name in text


@pytest.mark.parametrize("name", ["x y.csv", "x;touch z.csv", "$(id).csv", "-c.csv"])
def test_printed_commands_are_quoted_for_the_shell(sync: Sync, terminal: Terminal, tmp_path: Path, name: str) -> None:
    (tmp_path / "c.csv").rename(tmp_path / name)
    command = continued(sync(SUCCESS, name, "--first", "1"))
    path = f"./{name}" if name.startswith("-") else name
    assert command == ["wonder-customers", "resume", f"{path}.monri.journal"]
    terminal.ends(SUCCESS, *command[1:])


@pytest.mark.parametrize(
    ("option", "path"),
    [
        *(("--failures", it) for it in ("c.csv", "j", "j.key", "link", "x/../c.csv", "hard")),
        *((option, it) for option in ("--report", "--html") for it in ("c.csv", "j")),
    ],
)
def test_output_must_not_overwrite_an_input(sync: Sync, tmp_path: Path, option: str, path: str) -> None:
    (tmp_path / "link").symlink_to("c.csv")
    (tmp_path / "hard").hardlink_to(tmp_path / "c.csv")
    (tmp_path / "x").mkdir()
    before = (tmp_path / "c.csv").read_bytes()
    text = sync(USAGE, "c.csv", "--journal", "j", option, path)
    assert (tmp_path / "c.csv").read_bytes() == before
    assert f"{option} {path} would overwrite the " in text
    assert text.endswith("Give another path. Nothing was sent.")


def test_two_outputs_must_differ(sync: Sync) -> None:
    text = sync(USAGE, "c.csv", "--report", "r", "--html", "r")
    assert "--html r would overwrite the file of --report" in text


def test_output_must_not_overwrite_a_file_of_a_source_folder(sync: Sync, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "c.csv").rename(tmp_path / "folder" / "c.csv")
    assert "would overwrite the source" in sync(USAGE, "folder", "--report", "folder/c.csv")


OUTPUTS = ["--report", "--html", "--heartbeat", "--failures"]


def test_output_must_not_overwrite_any_other_file_that_the_command_reads(
    sync: Sync, terminal: Terminal, tmp_path: Path
) -> None:
    pytest.importorskip("sqlalchemy", reason="needs the extra sql")
    (tmp_path / "m.toml").write_text('unknown = "ignore"\n')
    (tmp_path / "key").write_text(terminal.variables["MONRI_MERCHANT_KEY"])
    terminal.ends(SUCCESS, "plan", "c.csv", "--to", "monri", "--save", "plan")
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection, connection:
        connection.execute("CREATE TABLE customers AS SELECT 'c-1' AS reference, 'Ada' AS name")
    query, select = ("-", "--query"), "SELECT * FROM customers"
    key = {"MONRI_MERCHANT_KEY": "", "MONRI_MERCHANT_KEY_FILE": "key"}
    cases: tuple[tuple[str, str, tuple[str, ...], dict[str, str]], ...] = (
        ("m.toml", "mapping", ("c.csv", "--mapping", "m.toml"), {}),
        ("plan", "saved plan", ("c.csv", "--approved", "plan"), {}),
        ("c.csv", "source", (*query, "SELECT * FROM 'c.csv'"), {}),
        ("c.csv", "source", (*query, "SELECT * FROM '*.csv'"), {}),
        ("shop.db", "source", (*query, select, "--database", "sqlite:///shop.db"), {}),
        ("shop.db", "source", (*query, select, "--database", "SHOP"), {"SHOP": "sqlite:///shop.db"}),
        ("key", "file of MONRI_MERCHANT_KEY_FILE", ("c.csv",), key),
        ("j.lock", "a file of the journal", ("c.csv",), {}),
    )
    # The options share one check of all paths: each path is given with one option.
    for option, (path, what, words, variables) in zip(cycle(OUTPUTS), cases, strict=False):
        before = (tmp_path / path).read_bytes() if path != "j.lock" else b""
        text = sync(USAGE, *words, "--journal", "j", option, path, **variables)
        assert (f"{option} {path} would overwrite" in text, what in text) == (True, True), text
        assert path == "j.lock" or (tmp_path / path).read_bytes() == before
    assert terminal.server.store.ledger("monri") == {}


@pytest.mark.parametrize("option", OUTPUTS)
def test_output_must_not_become_a_part_of_the_source(sync: Sync, tmp_path: Path, option: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "c.csv").rename(tmp_path / "in" / "c.csv")
    (tmp_path / "link").symlink_to("in")
    for path in ("in/x.json", "link/x.json", "in/x.csv.gz"):
        assert f"{option} {path} is in the folder of the source" in sync(USAGE, "in", option, path)
    for path in ("in/x.html", "in/x.html", "in/x.failed.jsonl"):
        sync(SUCCESS, "in", option, path)
    for path in ("x.html", "x.failed.jsonl"):
        (tmp_path / "in" / path).unlink(missing_ok=True)
    assert "is in the folder of the source" in sync(USAGE, "in", "--format", "csv", option, "in/y.html")


@pytest.mark.parametrize("option", OUTPUTS)
def test_output_that_cannot_be_written_is_refused_before_the_job(
    sync: Sync, server: SimulatorServer, tmp_path: Path, option: str
) -> None:
    (tmp_path / "no").mkdir(mode=0o500)
    # Root can write to every folder of a normal file system.
    folder = next((it for it in (tmp_path / "no", Path("/proc/sys")) if not os.access(it, os.W_OK)), None)
    if folder is None:
        pytest.skip("this user can write to every folder")
    text = sync(USAGE, "c.csv", option, str(folder / "r"))
    assert f"{folder / 'r'} cannot be written, because of the permissions" in text
    assert f"Give another path with {option}. Nothing was sent." in text
    assert server.store.ledger("monri") == {}


def test_failed_rows_of_a_source_in_a_read_only_folder_are_beside_the_journal(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    (data := terminal.folder / "data").mkdir()
    (terminal.folder / "state").mkdir()
    (data / "c.csv").write_text("reference,name\nc-1,Ada\n,Eve\n", encoding="utf-8")
    usual = os.access
    # The user root can write to every folder.
    monkeypatch.setattr(
        os, "access", lambda path, mode: not (mode & os.W_OK and Path(path) == data) and usual(path, mode)
    )
    text = terminal.ends(FAILED, "sync", "data/c.csv", "--to", "monri", "--journal", "state/j")
    assert "The reasons are in state/c.csv.monri.failed.jsonl." in text
    assert [it.name for it in data.iterdir()] == ["c.csv"]


@contextmanager
def limit_on_files(size: int) -> Iterator[None]:
    """Limit the size of the files that this process writes."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_file_that_does_not_fit_on_the_disk_leaves_the_previous_one(folder: Path) -> None:
    (folder / "old").write_text("old")
    (folder / "link").symlink_to("old")
    for path in map(Path, ("old", "link", "new")):
        with limit_on_files(9), pytest.raises(OSError, match="File too large"):
            replace_private(path, b"0123456789")
    with limit_on_files(9), pytest.raises(ConfigurationError, match="new cannot be written: File too large"):
        new_file(Path("new"), "0123456789")
    assert {it.name: it.read_text() for it in folder.iterdir()} == {"old": "old", "link": "old"}


@pytest.mark.parametrize("option", ["--report", "--html", "--heartbeat"])
def test_report_is_written_through_links_and_to_open_files(sync: Sync, tmp_path: Path, option: str) -> None:
    (tmp_path / "kept").write_text("old")
    (tmp_path / "link").symlink_to("kept")
    sync(SUCCESS, "c.csv", option, "link")
    assert (tmp_path / "link").is_symlink()
    assert "monri" in (tmp_path / "kept").read_text()
    with (tmp_path / "open").open("w+") as opened:
        sync(SUCCESS, "c.csv", option, f"/dev/fd/{opened.fileno()}")
        assert "monri" in opened.read()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a link to another user")
def test_link_of_another_user_in_a_shared_folder_is_not_followed(sync: Sync, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("old")
    (shared := tmp_path / "shared").mkdir()
    for name, owner in (("own", 0), ("planted", 1234)):
        (shared / name).symlink_to("../kept")
        os.chown(shared / name, owner, owner, follow_symlinks=False)
    shared.chmod(0o1777)
    text = sync(FAILED, "c.csv", "--report", "shared/planted")
    assert "report shared/planted could not be written: Permission denied" in text
    assert (tmp_path / "kept").read_text() == "old"
    sync(SUCCESS, "c.csv", "--report", "shared/own")
    shared.chmod(0o777)
    sync(SUCCESS, "c.csv", "--report", "shared/planted")


def test_failed_rows_with_a_long_name_or_without_a_temporary_file(sync: Sync, tmp_path: Path) -> None:
    name = f"{'f' * 249}.jsonl"
    temporary = tmp_path / f".{name[:40]}.{os.getpid()}"
    for first, second, code in (("", "", FAILED), ("@a.org", "", STOPPED), ("@a.org", "@a.org", SUCCESS)):
        (tmp_path / "c.csv").write_text(f"reference,name,email\nc-1,Ada Nr 1,a{first}\nc-2,Ada Nr 2,b{second}\n")
        if code == STOPPED:
            temporary.mkdir()
        text = sync(code, "c.csv", "--failures", name, "--report", "r.json")
        assert ("adds up" in text, "The report was written to r.json." in text) == (True, True)
        assert ("could not be updated" in text) == (code == STOPPED)
        if code == STOPPED:
            temporary.rmdir()
    assert not (tmp_path / name).exists()


def test_key_that_starts_with_a_tilde_is_no_path(sync: Sync) -> None:
    sync(SUCCESS, "c.csv", PAYDOCK_SECRET_KEY="~no-such-user/key")
