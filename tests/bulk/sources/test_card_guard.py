"""Columns that may contain card data: one message lists all of them, and the values decide about ambiguous names."""

from pathlib import Path

import pytest
from bulk.sources.read_rows import open_rows, read_draft, read_drafts, read_rows

from wonder_customers import ConfigurationError
from wonder_customers.bulk.sources.card_guard import CARD_DATA
from wonder_customers.records import CardSource, VaultToken

CODES = "seem to contain card security codes"
CARDS = "seem to contain card data"
REFUSED: list[tuple[str, dict[str, str], str]] = [
    ("Card Number,CC,Exp Date", {}, "columns 'Card Number', 'CC', 'Exp Date' seem to contain .* 'CC': ''"),
    ("CVV,CID", {}, f"columns 'CVV', 'CID' {CODES}"),
    ("CVV", {}, "security codes"),
    ("CVV", {"CVV": ""}, "security codes"),
    ("card-cvc2", {}, "security codes"),
    ("x", {"x": "payment_source.cvv"}, "security codes"),
    ("CardCode,CardName", {"CardCode": "metadata.x"}, "security codes"),
    ("CardName,cardCode,Exp-Date", {"Exp-Date": ""}, "security codes"),
    ("card_code", {"card_code": "metadata.x"}, "security codes"),
    ("metadata.security_code", {}, "security codes"),
    *((name, {}, "seems to contain card data") for name in ("PAN", "expiry date", "payment_source.number")),
    ("Card Number", {"card number": "metadata.x"}, "seems to contain card data"),
]


@pytest.mark.parametrize(("names", "mapping", "words"), REFUSED)
def test_card_columns_are_refused_and_all_are_listed(
    names: str, mapping: dict[str, str], words: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        read_drafts(tmp_path, f"reference,{names}\n1,2,3,4\n", mapping=mapping)


def test_card_columns_that_are_mapped_are_read(tmp_path: Path) -> None:
    fields = {"Card No": "number", "MM": "expire_month", "YY": "expire_year", "Vault": "vault_token"}
    mapping = {name: f"payment_source.{field}" for name, field in fields.items()}
    lines = ["1,4111111111111111,12,2030,", "2,4111111111111111,,,", "3,,,,abc", "4,4111111111111111,,,abc"]
    rows = read_rows(tmp_path, "\n".join(["reference,Card No,MM,YY,Vault", *lines]), mapping=mapping)
    assert isinstance(rows[0].draft.payment_source, CardSource)
    assert b"4111" not in (rows[0].raw_values or b"")
    names = "payment_source.number, payment_source.expire_month and payment_source.expire_year"
    assert rows[1].problem == f"line 3: a card requires {names}"
    assert rows[2].draft.payment_source == VaultToken("abc")
    assert rows[3].problem == "line 5: the row has both a vault token and a card"


def test_card_column_can_be_excluded_by_name(tmp_path: Path) -> None:
    assert read_draft(tmp_path, "reference,name,pan\nc-1,Ada,4111\n", mapping={"pan": ""}).name == "Ada"


@pytest.mark.parametrize("name", ["Account Number", "CID", "AccountNumber"])
@pytest.mark.parametrize("value", ["A-1001", "1001", "4111111111111112", "1234567890123456"])
def test_ambiguous_name_that_is_mapped_is_read(name: str, value: str, tmp_path: Path) -> None:
    assert read_draft(tmp_path, f"{name},name\n{value},Ada\n", mapping={name: "reference"}).reference == value


def test_country_code_is_read_from_a_column_cc(tmp_path: Path) -> None:
    assert read_draft(tmp_path, "reference,CC\n1,HR\n", mapping={"CC": "address.country"}).address.country == "HR"


@pytest.mark.parametrize("field", ["reference", "metadata.account"])
@pytest.mark.parametrize("value", ["4111111111111111", "4111 1111 1111 1111", "5500-0055-5555-5559", "378282246310005"])
def test_card_number_in_an_ambiguous_column_is_refused_and_not_shown(field: str, value: str, tmp_path: Path) -> None:
    data = f"Account Number,{'x' if field == 'reference' else 'reference'}\n{value},1\n"
    (row,) = read_rows(tmp_path, data, mapping={"Account Number": field}, unknown="ignore")
    assert row.problem.startswith("line 2, column Account Number: the value contains a card number")
    assert value not in f"{row.problem}{row.reference}"


@pytest.mark.parametrize("value", ['["4111111111111111"]', '{"a": 1}', "4111111111111111", '"4111111111111111"'])
def test_row_with_a_card_of_any_type_has_no_raw_values(value: str, tmp_path: Path) -> None:
    name = "payment_source.number"
    data = f'{{"reference": "r-1", "{name}": null}}\n{{"reference": "r-2", "{name}": {value}}}\n'
    first, second = read_rows(tmp_path, data, "c.jsonl", mapping={name: name})
    assert (first.raw_values is None, second.raw_values is None, second.problem is None) == (False, True, False)


def test_columns_gives_the_reason_for_which_card_columns_are_refused(tmp_path: Path) -> None:
    data = "reference,Kartennummer,CC,colour\n1,4111111111111111,HR,red\n"
    reader = open_rows(tmp_path, data, inspecting=True)
    uses = {name: why for name, (paths, why) in reader.notes.columns.items() if not paths}
    assert uses == {"Kartennummer": CARD_DATA, "CC": CARD_DATA, "colour": "unknown"}
    with pytest.raises(ConfigurationError, match="'Kartennummer', 'CC' seem to contain card data"):
        open_rows(tmp_path, data)
