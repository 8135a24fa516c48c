"""Output files: names that look like markup or shell syntax, and paths that name an input."""

import os
import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import cycle
from pathlib import Path

import pytest
from bulk.customers import write_csv
from cli.conftest import Command

from wonder_customers.bulk.private_files import replace_private
from wonder_customers.cli.exit_codes import FAILED, STOPPED, SUCCESS, USAGE
from wonder_customers.cli.job_outputs import new_file
from wonder_customers.errors import ConfigurationError
from wonder_customers.simulator.server import SimulatorServer

NAMES = ["x[/bold].csv", "[red]x.csv", "a\x1b[2Jb.csv", "x; echo 'y'.csv", "x\u202egpj.csv"]


@pytest.fixture
def sync(at_simulator: Command, folder: Path) -> Command:
    """Run ``wonder-customers sync`` to Monri in a new folder that contains ``c.csv``."""
    write_csv(folder / "c.csv", 2)
    return lambda *words, **more: at_simulator("sync", *words, "--to", "monri", **more)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("colour", [{}, {"FORCE_COLOR": "1", "TERM": "xterm-256color"}], ids=["pipe", "terminal"])
def test_file_names_are_escaped_in_titles(sync: Command, tmp_path: Path, name: str, colour: dict[str, str]) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / "c.csv").rename(tmp_path / name)
    code, out, err = sync(name, **colour)
    assert code == SUCCESS, err
    assert "adds up" in out
    assert "\x1b[2J" not in out + err
    assert "\u202e" not in out + err
    if "[" in name and not colour and "\x1b" not in name:
        assert name in out


@pytest.mark.parametrize("name", ["x y.csv", "x;touch z.csv", "$(id).csv"])
def test_printed_commands_are_quoted_for_the_shell(sync: Command, tmp_path: Path, name: str) -> None:
    (tmp_path / "c.csv").rename(tmp_path / name)
    _, _, err = sync(name, "--first", "1")
    line = next(line for line in err.splitlines() if line.startswith("To continue, run: "))
    assert shlex.split(line.partition(": ")[2]) == ["wonder-customers", "resume", f"{name}.monri.journal"]


def test_printed_path_that_begins_with_a_hyphen_is_no_option(
    sync: Command, at_simulator: Command, tmp_path: Path
) -> None:
    (tmp_path / "c.csv").rename(tmp_path / "-c.csv")
    _, _, err = sync("-c.csv", "--first", "1")
    command = shlex.split(next(line for line in err.splitlines() if line.startswith("To continue")).partition(": ")[2])
    assert command == ["wonder-customers", "resume", "./-c.csv.monri.journal"]
    assert at_simulator(*command[1:])[0] == SUCCESS


@pytest.mark.parametrize(
    ("option", "path"),
    [
        *(("--failures", it) for it in ("c.csv", "j", "j.key", "link", "x/../c.csv", "hard")),
        *((option, it) for option in ("--report", "--html") for it in ("c.csv", "j")),
    ],
)
def test_output_must_not_overwrite_an_input(sync: Command, tmp_path: Path, option: str, path: str) -> None:
    (tmp_path / "link").symlink_to("c.csv")
    (tmp_path / "hard").hardlink_to(tmp_path / "c.csv")
    (tmp_path / "x").mkdir()
    before = (tmp_path / "c.csv").read_bytes()
    code, _, err = sync("c.csv", "--journal", "j", option, path)
    assert (code, (tmp_path / "c.csv").read_bytes()) == (USAGE, before)
    assert f"{option} {path} would overwrite the " in err
    assert err.endswith("Give another path.\nNothing was sent.\n")


def test_two_outputs_must_differ(sync: Command) -> None:
    code, _, err = sync("c.csv", "--report", "r", "--html", "r")
    assert (code, "--html r would overwrite the file of --report" in err) == (USAGE, True)


def test_output_must_not_overwrite_a_file_of_a_source_folder(sync: Command, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "c.csv").rename(tmp_path / "folder" / "c.csv")
    code, _, err = sync("folder", "--report", "folder/c.csv")
    assert (code, "would overwrite the source" in err) == (USAGE, True)


OUTPUTS = ["--report", "--html", "--heartbeat", "--failures"]


def test_output_must_not_overwrite_any_other_file_that_the_command_reads(
    sync: Command, at_simulator: Command, server: SimulatorServer, tmp_path: Path
) -> None:
    pytest.importorskip("sqlalchemy", reason="needs the extra sql")
    (tmp_path / "m.toml").write_text('unknown = "ignore"\n')
    (tmp_path / "key").write_text(server.environment()["MONRI_MERCHANT_KEY"])
    assert at_simulator("plan", "c.csv", "--to", "monri", "--save", "plan")[0] == SUCCESS
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
        connection.execute("CREATE TABLE customers AS SELECT 'c-1' AS reference, 'Ada' AS name")
        connection.commit()
    query, select = ("-", "--query"), "SELECT * FROM customers"
    cases: tuple[tuple[str, str, tuple[str, ...], dict[str, str]], ...] = (
        ("m.toml", "mapping", ("c.csv", "--mapping", "m.toml"), {}),
        ("plan", "saved plan", ("c.csv", "--approved", "plan"), {}),
        ("c.csv", "source", (*query, "SELECT * FROM 'c.csv'"), {}),
        ("c.csv", "source", (*query, "SELECT * FROM '*.csv'"), {}),
        ("shop.db", "source", (*query, select, "--database", "sqlite:///shop.db"), {}),
        ("shop.db", "source", (*query, select, "--database", "SHOP"), {"SHOP": "sqlite:///shop.db"}),
        (
            "key",
            "file of MONRI_MERCHANT_KEY_FILE",
            ("c.csv",),
            {"MONRI_MERCHANT_KEY": "", "MONRI_MERCHANT_KEY_FILE": "key"},
        ),
        ("j.lock", "a file of the journal", ("c.csv",), {}),
    )
    # The options share one check of all paths: each path is given with one option.
    for option, (path, what, words, variables) in zip(cycle(OUTPUTS), cases, strict=False):
        before = (tmp_path / path).read_bytes() if path != "j.lock" else b""
        code, _, err = sync(*words, "--journal", "j", option, path, **variables)
        assert (code, f"{option} {path} would overwrite" in err, what in err) == (USAGE, True, True), err
        assert path == "j.lock" or (tmp_path / path).read_bytes() == before
    assert server.store.ledger("monri") == {}


