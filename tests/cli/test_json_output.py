"""JSON output and nested values of the commands for single customers."""

import json
from pathlib import Path

from bulk.customers import write_csv
from cli.conftest import Command
from cli.stored_customers import store_customer

from wonder_customers import CardSource, CustomerDraft
from wonder_customers.simulator.server import SimulatorServer


def test_delete_prints_a_json_line(command: Command, server: SimulatorServer) -> None:
    variables = server.environment()
    made = store_customer("paydock", variables, CustomerDraft("c-1", "Ada"))
    code, out, err = command("delete", "paydock", made.id, "--json", env=variables)
    assert (code, err) == (0, "")
    assert json.loads(out) == {"gateway": "paydock", "id": made.id, "deleted": True, "result": "archived"}


def test_check_reports_unknown_when_the_gateway_fails(command: Command, server: SimulatorServer) -> None:
    server.faults.add("server_error", times=None, status=500)
    code, out, _ = command("check", "paydock", "--json", env=server.environment())
    assert code == 2
    assert json.loads(out)["credentials"] == "unknown"


def test_get_lists_cards_without_their_numbers(command: Command, server: SimulatorServer) -> None:
    variables = server.environment()
    card = CardSource("4111111111111111", "12", "2031", "Ada Lovelace", "123", gateway_id="5" * 24)
    made = store_customer("paydock", variables, CustomerDraft("c-1", "Ada", email="a@example.com", payment_source=card))
    code, out, _ = command("get", "paydock", made.id, env=variables)
    assert code == 0
    assert "payment_tokens.0." in out
    assert "4111111111111111" not in out
    assert "1111" in out


def test_plan_prints_one_line_of_json(at_simulator: Command, folder: Path) -> None:
    source = write_csv(folder / "c.csv", 2)
    source.write_text(f"{source.read_text()},Ada,ada@example.org,\n")
    code, out, _ = at_simulator("plan", "c.csv", "--to", "monri", "--diff", "--json")
    found = json.loads(out)
    assert (code, found["creates"], found["invalid"], out.count("\n")) == (2, 2, 1, 1)
    assert [(it["row"], it["status"]) for it in found["problems"]] == [(3, "invalid")]
    assert (found["source_changes"]["footers"], "example.com" in out) == (0, False)
