"""``plan --save``, ``plan --diff`` and ``sync --approved``."""

from collections.abc import Callable
from pathlib import Path

from bulk.customers import write_csv

from wonder_customers.cli.exit_codes import SUCCESS, USAGE
from wonder_customers.simulator.server import SimulatorServer

Run = Callable[..., tuple[int, str, str]]


def test_saved_plan_is_carried_out_and_a_changed_file_is_refused(
    command: Run, server: SimulatorServer, folder: Path
) -> None:
    def run(*words: str) -> tuple[int, str, str]:
        return command(*words, "--to", "monri", env=server.environment() | {"COLUMNS": "160"})

    write_csv(folder / "c.csv", 4)
    code, _, err = run("plan", "c.csv", "--save", "first.plan")
    assert (code, "The plan was written to first.plan." in err) == (SUCCESS, True), err
    # A journal would mean that a job has started, and the first job at production asks for a confirmation.
    assert sorted(it.name for it in folder.iterdir()) == ["c.csv", "c.csv.monri.journal.key", "first.plan"]
    write_csv(folder / "c.csv", 4, version="2")
    code, _, err = run("sync", "c.csv", "--approved", "first.plan")
    assert (code, "would make now: contents." in err, server.store.ledger("monri")) == (USAGE, True, {}), err
    write_csv(folder / "c.csv", 4)
    code, _, err = run("sync", "c.csv", "--approved", "first.plan", "--empty", "keep")
    assert (code, "--empty (own in the plan, now keep)" in err) == (USAGE, True), err
    assert run("sync", "c.csv", "--approved", "first.plan")[0] == SUCCESS
    assert len(server.store.ledger("monri")) == 4
    source = folder / "c.csv"
    source.write_text(source.read_text().replace("ada.1@example.com", "eve@example.org"))
    code, out, _ = run("plan", "c.csv", "--diff", "--save", "second.plan")
    assert code == SUCCESS
    assert "    email: axx.9@xxxxxxx.xxx → exx@xxxxxxx.xxx" in out
    assert run("sync", "c.csv", "--approved", "second.plan")[0] == SUCCESS
    code, _, err = run("sync", "c.csv", "--approved", "second.plan")
    assert (code, "would make now: journal." in err) == (USAGE, True)


def test_approved_plan_is_refused_on_ray_and_without_a_kept_journal(
    command: Run, server: SimulatorServer, folder: Path
) -> None:
    write_csv(folder / "c.csv", 4)
    words = ("c.csv", "--to", "paydock")
    code, _, err = command("sync", *words, "--approved", "x", "--on", "ray", env=server.environment())
    assert (code, "cannot be used with --on" in err) == (USAGE, True)
    code, _, err = command("plan", *words, "--save", "x", "--simulator")
    assert (code, "--save requires a journal" in err) == (USAGE, True)
