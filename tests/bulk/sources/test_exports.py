"""Files of other programs and untidy files: each is read with the right values, or refused with the reason."""

import re
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from bulk.sources.read_rows import shown

from wonder_customers import ConfigurationError, CustomerSession
from wonder_customers.bulk import sources, sync
from wonder_customers.bulk.sources.reader import read
from wonder_customers.bulk.sources.text import TextOptions
from wonder_customers.bulk.verify import verify

FILES = Path(__file__).parent / "files"

EXPECTED = """
c14_apostrophe.csv
  reference: 00123; phone: +385912345678 | reference: 00123; phone: +385912345678
  reference: 00124; phone: +385912345679
c15_invisible.csv
  reference: n-1; email: ada@example.test; phone: +385912345678
  reference: n-2; email: bo@example.test; phone: +385912345679 | reference: n-2
  reference: n-3; email: cy@example.test; phone: +385912345670
c16_unicode_refs.csv
  reference: C-1 | reference: c-1 | reference: caf\u00e9-7 | reference: caf\u00e9-7 | reference: \ufb01-8
  reference: fi-8 | reference: c-9 | reference: c-9 | reference: カ-1 | reference: \uff76-1
c18_countries.csv
  address.country: HR | address.country: HR | address.country: HR | address.country: GB | address.country: HR
  address.country: HR | address.country: HR
c24_dup_headers.csv
  phone: +385912345678; email: ada@example.test
c25_units.csv
  phone: +385912345678; email: ada@example.test; address.postcode: 10000
c40_german.csv
  reference: 1001; name: Möller, Anna; address.line1: Lindenweg 1; address.postcode: 34117;
    address.city: Kassel; address.country: DE; phone: +495611000
  reference: 1002; name: Bäckerei Sommer; address.country: DE; email: -
c43_all_fields.csv
  address.state: -; company_name: Acme | address.state: HR-21
p01_retry_failed.csv
  address.country: HR | address.country: HR | address.country: DE
p02_two_gateways.csv
  refused: company_name ('company_name')
t01_shopify.csv
  reference: 7210448300001; first_name: Teodora; email: teo.vilar@example.test; phone: +17755550154;
    address.postcode: 08901; address.line1: HC 31 Box 45; address.country: US;
    company_name: Vilar Ranch; description: Feed, cattle
  reference: 7210448300002; phone: +18015550188 | reference: 7210448300003; email: newsletter@example.test; phone: -
  reference: 7210448300004; address.postcode: 1234 AB; phone: +31612345678
t03_stripe.csv
  reference: cus_T000000000001; name: Elena Vask; address.postcode: 97201
  reference: cus_T000000000002; email: bo@example.test; name: -
t04_mailchimp.csv
  reference: rosa@example.test; email: rosa@example.test; address.country: US
  reference: MixedCase@Example.test; phone: 555-0134; address.country: HR
t05_google.csv
  reference: gracia@example.test; email: gracia@example.test; phone: +12025550199
t07_hubspot.csv
  reference: 101; address.country: FR; phone: +33600000000; company_name: Demo Villa
  reference: 102; address.country: AU | reference: 103
t09_salesforce_accounts.csv
  reference: A-1001; name: Bay Foods; phone: +12015550187 | reference: A-1002
t10_xero.csv
  reference: MAR001; name: Marl Build Pty Ltd; phone: +61491570156
t12_odoo.csv
  reference: res_partner_1; address.line1: Hübelweg 24; phone: +41415550101
t13_northwind.csv
  reference: ALFA1; company_name: Alfa Futter; name: Mara Andes; address.country: DE
  reference: ANTR1; phone: (5) 555-4729; address.country: MX; address.postcode: 05021
  reference: AROU1; phone: (171) 555-7788; address.country: GB
  reference: NULL1; address.state: -; address.country: PL
t20_woocommerce.csv
  reference: 12; phone: +61491570156; address.country: AU
e01_magento.csv
  reference: ines@example.test; phone: +351912345678; address.country: PT
  reference: olaf@example.test; last_name: Berg
e02_salesforce_contacts.csv
  reference: 003A0000001; address.country: JP; phone: +81332110000
  reference: 003A0000002; address.country: FR; phone: +33612345678
e03_quickbooks.csv
  reference: Amber Kelp; address.country: US; name: Amber Kelp | reference: Birch Supplies
e04_outlook.csv
  reference: nora@example.test; address.country: SE; phone: +46701234567
  reference: hugo@example.test; address.city: Lund; address.country: SE
e05_pipedrive.csv
  reference: 1; name: Ana Marić; phone: +385912345678; email: ana@example.test | reference: 2; email: bo@example.test
e06_zoho.csv
  last_name: Marić; phone: +385912345678; address.line1: Ilica 1; address.country: HR
e07_zoho_books.csv
  reference: 1001; company_name: Marić doo; address.postcode: 10000
e08_zendesk.csv
  reference: 360001; company_name: Marić | reference: 360002
e09_square.csv
  reference: 0ABCDEF; phone: +385912345678; address.line1: Ilica 1 | reference: 0ABCDEG
e10_datev.csv
  reference: 10000; name: Größe GmbH; first_name: -; address.postcode: 01067
  reference: 10001; name: -; first_name: Jörg; last_name: Müller
e11_lexware.csv
  reference: 10001; name: -; last_name: Müller; phone: +493511234567
  reference: 10002; name: Größe GmbH; company_name: Größe GmbH; phone: +4989123456
e12_sage.csv
  reference: CLI001; name: Dupont et Cie; phone: +33142685300
  reference: CLI002; name: Éts Léger; address.line2: Bât. B; address.country: FR
e13_minimax.csv
  reference: 0001; name: Marić d.o.o.; phone: +38512345678; address.city: Zagreb
  reference: 0002; name: Ana Šarić; phone: +385912345678; address.city: Split
e14_polish.csv
  reference: 1; first_name: Łukasz; phone: +48600100200; address.postcode: 00-950
  reference: 2; company_name: ABC Sp. z o.o.; phone: +48600100201
e15_excel.txt
  reference: 00123; name: Ana Marić; address.country: HR | name: Bo "B" Li
e16_footers.csv
  reference: 1 | reference: 2 | invalid: only the first column has a value
e17_title.xlsx
  reference: 00012; name: Ana; phone: +385912345678
e18_hidden_sheet.xlsx
  reference: 1001 | reference: 1002 | invalid: a spreadsheet shortened
e19_formulas.xlsx
  reference: A1; address.city: - | reference: A2; address.city: Zagreb
e20_two_headers.csv
  reference: 1; address.country: HR
e21_jtl.csv
  reference: K1; last_name: Müller; address.line1: Weg 1
e22_freshdesk.csv
  reference: 103000001; phone: +38512345678
e23_footers_german.csv
  reference: 1 | reference: 2
e24_wix.csv
  reference: ana@example.test; phone: +385912345678; address.city: Zagreb
e25_squarespace.csv
  reference: ana@example.test; email: ana@example.test; phone: +385912345678
e26_intercom.csv
  reference: u-7; name: Ana Horvat; phone: +385912345678
e27_brevo.csv
  reference: 7; first_name: Ana; last_name: Horvat; phone: +385912345678
e28_dynamics.csv
  reference: 3f2504e0-4f89-11d3-9a0c-0305e82c3301; name: Ana Horvat
e29_business_central.csv
  reference: C00010; name: Acme; phone: +385912345678
e30_lightspeed.csv
  reference: C-1; phone: +64211234567; address.city: Auckland
  reference: C-2; address.city: Carlton; address.state: VIC
e31_activecampaign.csv
  reference: 7; name: -; first_name: Ana; phone: +385912345678
e32_sap_business_one.csv
  reference: C0001; name: Acme d.o.o.; phone: +385912345678; email: a@example.test; address.city: Zagreb
  reference: C0002; name: Bo; phone: +38514567890
c44_paypal.csv
  refused: an export of PayPal payments
"""
"""For each file the values of its rows; of an invalid row and of a refused file, a part of the message.

Rows are separated by `|` or a line break, and a line with four spaces continues the row. `-` is an empty field.
"""

