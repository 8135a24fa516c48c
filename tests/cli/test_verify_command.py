"""``verify``: sources that changed, migrations, removed customers."""

import json
from pathlib import Path

import pytest
from bulk.customers import write_csv
from cli.conftest import Command

from wonder_customers.cli.exit_codes import FAILED, SUCCESS, USAGE
from wonder_customers.dialects import names
from wonder_customers.simulator.server import SimulatorServer


@pytest.mark.parametrize("gateway", names())
def test_verify_reports_that_the_source_changed(gateway: str, at_simulator: Command, folder: Path) -> None:
    source, journal = write_csv(folder / "c.csv", 3), f"c.csv.{gateway}.journal"
    assert at_simulator("sync", "c.csv", "--to", gateway)[0] == SUCCESS
    code, _, err = at_simulator("verify", journal)
    assert (code, "has changed" in err) == (SUCCESS, False)
    write_csv(source, 4)
    source.write_text(source.read_text().replace("ada.1@example.com", "eve@example.org"))
    code, out, err = at_simulator("verify", journal)
    assert code == FAILED
    assert "c.csv differs from the source of run 1 (the names, sizes, times of change," in err
    assert "Rows that have changed in the source since they were sent: 1. `sync` sends the rows again." in err
    assert "row 2, c-1: different: email (the row changed in the source after it was sent)" in out
    assert "not confirmed, so not compared │ 1" in out
    assert "To send all customers again, including missing and different customers, run `sync` with --full." in err


def test_verify_of_an_unfinished_run_advises_to_continue_it(at_simulator: Command, folder: Path) -> None:
    changed = write_csv(folder / "c.csv", 3).read_text().replace("ada.1@example.com", "eve@example.org")
    (folder / "changed.csv").write_text(changed)
    assert at_simulator("sync", "c.csv", "--to", "monri", "--first", "2")[0] == SUCCESS
    assert at_simulator("sync", "changed.csv", "--to", "monri")[0] == SUCCESS
    code, _, err = at_simulator("verify", "c.csv.monri.journal")
    text = " ".join(err.split())
    continued = "The last run is not finished. To continue, run: wonder-customers resume c.csv.monri.journal"
    assert (code, continued in text, "--full" in text) == (FAILED, True, False)
    assert at_simulator("resume", "c.csv.monri.journal")[0] == SUCCESS
    code, _, err = at_simulator("verify", "c.csv.monri.journal")
    assert (code, "run `sync` with --full." in err) == (FAILED, True)


@pytest.mark.parametrize(("origin", "target"), [("paydock", "monri"), ("monri", "paydock"), ("monri", "wonder")])
def test_verify_compares_a_migration(
    origin: str, target: str, at_simulator: Command, server: SimulatorServer, folder: Path
) -> None:
    write_csv(folder / "c.csv", 3)
    journal = f"migrate.{origin}.{target}.journal"
    assert at_simulator("sync", "c.csv", "--to", origin)[0] == SUCCESS
    assert at_simulator("migrate", "--from", origin, "--to", target, "--accept-losses")[0] == SUCCESS
    code, out, err = at_simulator("verify", journal)
    assert (code, "3 of 3 rows were read back" in out) == (SUCCESS, True), err
    code, _, err = at_simulator("verify", journal, "--source", "c.csv")
    assert (code, f"--source has no effect, because {journal} is the journal of a migration" in err) == (USAGE, True)
    changed = folder / "changed.csv"
    changed.write_text(write_csv(folder / "c.csv", 3).read_text().replace("ada.1@example.com", "eve@example.org"))
    assert at_simulator("sync", "changed.csv", "--to", target)[0] == SUCCESS
    code, out, err = at_simulator("verify", journal)
    assert (code, "c-1: different: email" in out) == (FAILED, True)
    assert "run `migrate` with a new journal." in err


