"""The commands ``get``, ``list``, ``delete`` and ``check`` against a simulator."""

import json
import os
import subprocess
import sys

import pytest
from bulk.customers import write_csv
from cli.conftest import Command, Terminal
from cli.stored_customers import store_customer

from wonder_customers import Customer, CustomerDraft, Phone
from wonder_customers.records import CardSource
from wonder_customers.simulator.server import SimulatorServer

Variables = dict[str, str]

GATEWAYS = ["monri", "paydock", "wonder"]
PLAIN = CustomerDraft(
    reference="a/b?c#d é", name="Željka Đurić", email="zeljka@example.com", phone=Phone("+385", "912345678")
)


def created(gateway: str, variables: Variables, draft: CustomerDraft = PLAIN) -> Customer:
    return store_customer(gateway, variables, draft)


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_get_shows_a_customer_by_id_and_by_reference(command: Command, variables: Variables, gateway: str) -> None:
    customer = created(gateway, variables)
    by_id = command("get", gateway, customer.id, env=variables)
    by_reference = command("get", gateway, "--reference", "a/b?c#d é", env=variables)
    assert by_id == by_reference
    code, out, err = by_id
    assert (code, err) == (0, "")
    shown = dict(line.split(None, 1) for line in out.splitlines())
    assert shown["id"].strip() == customer.id
    assert shown["reference"].strip() == "a/b?c#d é"
    assert "Željka Đurić" in out
    assert "None" not in out
    code, out, err = command("get", gateway, customer.id, "--json", env=variables)
    assert (code, err, out.count("\n")) == (0, "", 1)
    read = json.loads(out)
    assert (read["id"], read["reference"]) == (customer.id, "a/b?c#d é")
    assert read["phone"] == {"dial_code": "+385", "number": "912345678"}


def test_json_is_utf8_on_an_ascii_terminal(variables: Variables) -> None:
    customer = created("wonder", variables)
    ascii_only = variables | {"PYTHONIOENCODING": "ascii"}
    words = ["get", "wonder", customer.id]
    program = f"from wonder_customers.cli.app import run; print([run({[*words, '--json']}), run({words})])"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **ascii_only}, capture_output=True, text=True, encoding="utf-8", check=True,
    )  # fmt: skip
    printed, table = done.stdout.split("\n", 1)
    assert json.loads(printed)["name"] == "Željka Đurić"
    assert "\\u017deljka" in table
    assert table.endswith("[0, 0]\n")


def test_customer_fields_are_escaped_for_the_terminal(command: Command, variables: Variables) -> None:
    hostile = CustomerDraft(
        reference="hostile", name="\x1b[2J[red]Ada[/red]", email="\u202egro.elpmaxe@ada", phone=Phone("+44", "7")
    )
    customer = created("wonder", variables, hostile)
    for arguments in (("get", "wonder", customer.id), ("list", "wonder")):
        _, out, _ = command(*arguments, env=variables)
        assert "\\x1b[2J[red]Ada[/red]" in out.replace("\n", "")
        assert not {"\x1b", "\u202e"}.intersection(out)


def test_keys_of_metadata_are_escaped_for_the_terminal(command: Command, variables: Variables) -> None:
    customer = created("monri", variables, CustomerDraft("keys", "Ada", metadata={"p\x1b[2J\u202e[red]x": "\x9b1m"}))
    _, out, _ = command("get", "monri", customer.id, env=variables)
    assert "metadata.p\\x1b[2J\\u202e[red]x" in out
    assert not {"\x1b", "\u202e", "\x9b"}.intersection(out)


@pytest.mark.parametrize(
    "arguments", [("x\x1b[2J\u202e",), ("get", "monri", "--x\x1b[2J\u202e")], ids=["command", "option"]
)
def test_arguments_are_escaped_in_errors(command: Command, arguments: tuple[str, ...]) -> None:
    code, out, err = command(*arguments)
    assert code == 1
    assert "x\\x1b[2J\\u202e" in out + err
    assert not {"\x1b", "\u202e"}.intersection(out + err)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "`get` requires GATEWAY and ID or --reference"),
        ("1 --reference 2", "`get` accepts ID or --reference, not both"),
    ],
    ids=["neither", "both"],
)
def test_get_requires_either_id_or_reference(command: Command, arguments: str, message: str) -> None:
    code, out, err = command("get", "wonder", *arguments.split())
    assert (code, out, message in err) == (1, "", True)