TITLE = TextOptions(skip_lines=1)
HOW: Mapping[str, dict[str, Any]] = {
    "c24_dup_headers.csv": {"mapping": {"Phone[2]": ""}},
    "p02_two_gateways.csv": {"unsupported": ["company_name"]},
    "e10_datev.csv": {"mapping": sources.ColumnMapping(text=TextOptions(encoding="cp1252", skip_lines=1))},
    "e17_title.xlsx": {"mapping": sources.ColumnMapping(unknown="ignore", text=TITLE)},
    "e20_two_headers.csv": {"mapping": sources.ColumnMapping(text=TITLE)},
    "e24_wix.csv": {"unknown": "ignore", "mapping": {"Email 1": ["reference", "email"]}},
    "c40_german.csv": {"encoding": "cp1252"},
    **{f"{it}.csv": {"encoding": "cp1252", "unknown": "ignore"} for it in ("e11_lexware", "e12_sage")},
    **{
        f"{it}.csv": {"unknown": "ignore"}
        for it in (
            "t13_northwind",
            "e13_minimax",
            "e14_polish",
            "e16_footers",
            "e21_jtl",
            "e22_freshdesk",
            "e32_sap_business_one",
        )
    },
    **{it: {"unknown": "ignore"} for it in ("e19_formulas.xlsx", "e23_footers_german.csv")},
}
"""The arguments of `read`, where it needs any."""