def test_migration_with_failed_rows_names_the_command_that_sends_them(
    at_simulator: Command, server: SimulatorServer, folder: Path
) -> None:
    write_csv(folder / "c.csv", 1)
    assert at_simulator("sync", "c.csv", "--to", "paydock")[0] == SUCCESS
    server.faults.add("server_error", gateway="monri", method="POST", status=400)
    migrate = ("migrate", "--from", "paydock", "--to", "monri")
    code, _, err = at_simulator(*migrate, "--accept-losses")
    command = f"wonder-customers {' '.join(migrate)} --journal migrate.paydock.monri.journal --accept-losses"
    assert (code, err.splitlines()[-1]) == (FAILED, f"To send the failed rows again, run: {command}")
    assert at_simulator(*command.split()[1:])[0] == SUCCESS


def test_verify_needs_the_credentials_of_the_migrated_gateway(
    at_simulator: Command, command: Command, server: SimulatorServer, folder: Path
) -> None:
    write_csv(folder / "c.csv", 3)
    assert at_simulator("sync", "c.csv", "--to", "paydock")[0] == SUCCESS
    assert at_simulator("migrate", "--from", "paydock", "--to", "monri")[0] == SUCCESS
    env = {name: value for name, value in server.environment().items() if name.startswith("MONRI")}
    code, _, err = command("verify", "migrate.paydock.monri.journal", env=env)
    assert (code, "paydock" in err) == (USAGE, True)


@pytest.mark.parametrize("gateway", ["paydock", "monri"])
def test_verify_shows_removed_customers(gateway: str, at_simulator: Command, folder: Path) -> None:
    write_csv(folder / "c.csv", 3)
    assert at_simulator("sync", "c.csv", "--to", gateway)[0] == SUCCESS
    write_csv(folder / "c.csv", 2)
    assert at_simulator("sync", "c.csv", "--to", gateway, "--removed", "delete", "--max-removed", "1")[0] == SUCCESS
    code, out, _ = at_simulator("verify", f"c.csv.{gateway}.journal")
    assert (code, "removed, as expected │ 1" in out, "2 of 2 rows were read back" in out) == (SUCCESS, True, True)


def test_verify_shows_why_a_row_cannot_be_read(at_simulator: Command, folder: Path) -> None:
    source = write_csv(folder / "c.csv", 2)
    source.write_text(f"{source.read_text()},Ada,ada@example.org,\nc-3,Ada,none,\n")
    at_simulator("sync", "c.csv", "--to", "monri")
    _, out, _ = at_simulator("verify", "c.csv.monri.journal")
    found = " ".join(out.split())
    assert "row 3, without a reference: invalid: line 4: the row has no reference" in found
    assert "row 4, c-3: invalid: line 5, column email: the value is not an e-mail address" in found


@pytest.mark.parametrize("gateway", names())
def test_verify_fails_if_emptied_cells_cannot_be_sent(
    gateway: str, at_simulator: Command, server: SimulatorServer, folder: Path
) -> None:
    source, journal = write_csv(folder / "c.csv", 2), f"c.csv.{gateway}.journal"
    assert at_simulator("sync", "c.csv", "--to", gateway)[0] == SUCCESS
    head, first, _ = source.read_text().splitlines()
    source.write_text(f"{head}\n{first}\nc-1{',' * head.count(',')}\n")
    server.faults.add("server_error", times=None, gateway=gateway, status=400)  # Monri and Paydock: no invalid row
    assert at_simulator("sync", "c.csv", "--to", gateway)[0] == FAILED
    server.faults.clear()
    code, out, _ = at_simulator("verify", journal, "--json")
    found = json.loads(out)
    expected = "invalid" if gateway == "wonder" else "failed"
    assert (code, found["counts"], found["wrong"]) == (FAILED, {"equal": 1, expected: 1}, 0)
    assert [(it["number"], it["result"]) for it in found["findings"]] == [(2, expected)]


def test_verify_says_that_a_deleted_customer_may_keep_its_reference(at_simulator: Command, folder: Path) -> None:
    write_csv(folder / "c.csv", 2)
    assert at_simulator("sync", "c.csv", "--to", "monri")[0] == SUCCESS
    _, out, _ = at_simulator("get", "monri", "--reference", "c-1", "--json")
    assert at_simulator("delete", "monri", json.loads(out)["id"])[0] == SUCCESS
    code, _, err = at_simulator("verify", "c.csv.monri.journal")
    assert (code, "give it another reference" in err) == (FAILED, True)
