"""Files without column names: the values of the first customer are in no message."""

import pytest
from cli.conftest import Terminal

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
def test_message_contains_no_value(case: str, terminal: Terminal) -> None:
    data, advice = FIRST_CUSTOMERS[case]
    (terminal.folder / "c.csv").write_text(data)
    text = terminal.ends(USAGE, "plan", "c.csv", "--to", "monri")
    assert advice in text
    shown = terminal.ends(SUCCESS, "columns", "c.csv")
    assert "the first line may contain the first customer" in shown
    assert not any(value in text + shown for value in VALUES)


@pytest.mark.parametrize(
    ("name", "data", "shown"),
    [
        ("c.csv", "Reference Nr,Shoe\n1,2\n", "'Reference Nr' (did you mean reference?), 'Shoe'"),
        ("c.csv", "reference,name,2026-01-01\n1,Ada,2\n", "'2026-01-01'"),
        ("c.jsonl", '{"reference": "1", "@odata.etag": "x", "Shoe": 2, "a@odata.type": "y"}\n', "'Shoe'"),
    ],
)
def test_names_of_columns_are_shown(name: str, data: str, shown: str, terminal: Terminal) -> None:
    (terminal.folder / name).write_text(data)
    assert shown in terminal.ends(USAGE, "plan", name, "--to", "monri")


def test_columns_shows_a_source_without_a_reference(terminal: Terminal) -> None:
    (terminal.folder / "c.csv").write_text("email,name,Shoe\na@example.test,Ada,2\n")
    text = terminal.ends(SUCCESS, "columns", "c.csv")
    assert ("Shoe" in text, "No column is the reference" in text) == (True, True)


@pytest.mark.parametrize(
    ("names", "advice"),
    [
        ("First Name,Name", "--map 'Name=last_name', or leave 'First Name' out with --map 'First Name='."),
        ("Name,Last Name", "--map 'Name=first_name', or leave 'Last Name' out with --map 'Last Name='."),
    ],
)
@pytest.mark.parametrize("gateway", ["monri", "paydock", "wonder"])
def test_column_that_may_be_a_full_name_or_a_part_is_refused_once(
    names: str, advice: str, gateway: str, terminal: Terminal
) -> None:
    data = f"reference,{names},email,phone\nc-1,Ada,Low,ada@example.test,+385912345678\n"
    (terminal.folder / "c.csv").write_text(data)
    assert advice in terminal.ends(USAGE, "plan", "c.csv", "--to", gateway)
    terminal.ends(SUCCESS, "columns", "c.csv")
    terminal.ends(SUCCESS, "plan", "c.csv", "--to", gateway, "--map", advice.split("'")[1])


def test_column_with_the_name_beside_both_parts_is_left_out(terminal: Terminal) -> None:
    data = "reference,First Name,Last Name,Name,email\nc-1,Ada,Low,Ada Low,ada@example.test\n"
    (terminal.folder / "c.csv").write_text(data)
    terminal.ends(SUCCESS, "plan", "c.csv", "--to", "monri")
