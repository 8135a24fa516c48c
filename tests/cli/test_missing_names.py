"""Files without column names: the values of the first customer are in no message."""

from pathlib import Path

import pytest
from cli.conftest import Command

from wonder_customers.cli.exit_codes import SUCCESS, USAGE

FIRST_CUSTOMERS = {
    "similar to the name of a field": ("1,Emily,Watson,Leeds\n2,Ada,Low,Split\n", "insert a line of column names"),
    "name of a field": ("1,Ada Watson,Ulica,+385912345678\n", "insert a line of column names"),
    "e-mail": ("1,Watson,watson@example.test,Leeds\n", "insert a line of column names"),
    "e-mail beside column names": (
        "reference,Watson,watson@example.test,city\n",
        "unknown columns, which are not shown, because the name of a column looks like data of a customer",
    ),
}
VALUES = ("Emily", "Watson", "Leeds", "91234")


@pytest.mark.parametrize("case", FIRST_CUSTOMERS)
def test_message_contains_no_value(case: str, at_simulator: Command, folder: Path) -> None:
    data, advice = FIRST_CUSTOMERS[case]
    (folder / "c.csv").write_text(data)
    code, out, err = at_simulator("plan", "c.csv", "--to", "monri")
    text = " ".join(f"{out}{err}".split())
    assert (code, advice in text) == (USAGE, True), text
    assert not any(value in text for value in VALUES)
    code, out, err = at_simulator("columns", "c.csv")
    text = " ".join(f"{out}{err}".split())
    assert (code, "the first line may contain the first customer" in text) == (SUCCESS, True), text
    assert not any(value in text for value in VALUES)


def test_names_of_columns_are_shown(at_simulator: Command, folder: Path) -> None:
    (folder / "c.csv").write_text("Reference Nr,Shoe\n1,2\n")
    assert "'Reference Nr' (did you mean reference?), 'Shoe'" in at_simulator("plan", "c.csv", "--to", "monri")[2]
    (folder / "c.csv").write_text("reference,name,2026-01-01\n1,Ada,2\n")
    assert "'2026-01-01'" in at_simulator("plan", "c.csv", "--to", "monri")[2]
    (folder / "c.jsonl").write_text('{"reference": "1", "@odata.etag": "x", "Shoe": 2, "a@odata.type": "y"}\n')
    assert "'Shoe'" in at_simulator("plan", "c.jsonl", "--to", "monri")[2]
    (folder / "c.csv").write_text("email,name,Shoe\na@example.test,Ada,2\n")
    _, out, err = at_simulator("columns", "c.csv")
    assert ("Shoe" in out, "No column is the reference" in " ".join(f"{out}{err}".split())) == (True, True)


@pytest.mark.parametrize(
    ("names", "advice"),
    [
        ("First Name,Name", "--map 'Name=last_name', or leave 'First Name' out with --map 'First Name='."),
        ("Name,Last Name", "--map 'Name=first_name', or leave 'Last Name' out with --map 'Last Name='."),
    ],
)
@pytest.mark.parametrize("gateway", ["monri", "paydock", "wonder"])
def test_column_that_may_be_a_full_name_or_a_part_is_refused_once(
    names: str, advice: str, gateway: str, at_simulator: Command, folder: Path
) -> None:
    (folder / "c.csv").write_text(f"reference,{names},email,phone\nc-1,Ada,Low,ada@example.test,+385912345678\n")
    code, out, err = at_simulator("plan", "c.csv", "--to", gateway)
    assert (code, advice in " ".join(f"{out}{err}".split())) == (USAGE, True), f"{out}{err}"
    assert at_simulator("columns", "c.csv")[0] == SUCCESS
    option = advice.split("'")[1]
    assert at_simulator("plan", "c.csv", "--to", gateway, "--map", option)[0] == SUCCESS


def test_column_with_the_name_beside_both_parts_is_left_out(at_simulator: Command, folder: Path) -> None:
    (folder / "c.csv").write_text("reference,First Name,Last Name,Name,email\nc-1,Ada,Low,Ada Low,ada@example.test\n")
    assert at_simulator("plan", "c.csv", "--to", "monri")[0] == SUCCESS