def test_list_continues_from_a_cursor(command: Command, variables: Variables) -> None:
    wanted = {created("monri", variables, CustomerDraft(reference=f"page-{n}")).id for n in range(5)}
    found: set[str] = set()
    more: tuple[str, ...] = ()
    for _ in range(9):
        code, out, err = command("list", "monri", "--limit", "2", "--json", *more, env=variables)
        assert code == 0
        found |= {json.loads(line)["id"] for line in out.splitlines()}
        if not err:
            break
        more = tuple(err.split()[-2:])
        assert more[0] == "--cursor"
    assert found >= wanted


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_list_with_fewer_customers_than_the_limit_is_the_end(
    gateway: str, command: Command, variables: Variables
) -> None:
    created(gateway, variables, CustomerDraft(reference="only", name="Ada", phone=Phone("+385", "911234567")))
    code, out, err = command("list", gateway, "--limit", "1000", "--json", env=variables)
    assert (code, out.count("only"), err) == (0, 1, "")


def test_list_has_the_filters_of_the_gateway(command: Command, variables: Variables) -> None:
    wanted = created("paydock", variables, CustomerDraft(reference="filtered", first_name="Ada")).id
    code, out, _ = command("list", "paydock", "--filter", "reference=filtered", env=variables)
    assert (code, [line.split()[0] for line in out.splitlines()[2:]]) == (0, [wanted])
    nothing = command("list", "paydock", "--filter", "reference=missing", env=variables)
    assert nothing == (0, "", "No customers found at paydock.\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("paydock --filter reference", "--filter must be NAME=VALUE, not 'reference'\n"),
        (
            "paydock --filter search=Ada --filter search=Eve",
            "--filter has a condition twice. Give each condition once.\n",
        ),
        ("paydock --filter archived=perhaps", "filter.archived: must be True or False"),
        ("monri --filter name=Ada", "monri does not support filters on lists"),
    ],
)
def test_invalid_filter_is_refused(command: Command, variables: Variables, words: str, message: str) -> None:
    code, _, err = command("list", *words.split(), env=variables)
    assert (code, message in err) == (1, True)


@pytest.mark.parametrize(("gateway", "result"), [("monri", "deleted"), ("paydock", "archived")])
@pytest.mark.parametrize("as_json", [False, True])
def test_delete_says_what_happened_to_the_customer(
    command: Command, variables: Variables, gateway: str, result: str, as_json: bool
) -> None:
    customer_id = created(gateway, variables, CustomerDraft(reference=f"gone {as_json}", name="Ada")).id
    code, out, err = command("delete", gateway, customer_id, *(["--json"] if as_json else []), env=variables)
    if as_json:
        assert (code, err) == (0, "")
        assert json.loads(out) == {"gateway": gateway, "id": customer_id, "deleted": True, "result": result}
        return
    assert (code, out, err) == (0, "", f"{gateway}: the customer {customer_id} was {result}.\n")
    if gateway == "monri":
        _, out, _ = command("get", gateway, customer_id, "--json", env=variables)
        assert json.loads(out)["deleted"] is True


@pytest.mark.parametrize("gateway", ["monri", "paydock"])
def test_delete_looks_the_reference_up(command: Command, variables: Variables, gateway: str) -> None:
    customer = created(gateway, variables, CustomerDraft(reference="by ref/1", name="Ada"))
    words = ("delete", gateway, "--reference", "by ref/1")
    code, out, _ = command(*words, "--json", env=variables)
    assert (code, json.loads(out)["id"]) == (0, customer.id)
    assert command(*words, env=variables)[0] == 2  # an earlier deletion
    code, _, err = command(*words, customer.id, env=variables)
    assert (code, "`delete` accepts ID or --reference, not both" in err) == (1, True)
    code, _, err = command("delete", "wonder", "--reference", "x", env=variables)
    assert (code, err.endswith("Nothing was sent.\n")) == (1, True)


def test_failed_call_prints_one_line(command: Command, variables: Variables) -> None:
    code, out, err = command("get", "wonder", "missing", env=variables)
    assert (code, out) == (2, "")
    assert err.startswith("wonder-customers: wonder get: the gateway refused the request with HTTP 404")
    assert err.endswith("`wonder-customers get wonder --reference REFERENCE` finds a customer by reference.\n")
    assert err.count("\n") == 1


def test_id_that_changes_the_path_is_refused(command: Command, variables: Variables) -> None:
    code, _, err = command("get", "monri", "..", env=variables)
    assert code == 1
    assert "Nothing was changed" in err


# Credentials


@pytest.mark.parametrize(("status", "valid"), [(403, True), (500, False)], ids=["page of a firewall", "failure"])
def test_check_does_not_judge_credentials_by_another_error(
    command: Command, server: SimulatorServer, status: int, valid: bool
) -> None:
    server.faults.add("server_error", status=status, times=None)
    code, out, _ = command("check", "monri", "--json", env=server.environment())
    assert (code, json.loads(out)["credentials"], "The credentials may be valid" in out) == (2, "unknown", valid)


