"""``plan --save``, ``plan --diff`` and ``sync --approved``."""

import subprocess
import sys
from pathlib import Path

import pytest
from bulk.customers import write_csv
from cli.conftest import Command

from wonder_customers.cli.exit_codes import SUCCESS, USAGE
from wonder_customers.simulator.server import SimulatorServer


def test_saved_plan_is_carried_out_and_a_changed_file_is_refused(
    at_simulator: Command, server: SimulatorServer, folder: Path
) -> None:
    def run(*words: str) -> tuple[int, str, str]:
        return at_simulator(*words, "--to", "monri")

    write_csv(folder / "c.csv", 4)
    code, _, err = run("plan", "c.csv", "--save", "first.plan")
    assert (code, "The plan was written to first.plan." in err) == (SUCCESS, True), err
    # A journal would mean that a job has started, and the first job at production asks for a confirmation.
    assert sorted(it.name for it in folder.iterdir()) == ["c.csv", "c.csv.monri.journal.key", "first.plan"]
    write_csv(folder / "c.csv", 4, version="2")
    code, _, err = run("sync", "c.csv", "--approved", "first.plan")
    assert (code, "would make now: contents (changed)." in err, server.store.ledger("monri")) == (USAGE, True, {}), err
    write_csv(folder / "c.csv", 4)
    code, _, err = run("sync", "c.csv", "--approved", "first.plan", "--empty", "keep")
    assert (code, "--empty (own in the plan, now keep)" in err) == (USAGE, True), err
    assert run("sync", "c.csv", "--approved", "first.plan")[0] == SUCCESS
    assert len(server.store.ledger("monri")) == 4
    source = folder / "c.csv"
    source.write_text(source.read_text().replace("ada.1@example.com", "eve@example.org"))
    code, out, err = run("plan", "c.csv", "--diff", "--save", "second plan")
    assert (code, "--approved 'second plan'" in err) == (SUCCESS, True), err
    assert "    email: axx.9@xxxxxxx.xxx → exx@xxxxxxx.xxx" in out
    assert run("sync", "c.csv", "--approved", "second plan")[0] == SUCCESS
    code, _, err = run("sync", "c.csv", "--approved", "second plan")
    assert (code, "would make now: journal (changed)." in err) == (USAGE, True)


@pytest.mark.skipif(sys.platform == "win32", reason="requires a limit on the size of files")
@pytest.mark.parametrize("limit", [97_000, 60_000], ids=["at the end", "in the middle"])
def test_plan_that_does_not_fit_on_the_disk_is_reported_and_removed(
    bare: dict[str, str], server: SimulatorServer, folder: Path, limit: int
) -> None:
    write_csv(folder / "c.csv", 2000)
    code = (
        f"import resource as it, sys; it.setrlimit(it.RLIMIT_FSIZE, ({limit}, {limit}));"
        " from wonder_customers.cli import main; main()"
    )
    words = ["plan", "c.csv", "--to", "monri", "--look-up", "0", "--save", "a.plan"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=folder, env=bare | server.environment(), capture_output=True,
        text=True, check=False, timeout=300,
    )  # fmt: skip
    message = "a.plan cannot be written: File too large. The plan was not saved. Choose another file."
    assert (done.returncode, done.stderr) == (USAGE, f"wonder-customers: {message}\n")
    assert not (folder / "a.plan").exists()


def test_plan_in_a_missing_folder_is_refused(at_simulator: Command, folder: Path) -> None:
    write_csv(folder / "c.csv", 4)
    code, _, err = at_simulator("plan", "c.csv", "--to", "monri", "--journal", "no/j", "--save", "a.plan")
    assert (code, "no/j cannot be used as a journal: No such file or directory" in err) == (USAGE, True)


def test_approved_plan_is_refused_on_ray_and_without_a_kept_journal(
    command: Command, at_simulator: Command, folder: Path
) -> None:
    write_csv(folder / "c.csv", 4)
    words = ("c.csv", "--to", "paydock")
    code, _, err = at_simulator("sync", *words, "--approved", "x", "--on", "ray")
    assert (code, "cannot be used with --on" in err) == (USAGE, True)
    code, _, err = command("plan", *words, "--save", "x", "--simulator")
    assert (code, "--save requires a journal" in err) == (USAGE, True)
