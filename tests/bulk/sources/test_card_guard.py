"""Columns that may contain card data: one message lists all of them, and the values decide about ambiguous names."""

from pathlib import Path

import pytest
from bulk.sources.read_rows import read_drafts, read_rows

from wonder_customers import ConfigurationError
from wonder_customers.bulk import sources
from wonder_customers.bulk.sources.card_guard import CARD_DATA


def test_all_card_columns_are_listed_at_once(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=r"columns 'Card Number', 'CC', 'Exp Date' seem to contain .* 'CC': ''"
    ):
        read_drafts(tmp_path, "reference,Card Number,CC,Exp Date\n1,,,\n")
    with pytest.raises(ConfigurationError, match=r"columns 'CVV', 'CID' seem to contain card security codes"):
        read_drafts(tmp_path, "reference,CVV,CID\n1,,\n")


@pytest.mark.parametrize(
    ("name", "field"), [("Account Number", "reference"), ("CID", "reference"), ("AccountNumber", "reference")]
)
@pytest.mark.parametrize("value", ["A-1001", "1001", "4111111111111112", "1234567890123456"])
def test_ambiguous_name_that_is_mapped_is_read(name: str, field: str, value: str, tmp_path: Path) -> None:
    (draft,) = read_drafts(tmp_path, f"{name},name\n{value},Ada\n", mapping={name: field})
    assert draft.reference == value


def test_country_code_is_read_from_a_column_cc(tmp_path: Path) -> None:
    (draft,) = read_drafts(tmp_path, "reference,CC\n1,HR\n", mapping={"CC": "address.country"})
    assert draft.address.country == "HR"


@pytest.mark.parametrize("field", ["reference", "metadata.account"])
@pytest.mark.parametrize("value", ["4111111111111111", "4111 1111 1111 1111", "5500-0055-5555-5559", "378282246310005"])
def test_card_number_in_an_ambiguous_column_is_refused_and_not_shown(field: str, value: str, tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text(f"{'Account Number,reference' if field != 'reference' else 'Account Number,x'}\n{value},1\n")
    (row,) = sources.read(path, mapping={"Account Number": field}, unknown="ignore")
    assert (row.problem or "").startswith("line 2, column Account Number: the value contains a card number")
    assert value not in f"{row.problem}{row.reference}"


@pytest.mark.parametrize("value", ['["4111111111111111"]', '{"a": 1}', "4111111111111111", '"4111111111111111"'])
def test_row_with_a_card_of_any_type_has_no_raw_values(value: str, tmp_path: Path) -> None:
    name = "payment_source.number"
    data = f'{{"reference": "r-1", "{name}": null}}\n{{"reference": "r-2", "{name}": {value}}}\n'
    first, second = read_rows(tmp_path, data, "c.jsonl", mapping={name: name})
    assert first.raw_values is not None
    assert second.raw_values is None
    assert second.problem is not None


def test_columns_gives_the_reason_for_which_card_columns_are_refused(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("reference,Kartennummer,CC,colour\n1,4111111111111111,HR,red\n")
    reader = sources.read(tmp_path / "c.csv", inspecting=True)
    uses = {name: why for name, (paths, why) in reader.notes.columns.items() if not paths}
    assert uses == {"Kartennummer": CARD_DATA, "CC": CARD_DATA, "colour": "unknown"}
    with pytest.raises(ConfigurationError, match="'Kartennummer', 'CC' seem to contain card data"):
        sources.read(tmp_path / "c.csv")