def test_check_reports_right_credentials(command: Command, variables: Variables) -> None:
    code, out, _ = command("check", env=variables)
    assert code == 0
    assert [line.split()[:2] for line in out.splitlines()[2:]] == [[name, "right"] for name in GATEWAYS]
    assert command("check", "monri", "--json", env=variables)[1] == (
        f'{{"gateway":"monri","credentials":"right","base_url":"{variables["MONRI_BASE_URL"]}","message":null}}\n'
    )


def test_check_names_missing_variables(command: Command) -> None:
    code, out, _ = command("check")
    assert code == 1
    for name in ("WONDER_APP_ID", "WONDER_PRIVATE_KEY", "PAYDOCK_SECRET_KEY", "PAYDOCK_ACCESS_TOKEN"):
        assert name in out
    assert "MONRI_MERCHANT_KEY and MONRI_AUTHENTICITY_TOKEN" in out
    assert "wonder-customers simulator" in out


def test_check_ignores_gateways_without_settings(command: Command, variables: Variables) -> None:
    only = {name: value for name, value in variables.items() if name.startswith("PAYDOCK_")}
    assert command("check", env=only)[0] == 0
    assert command("check", env={**only, "WONDER_CUSTOMERS_SYNC_KEY": "k" * 32})[0] == 0
    assert command("check", "wonder", env=only)[0] == 1


@pytest.mark.parametrize(
    ("changed", "gateway", "code", "expected"),
    [
        ({"PAYDOCK_SECRET_KEY": "planted-secret"}, "paydock", 2, "refused the request with HTTP 403"),
        ({"MONRI_MERCHANT_KEY": "planted-secret"}, "monri", 2, "refused the request with HTTP 401"),
        ({"WONDER_APP_ID": "planted-secret"}, "wonder", 2, "refused the request with HTTP 40"),
        ({"PAYDOCK_SECRET_KEY": "planted-secret\n"}, "paydock", 1, "line breaks"),
        ({"WONDER_PRIVATE_KEY": "/planted-secret/no-such-file"}, "wonder", 1, "WONDER_PRIVATE_KEY"),
        ({"WONDER_PRIVATE_KEY": "-----BEGIN planted-secret"}, "wonder", 1, "WONDER_PRIVATE_KEY"),
        ({"MONRI_BASE_URL": "http://gateway.example"}, "monri", 1, "https"),
    ],
)
def test_check_reports_wrong_credentials_without_showing_them(
    command: Command, variables: Variables, changed: Variables, gateway: str, code: int, expected: str
) -> None:
    for arguments in (("check",), ("check", gateway), ("check", gateway, "--json")):
        ended, out, err = command(*arguments, env=variables | changed)
        assert ended == code
        assert expected in out
        assert "planted-secret" not in out + err


def test_check_reports_an_unreachable_gateway(command: Command, variables: Variables) -> None:
    code, out, _ = command("check", "monri", "--json", env=variables | {"MONRI_BASE_URL": "http://127.0.0.1:9"})
    assert code == 2
    result = json.loads(out)
    assert (result["credentials"], result["base_url"]) == ("unknown", "http://127.0.0.1:9")
    assert "not sent" in result["message"]


def test_get_lists_cards_without_their_numbers(command: Command, server: SimulatorServer) -> None:
    variables = server.environment()
    card = CardSource("4111111111111111", "12", "2031", "Ada Lovelace", "123", gateway_id="5" * 24)
    made = store_customer("paydock", variables, CustomerDraft("c-1", "Ada", email="a@example.com", payment_source=card))
    code, out, _ = command("get", "paydock", made.id, env=variables)
    assert code == 0
    assert "payment_tokens.0." in out
    assert "4111111111111111" not in out
    assert "1111" in out


def test_plan_prints_one_line_of_json(terminal: Terminal) -> None:
    source = write_csv(terminal.folder / "c.csv", 2)
    source.write_text(f"{source.read_text()},Ada,ada@example.org,\n")
    code, out, _ = terminal.run("plan", "c.csv", "--to", "monri", "--diff", "--json")
    found = json.loads(out)
    assert (code, found["creates"], found["invalid"], out.count("\n")) == (2, 2, 1, 1)
    assert [(it["row"], it["status"]) for it in found["problems"]] == [(3, "invalid")]
    assert (found["source_changes"]["footers"], "example.com" in out) == (0, False)
