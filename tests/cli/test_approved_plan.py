"""``plan --save``, ``plan --diff`` and ``sync --approved``."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from bulk.customers import write_csv
from cli.conftest import Terminal

from wonder_customers.cli.exit_codes import SUCCESS, USAGE
from wonder_customers.simulator.server import SimulatorServer


def test_saved_plan_is_carried_out_and_a_changed_file_is_refused(terminal: Terminal) -> None:
    def run(code: int, name: str, *words: str) -> str:
        return terminal.ends(code, name, "c.csv", "--to", "monri", *words)

    folder, ledger = terminal.folder, partial(terminal.server.store.ledger, "monri")
    write_csv(folder / "c.csv", 4)
    assert "The plan was written to first.plan." in run(SUCCESS, "plan", "--save", "first.plan")
    # A journal would mean that a job has started, and the first job at production asks for a confirmation.
    assert sorted(it.name for it in folder.iterdir()) == ["c.csv", "c.csv.monri.journal.key", "first.plan"]
    write_csv(folder / "c.csv", 4, version="2")
    assert "would make now: contents (changed)." in run(USAGE, "sync", "--approved", "first.plan")
    assert ledger() == {}
    write_csv(folder / "c.csv", 4)
    text = run(USAGE, "sync", "--approved", "first.plan", "--empty", "keep")
    assert "--empty (own in the plan, now keep)" in text
    run(SUCCESS, "sync", "--approved", "first.plan")
    assert len(ledger()) == 4
    terminal.change("ada.1@example.com", "eve@example.org")
    text = run(SUCCESS, "plan", "--diff", "--save", "second plan")
    assert "--approved 'second plan'" in text
    assert " email: axx.9@xxxxxxx.xxx → exx@xxxxxxx.xxx" in text
    run(SUCCESS, "sync", "--approved", "second plan")
    assert "would make now: journal (changed)." in run(USAGE, "sync", "--approved", "second plan")


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


REFUSED = {
    "plan --journal no/j --save a.plan": "no/j cannot be used as a journal: No such file or directory",
    "sync --approved x --on ray": "cannot be used with --on",
    "plan --save x --simulator": "--save requires a journal",
}


@pytest.mark.parametrize("words", REFUSED)
def test_plan_without_a_place_or_a_kept_journal_is_refused(words: str, terminal: Terminal) -> None:
    write_csv(terminal.folder / "c.csv", 4)
    name, *options = words.split()
    assert REFUSED[words] in terminal.ends(USAGE, name, "c.csv", "--to", "monri", *options)