def expected_rows() -> dict[str, list[str]]:
    """Return the expected rows of each file."""
    blocks = re.split(r"\n(?=\w)", EXPECTED.replace("\n    ", " ").strip())
    files = (block.splitlines() for block in blocks)
    return {name: [row for line in lines for row in line.strip().split(" | ")] for name, *lines in files}


CASES = expected_rows()
PRESETS = sorted(name for name in CASES if name[0] in "te")


@pytest.mark.parametrize("name", sorted(CASES))
def test_file_is_read_with_the_right_values_or_refused(name: str) -> None:
    how, expected = HOW.get(name, {}), CASES[name]
    if expected[0].startswith("refused: "):
        with pytest.raises(ConfigurationError) as caught:
            list(sources.read(FILES / name, **how))
        assert expected[0].removeprefix("refused: ") in str(caught.value)
        return
    for row, wanted in zip(sources.read(FILES / name, **how), expected, strict=True):
        if wanted.startswith("invalid: "):
            assert wanted.removeprefix("invalid: ") in (row.problem or "")
            continue
        assert row.draft is not None, row.problem
        values = dict(it.split(": ", 1) for it in wanted.split("; "))
        assert {field: shown(row.draft).get(field) or "-" for field in values} == values
        assert row.reference == row.draft.reference


def test_every_file_has_a_case() -> None:
    assert {path.name for path in FILES.iterdir()} == CASES.keys()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("name", "gateway"),
    [
        # Each file at one gateway; the long tests have the other pairs.
        pytest.param(name, gateway, marks=() if number % 3 == place else pytest.mark.long)
        for number, name in enumerate(PRESETS)
        for place, gateway in enumerate(("monri", "paydock", "wonder"))
    ],
)
async def test_export_arrives_and_verify_finds_it_equal(name: str, gateway: str, account: Callable[[str], Any]) -> None:
    owner = account(gateway)
    missing = sources.unsupported_fields(owner)

    def rows() -> sources.RowReader:
        return sources.read(FILES / name, unsupported=missing, **HOW.get(name, {}))

    async with CustomerSession(owner) as session:
        async with sync(session, rows()) as job:
            outcomes = [outcome async for outcome in job]
        found = await verify(session, rows())
    valid = [outcome for outcome in outcomes if outcome.status != "invalid"]
    assert all(outcome.ok for outcome in valid)
    # Wonder requires a name and a phone, and Paydock international numbers.
    assert gateway != "monri" or len(valid) == sum(not it.startswith("invalid") for it in CASES[name])
    assert found.counts["equal"] == len(valid)


def test_title_of_a_spreadsheet_and_missing_reference_are_explained() -> None:
    for inspecting in (False, True):
        with pytest.raises(ConfigurationError, match=r"(?i)line 2 seems to contain the column names: add skip_lines=1"):
            list(read(FILES / "e17_title.xlsx", inspecting=inspecting))
    with pytest.raises(ConfigurationError, match=r"For example: mapping=\{'Email 1': \['reference', 'email'\]\}"):
        sources.read(FILES / "e24_wix.csv", unknown="ignore")


def test_contacts_of_another_program_are_not_named_after_salesforce() -> None:
    for name, program in {"e31_activecampaign": "contacts", "e02_salesforce_contacts": "Salesforce contacts"}.items():
        with closing(sources.read(FILES / f"{name}.csv")) as reader:
            assert reader.notes.program == program