@pytest.mark.parametrize("option", OUTPUTS)
def test_output_must_not_become_a_part_of_the_source(sync: Command, tmp_path: Path, option: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "c.csv").rename(tmp_path / "in" / "c.csv")
    (tmp_path / "link").symlink_to("in")
    for path in ("in/x.json", "link/x.json", "in/x.csv.gz"):
        code, _, err = sync("in", option, path)
        assert (code, f"{option} {path} is in the folder of the source" in err) == (USAGE, True), err
    for path in ("in/x.html", "in/x.failed.jsonl"):
        assert sync("in", option, path)[0] == SUCCESS
        assert sync("in", option, path)[0] == SUCCESS
    for path in ("x.html", "x.failed.jsonl"):
        (tmp_path / "in" / path).unlink(missing_ok=True)
    code, _, err = sync("in", "--format", "csv", option, "in/y.html")
    assert (code, "is in the folder of the source" in err) == (USAGE, True), err


@pytest.mark.parametrize("option", OUTPUTS)
def test_output_that_cannot_be_written_is_refused_before_the_job(
    sync: Command, server: SimulatorServer, tmp_path: Path, option: str
) -> None:
    (tmp_path / "no").mkdir(mode=0o500)
    # Root can write to every folder of a normal file system.
    folder = next((it for it in (tmp_path / "no", Path("/proc/sys")) if not os.access(it, os.W_OK)), None)
    if folder is None:
        pytest.skip("this user can write to every folder")
    code, _, err = sync("c.csv", option, str(folder / "r"))
    assert (code, f"{folder / 'r'} cannot be written, because of the permissions" in err) == (USAGE, True), err
    assert f"Give another path with {option}.\nNothing was sent.\n" in err
    assert server.store.ledger("monri") == {}


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
def test_report_is_written_through_links_and_to_open_files(sync: Command, tmp_path: Path, option: str) -> None:
    (tmp_path / "kept").write_text("old")
    (tmp_path / "link").symlink_to("kept")
    assert sync("c.csv", option, "link")[0] == SUCCESS
    assert (tmp_path / "link").is_symlink()
    assert "monri" in (tmp_path / "kept").read_text()
    with (tmp_path / "open").open("w+") as opened:
        assert sync("c.csv", option, f"/dev/fd/{opened.fileno()}")[0] == SUCCESS
        assert "monri" in opened.read()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a link to another user")
def test_link_of_another_user_in_a_shared_folder_is_not_followed(sync: Command, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("old")
    shared = tmp_path / "shared"
    shared.mkdir()
    for name, owner in (("own", 0), ("planted", 1234)):
        (shared / name).symlink_to("../kept")
        os.chown(shared / name, owner, owner, follow_symlinks=False)
    shared.chmod(0o1777)
    code, _, err = sync("c.csv", "--report", "shared/planted")
    assert (code, "report shared/planted could not be written: Permission denied" in err) == (FAILED, True), err
    assert (tmp_path / "kept").read_text() == "old"
    assert sync("c.csv", "--report", "shared/own")[0] == SUCCESS
    shared.chmod(0o777)
    assert sync("c.csv", "--report", "shared/planted")[0] == SUCCESS


def test_failed_rows_with_a_long_name_or_without_a_temporary_file(sync: Command, tmp_path: Path) -> None:
    name = f"{'f' * 249}.jsonl"
    temporary = tmp_path / f".{name[:40]}.{os.getpid()}"
    for first, second, code in (("", "", FAILED), ("@a.org", "", STOPPED), ("@a.org", "@a.org", SUCCESS)):
        (tmp_path / "c.csv").write_text(f"reference,name,email\nc-1,Ada Nr 1,a{first}\nc-2,Ada Nr 2,b{second}\n")
        if code == STOPPED:
            temporary.mkdir()
        found, out, err = sync("c.csv", "--failures", name, "--report", "r.json")
        assert (found, "adds up" in out, "The report was written to r.json." in err) == (code, True, True), err
        assert ("could not be updated" in err) == (code == STOPPED)
        if code == STOPPED:
            temporary.rmdir()
    assert not (tmp_path / name).exists()


def test_key_that_starts_with_a_tilde_is_no_path(sync: Command) -> None:
    code, _, err = sync("c.csv", PAYDOCK_SECRET_KEY="~no-such-user/key")
    assert code == SUCCESS, err
