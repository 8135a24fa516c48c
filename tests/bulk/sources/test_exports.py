"""Files of other programs and untidy files: each is read with the right values, or refused with the reason."""

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from attrs import asdict

from wonder_customers import ConfigurationError, CustomerSession
from wonder_customers.bulk import sources, sync
from wonder_customers.bulk.sources.reader import read
from wonder_customers.bulk.sources.text import TextOptions
from wonder_customers.bulk.verify import verify

FILES = Path(__file__).parent / "files"

Expected = tuple[dict[str, Any] | str, ...] | str
"""The fields of each draft, or a part of its problem; or a part of the message that refuses the file."""

COMPOSED = "caf\u00e9-7"

CASES: Mapping[str, tuple[dict[str, Any], Expected]] = {
    "c02_cp1250": ({}, "encoding='cp1250'"),
    "c03_cp1251": ({"encoding": "cp1251"}, ({"name": "Иван Петров"}, {"name": "Мария Сидорова"})),
    "c05_gb18030": ({"encoding": "detect"}, ({"name": "王小明"}, {"name": "李娜"}, {"name": "陈伟"}, {"name": "赵敏"})),
    "c12_scientific": ({}, ("column reference: a spreadsheet shortened", "column phone: a spread", "phone: a spread")),
    "c14_apostrophe": (
        {},
        (
            {"reference": "00123", "phone": "+385912345678"},
            {"reference": "00123", "phone": "+385912345678"},
            {"reference": "00124", "phone": "+385912345679"},
        ),
    ),
    "c15_invisible": (
        {},
        (
            {"reference": "n-1", "email": "ada@example.test", "phone": "+385912345678"},
            {"reference": "n-2", "email": "bo@example.test", "phone": "+385912345679"},
            {"reference": "n-2"},
            {"reference": "n-3", "email": "cy@example.test", "phone": "+385912345670"},
        ),
    ),
    "c16_unicode_refs": (
        {},
        tuple(
            {"reference": it}
            for it in ("C-1", "c-1", COMPOSED, COMPOSED, "\ufb01-8", "fi-8", "c-9", "c-9", "カ-1", "\uff76-1")
        ),
    ),
    "c17_placeholders": (
        {},
        (
            {"name": None, "email": None, "phone": None},
            {"name": None, "email": None, "phone": None},
            "the value is not an e-mail address",
            "the value is not a phone number",
            {"name": None, "email": None, "phone": None},
        ),
    ),
    "c18_countries": ({}, tuple({"address.country": it} for it in ("HR", "HR", "HR", "GB", "HR", "HR", "HR"))),
    "c19_phones": (
        {},
        (
            {"phone": "0912345678"},
            {"phone": "00385912345678"},
            {"phone": "385912345678"},
            {"phone": "+385912345678"},
            "has an extension",
            "has an extension",
            "more than one number",
            "has a decimal fraction",
            {"phone": "+385912345678"},
            {"phone": "(202) 555-0123"},
            "more than one number",
            "the value is not a phone number",
        ),
    ),
    "c20_emails": (
        {},
        (
            "more than one e-mail address",
            "more than one e-mail address",
            {"email": "ada@example.test"},
            {"email": "ada@example.test"},
            "the value is not an e-mail address",
            {"email": "ADA@EXAMPLE.TEST"},
            "the value is not an e-mail address",
        ),
    ),
    "c23_ragged": (
        {},
        (
            {"reference": "q-1", "name": "Ada", "email": None},
            "has 5 values",
            {"reference": "q-3"},
            "has 1 value",
            {"reference": "q-5"},
        ),
    ),
    "c24_dup_headers": ({"mapping": {"Phone[2]": ""}}, ({"phone": "+385912345678", "email": "ada@example.test"},)),
    "c25_units": ({}, ({"phone": "+385912345678", "email": "ada@example.test", "address.postcode": "10000"},)),
    "c29_title_lines": ({}, "Line 5 seems to contain the column names: add skip_lines=4"),
    "c33_array.json": ({}, ({"reference": "a-1", "name": "Ada"}, {"reference": "a-2", "name": "Bo"})),
    "c37_cid": ({"mapping": {"CID": "reference"}}, ({"reference": "1001", "name": "Ada"},)),
    "c39_typo": ({}, "'Referenze' (did you mean reference?)"),
    "c40_german": (
        {"encoding": "cp1252"},
        (
            {
                "reference": "1001", "name": "Möller, Anna", "address.line1": "Lindenweg 1",
                "address.postcode": "34117", "address.city": "Kassel", "address.country": "DE", "phone": "+495611000",
            },
            {"reference": "1002", "name": "Bäckerei Sommer", "address.country": "DE", "email": None},
        ),
    ),
    "c41_clear_1": ({}, ({"reference": "cl-1", "email": "ada@example.test"},)),
    "c41_clear_2": ({}, ({"reference": "cl-1", "email": None},)),
    "c43_all_fields": ({}, ({"address.state": None, "company_name": "Acme"}, {"address.state": "HR-21"})),
    "p01_retry_failed": ({}, tuple({"address.country": it} for it in ("HR", "HR", "DE"))),
    "p02_two_gateways": ({"unsupported": ["company_name"]}, "company_name ('company_name')"),
    "t01_shopify": (
        {},
        (
            {
                "reference": "7210448300001", "first_name": "Teodora", "email": "teo.vilar@example.test",
                "phone": "+17755550154", "address.postcode": "08901", "address.line1": "HC 31 Box 45",
                "address.country": "US", "company_name": "Vilar Ranch", "description": "Feed, cattle",
            },
            {"reference": "7210448300002", "phone": "+18015550188"},
            {"reference": "7210448300003", "email": "newsletter@example.test", "phone": None},
            {"reference": "7210448300004", "address.postcode": "1234 AB", "phone": "+31612345678"},
        ),
    ),
    "t03_stripe": (
        {},
        (
            {"reference": "cus_T000000000001", "name": "Elena Vask", "address.postcode": "97201"},
            {"reference": "cus_T000000000002", "email": "bo@example.test", "name": None},
        ),
    ),
    "t04_mailchimp": (
        {},
        (
            {"reference": "rosa@example.test", "email": "rosa@example.test", "address.country": "US"},
            {"reference": "MixedCase@Example.test", "phone": "555-0134", "address.country": "HR"},
        ),
    ),
    "t05_google": (
        {},
        ({"reference": "gracia@example.test", "email": "gracia@example.test", "phone": "+12025550199"},),
    ),
    "t07_hubspot": (
        {},
        (
            {"reference": "101", "address.country": "FR", "phone": "+33600000000", "company_name": "Demo Villa"},
            {"reference": "102", "address.country": "AU"},
            {"reference": "103"},
        ),
    ),
    "t09_salesforce_accounts": (
        {},
        ({"reference": "A-1001", "name": "Bay Foods", "phone": "+12015550187"}, {"reference": "A-1002"}),
    ),
    "t10_xero": ({}, ({"reference": "MAR001", "name": "Marl Build Pty Ltd", "phone": "+61491570156"},)),
    "t12_odoo": (
        {},
        ({"reference": "res_partner_1", "address.line1": "Hübelweg 24", "phone": "+41415550101"},),
    ),
    "t13_northwind": (
        {"unknown": "ignore"},
        (
            {"reference": "ALFA1", "company_name": "Alfa Futter", "name": "Mara Andes", "address.country": "DE"},
            {"reference": "ANTR1", "phone": "(5) 555-4729", "address.country": "MX", "address.postcode": "05021"},
            {"reference": "AROU1", "phone": "(171) 555-7788", "address.country": "GB"},
            {"reference": "NULL1", "address.state": None, "address.country": "PL"},
        ),
    ),
    "t20_woocommerce": ({}, ({"reference": "12", "phone": "+61491570156", "address.country": "AU"},)),
    "e01_magento": (
        {},
        (
            {"reference": "ines@example.test", "phone": "+351912345678", "address.country": "PT"},
            {"reference": "olaf@example.test", "last_name": "Berg"},
        ),
    ),
    "e02_salesforce_contacts": (
        {},
        (
            {"reference": "003A0000001", "address.country": "JP", "phone": "+81332110000"},
            {"reference": "003A0000002", "address.country": "FR", "phone": "+33612345678"},
        ),
    ),
    "e03_quickbooks": (
        {},
        ({"reference": "Amber Kelp", "address.country": "US", "name": "Amber Kelp"}, {"reference": "Birch Supplies"}),
    ),
    "e04_outlook": (
        {},
        (
            {"reference": "nora@example.test", "address.country": "SE", "phone": "+46701234567"},
            {"reference": "hugo@example.test", "address.city": "Lund", "address.country": "SE"},
        ),
    ),
    "e05_pipedrive": (
        {},
        (
            {"reference": "1", "name": "Ana Marić", "phone": "+385912345678", "email": "ana@example.test"},
            {"reference": "2", "email": "bo@example.test"},
        ),
    ),
    "e06_zoho": (
        {},
        (
            {"last_name": "Marić", "phone": "+385912345678", "address.line1": "Ilica 1", "address.country": "HR"},
        ),
    ),
    "e07_zoho_books": ({}, ({"reference": "1001", "company_name": "Marić doo", "address.postcode": "10000"},)),
    "e08_zendesk": ({}, ({"reference": "360001", "company_name": "Marić"}, {"reference": "360002"})),
    "e09_square": (
        {},
        ({"reference": "0ABCDEF", "phone": "+385912345678", "address.line1": "Ilica 1"}, {"reference": "0ABCDEG"}),
    ),
    "e10_datev": (
        {"mapping": sources.ColumnMapping(text=TextOptions(encoding="cp1252", skip_lines=1))},
        (
            {"reference": "10000", "name": "Größe GmbH", "first_name": None, "address.postcode": "01067"},
            {"reference": "10001", "name": None, "first_name": "Jörg", "last_name": "Müller"},
        ),
    ),
    "e11_lexware": (
        {"encoding": "cp1252", "unknown": "ignore"},
        (
            {"reference": "10001", "name": None, "last_name": "Müller", "phone": "+493511234567"},
            {"reference": "10002", "name": "Größe GmbH", "company_name": "Größe GmbH", "phone": "+4989123456"},
        ),
    ),
    "e12_sage": (
        {"encoding": "cp1252", "unknown": "ignore"},
        (
            {"reference": "CLI001", "name": "Dupont et Cie", "phone": "+33142685300"},
            {"reference": "CLI002", "name": "Éts Léger", "address.line2": "Bât. B", "address.country": "FR"},
        ),
    ),
    "e13_minimax": (
        {"unknown": "ignore"},
        (
            {"reference": "0001", "name": "Marić d.o.o.", "phone": "+38512345678", "address.city": "Zagreb"},
            {"reference": "0002", "name": "Ana Šarić", "phone": "+385912345678", "address.city": "Split"},
        ),
    ),
    "e14_polish": (
        {"unknown": "ignore"},
        (
            {"reference": "1", "first_name": "Łukasz", "phone": "+48600100200", "address.postcode": "00-950"},
            {"reference": "2", "company_name": "ABC Sp. z o.o.", "phone": "+48600100201"},
        ),
    ),
    "e15_excel.txt": (
        {},
        ({"reference": "00123", "name": "Ana Marić", "address.country": "HR"}, {"name": 'Bo "B" Li'}),
    ),
    "e16_footers": (
        {"unknown": "ignore"},
        ({"reference": "1"}, {"reference": "2"}, "only the first column has a value"),
    ),
    "e17_title.xlsx": (
        {"mapping": sources.ColumnMapping(unknown="ignore", text=TextOptions(skip_lines=1))},
        ({"reference": "00012", "name": "Ana", "phone": "+385912345678"},),
    ),
    "e18_hidden_sheet.xlsx": ({}, ({"reference": "1001"}, {"reference": "1002"}, "a spreadsheet shortened")),
    "e19_formulas.xlsx": (
        {"unknown": "ignore"},
        ({"reference": "A1", "address.city": None}, {"reference": "A2", "address.city": "Zagreb"}),
    ),
    "e20_two_headers": (
        {"mapping": sources.ColumnMapping(text=TextOptions(skip_lines=1))},
        ({"reference": "1", "address.country": "HR"},),
    ),
    "e21_jtl": ({"unknown": "ignore"}, ({"reference": "K1", "last_name": "Müller", "address.line1": "Weg 1"},)),
    "e22_freshdesk": ({"unknown": "ignore"}, ({"reference": "103000001", "phone": "+38512345678"},)),
    "e23_footers_german": ({"unknown": "ignore"}, ({"reference": "1"}, {"reference": "2"})),
    "e24_wix": (
        {"unknown": "ignore", "mapping": {"Email 1": ["reference", "email"]}},
        ({"reference": "ana@example.test", "phone": "+385912345678", "address.city": "Zagreb"},),
    ),
    "e25_squarespace": (
        {},
        ({"reference": "ana@example.test", "email": "ana@example.test", "phone": "+385912345678"},),
    ),
    "e26_intercom": ({}, ({"reference": "u-7", "name": "Ana Horvat", "phone": "+385912345678"},)),
    "e27_brevo": ({}, ({"reference": "7", "first_name": "Ana", "last_name": "Horvat", "phone": "+385912345678"},)),
    "e28_dynamics": ({}, ({"reference": "3f2504e0-4f89-11d3-9a0c-0305e82c3301", "name": "Ana Horvat"},)),
    "e29_business_central": ({}, ({"reference": "C00010", "name": "Acme", "phone": "+385912345678"},)),
    "e30_lightspeed": (
        {},
        (
            {"reference": "C-1", "phone": "+64211234567", "address.city": "Auckland"},
            {"reference": "C-2", "address.city": "Carlton", "address.state": "VIC"},
        ),
    ),
    "e31_activecampaign": ({}, ({"reference": "7", "name": None, "first_name": "Ana", "phone": "+385912345678"},)),
    "c44_paypal": ({}, "an export of PayPal payments"),
}  # fmt: skip

