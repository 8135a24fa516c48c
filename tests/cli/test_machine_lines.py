"""What the commands for single customers say to machines, and how they show what is nested."""

import json
from collections.abc import Callable
from functools import partial

import anyio

from wonder_customers import CardSource, Customer, CustomerDraft, CustomerSession
from wonder_customers.cli.accounts import account_from_environment
from wonder_customers.simulator.server import SimulatorServer

Command = Callable[..., tuple[int, str, str]]


async def _created(variables: dict[str, str], draft: CustomerDraft) -> Customer:
    async with CustomerSession(account_from_environment("paydock", variables)) as session:
        return await session.create(draft)


def test_a_deletion_is_a_line_of_json(command: Command, server: SimulatorServer) -> None:
    variables = server.environment()
    made = anyio.run(partial(_created, variables, CustomerDraft("c-1", "Ada")))
    code, out, err = command("delete", "paydock", made.id, "--json", env=variables)
    assert (code, err) == (0, "")
    assert json.loads(out) == {"gateway": "paydock", "id": made.id, "deleted": True}


def test_a_gateway_that_answers_with_an_error_leaves_the_credentials_unknown(
    command: Command, server: SimulatorServer
) -> None:
    server.faults.add("server_error", times=None, status=500)
    code, out, _ = command("check", "paydock", "--json", env=server.environment())
    assert code == 2
    assert json.loads(out)["credentials"] == "unknown"


def test_cards_are_shown_one_below_the_other_without_their_numbers(command: Command, server: SimulatorServer) -> None:
    variables = server.environment()
    card = CardSource("4111111111111111", "12", "2031", "Ada Lovelace", "123", gateway_id="5" * 24)
    made = anyio.run(
        partial(_created, variables, CustomerDraft("c-1", "Ada", email="a@example.com", payment_source=card))
    )
    code, out, _ = command("get", "paydock", made.id, env=variables)
    assert code == 0
    assert "payment_tokens.0." in out
    assert "4111111111111111" not in out
    assert "1111" in out