PRESETS = sorted(name for name in CASES if name[0] in "te")


def path_of(name: str) -> Path:
    return FILES / (name if "." in name else f"{name}.csv")


def shown(draft: Any) -> dict[str, Any]:
    """Return the fields of a draft, nested ones with a dot, and its phone as one text."""
    found: dict[str, Any] = {}
    for field, value in asdict(draft).items():
        if field == "phone":
            found[field] = None if value is None else f"{value['dial_code'] or ''}{value['number']}"
        elif field == "address":
            found |= {f"address.{part}": inner for part, inner in (value or {}).items()}
        else:
            found[field] = value
    return found


@pytest.mark.parametrize("name", sorted(CASES))
def test_file_is_read_with_the_right_values_or_refused(name: str) -> None:
    how, expected = CASES[name]
    if isinstance(expected, str):
        with pytest.raises(ConfigurationError) as caught:
            list(sources.read(path_of(name), **how))
        assert expected in str(caught.value)
        return
    rows = list(sources.read(path_of(name), **how))
    assert len(rows) == len(expected)
    for row, wanted in zip(rows, expected, strict=True):
        if isinstance(wanted, str):
            assert wanted in (row.problem or "")
            continue
        assert row.draft is not None, row.problem
        fields = shown(row.draft)
        assert {field: fields.get(field) for field in wanted} == wanted
        assert row.reference == row.draft.reference


def test_every_file_has_a_case() -> None:
    assert sorted(path.name for path in FILES.iterdir()) == sorted(path_of(name).name for name in CASES)


GATEWAYS = ("monri", "paydock", "wonder")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("name", "gateway"),
    [
        # Each file at one gateway; the long tests have the other pairs.
        pytest.param(name, gateway, marks=() if number % 3 == place else pytest.mark.long)
        for number, name in enumerate(PRESETS)
        for place, gateway in enumerate(GATEWAYS)
    ],
)
async def test_export_arrives_and_verify_finds_it_equal(name: str, gateway: str, account: Callable[[str], Any]) -> None:
    owner, how = account(gateway), CASES[name][0]
    missing = sources.unsupported_fields(owner)

    def rows() -> sources.RowReader:
        return sources.read(path_of(name), unsupported=missing, **how)

    async with CustomerSession(owner) as session:
        async with sync(session, rows()) as job:
            outcomes = [outcome async for outcome in job]
        found = await verify(session, rows())
    valid = [outcome for outcome in outcomes if outcome.status != "invalid"]
    assert all(outcome.ok for outcome in valid)
    # Wonder requires a name and a phone, and Paydock international numbers.
    expected = sum(not isinstance(it, str) for it in CASES[name][1])
    assert gateway != "monri" or len(valid) == expected
    assert found.counts["equal"] == len(valid)


def test_title_of_a_spreadsheet_and_missing_reference_are_explained() -> None:
    for inspecting in (False, True):
        with pytest.raises(ConfigurationError, match=r"(?i)line 2 seems to contain the column names: add skip_lines=1"):
            list(read(path_of("e17_title.xlsx"), inspecting=inspecting))
    with pytest.raises(ConfigurationError, match=r"For example: mapping=\{'Email 1': \['reference', 'email'\]\}"):
        sources.read(path_of("e24_wix"), unknown="ignore")


def test_contacts_of_another_program_are_not_named_after_salesforce() -> None:
    for name, program in {"e31_activecampaign": "contacts", "e02_salesforce_contacts": "Salesforce contacts"}.items():
        with closing(sources.read(path_of(name))) as reader:
            assert reader.notes.program == program
