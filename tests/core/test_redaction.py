"""Only values of the request are redacted in the messages of a gateway."""

import gc
import re
import time
from itertools import product

import orjson
import pytest

from wonder_customers import InvalidRequestError, WonderFilter
from wonder_customers._core.redaction import Redactor
from wonder_customers.dialects.pagination import query_string
from wonder_customers.wire import HttpRequest

PAD = "x" * 10_000
DEEP: object = "Katharina"
for _ in range(70):
    DEEP = [DEEP]


def redacted(value: object, text: str) -> str:
    """Return the redacted `text` of a gateway that was sent `value`."""
    return Redactor(HttpRequest("POST", "/", "/", orjson.dumps({"field": value}))).redact(text)


CUSTOMER = [{"name": "Ada Lovelace", "first": "Ada", "meta": {"tags": ["VIP"]}, "code": "xy"}, ["Zoe", "Ann Zoe"]]


@pytest.mark.parametrize(
    ("value", "text", "left"),
    [
        ("Abcdef", "is Abcdefg", "is …g"),
        ("Abcdef", "is ABCDEF", "is …"),
        ("Abcde", "is Abcdefg", "is Abcdefg"),
        ("Abcde", "is ABCDE.", "is …."),
        ("Abc", "is ABC, not Abcd", "is …, not Abcd"),
        ("Li", "Mr Li, li and LI", "Mr …, li and LI"),
        ("li", "Mr Li and li", "Mr Li and li"),
        ("L", "L is short", "L is short"),
        ("Ö", "Mr Ö", "Mr …"),
        ("李", "李明 is there", "…明 is there"),
        ("12", "12 of 12", "12 of 12"),
        (123, "the 123 is wrong", "the … is wrong"),
        (["katharina", "Katharina Berg"], "Katharina Berg is there", "… is there"),
        ([True, False, None, "Ada"], "True, False, None and Ada", "True, False, None and …"),
        ("Katharina", "fields 1, 2, 3, 4, 5, 6, 7", "fields 1, 2, 3, 4, 5, 6, 7"),
        ("Katharina", "100 % of &amp; and \\n and a+b", "100 % of &amp; and \\n and a+b"),
        ("Katharina", "Größe: 3\u00a0m", "Größe: 3\u00a0m"),
        ("Katharina", "%zz &nothing; \\u12", "%zz &nothing; \\u12"),
        (CUSTOMER, "name Ada Lovelace is taken", "name … is taken"),
        (CUSTOMER, "name ADA LOVELACE is taken", "name … is taken"),
        (CUSTOMER, "Ada's tag VIP", "…'s tag …"),
        (CUSTOMER, "both Ann Zoe and Zoe", "both … and …"),
        (CUSTOMER, "Adamant", "Adamant"),
        (CUSTOMER, "xy is short", "xy is short"),
        (CUSTOMER, "write to a.b@example.org now", "write to … now"),
        (CUSTOMER, "call +44 7911 123456 now", "call … now"),
        (CUSTOMER, "HTTP 400 in 12 s", "HTTP 400 in 12 s"),
        pytest.param([["Katharina"], *[0] * 250_000], "is Katharina", "is …", id="long"),
        pytest.param(DEEP, "is Katharina", "is …", id="deep"),
    ],
)
def test_values_of_the_request_are_redacted_as_whole_words(value: object, text: str, left: str) -> None:
    assert redacted(value, text) == left


@pytest.mark.parametrize(
    ("code", "left"), [("10001", "10001"), ("20240001", "20240001"), ("4111111111111111", "…"), ("38591234", "…")]
)
def test_numeric_error_code_is_kept_unless_it_is_card_data_or_a_value_of_the_request(code: str, left: str) -> None:
    error = InvalidRequestError(f"refused with HTTP 400 {code}: see {code}; not 4242424242424242", code=code)
    Redactor(HttpRequest("POST", "/", "/", b'{"phone": "38591234"}')).redact_error(error)
    assert error.code == left
    mark = f"HTTP 400 {left}: see {left}; not …"
    assert error.reason.endswith(mark if left == code else "…: see …; not …")


@pytest.mark.parametrize("kept", [2, 3, 9])
def test_value_truncated_at_the_limit_is_redacted(kept: int) -> None:
    redactor = Redactor(HttpRequest("POST", "/", "/", b'{"names": ["rina Berg", "Katharina"]}'))
    start = (f"{'x' * 60}@example.com " * 50)[: 4000 - kept]
    left = redactor.redact(f"{start}KATHARINA Berg{PAD}")
    assert left.startswith("… …")
    assert "KA" not in left


FILTER = query_string(
    {"limit": 100, "offset": 200}, WonderFilter(name__in=["Ada Lovelace", "Bob"], reference="12345").query()
)


@pytest.mark.parametrize(
    ("query", "text", "left"),
    [
        (FILTER, "no Ada Lovelace", "no …"),
        (FILTER, "no Bob", "no …"),
        (FILTER, "no 12345", "no …"),
        (FILTER, "limit 100 and offset 200", "limit 100 and offset 200"),
        ("?search=Ada&limit=100", "Ada of 100", "… of 100"),
        ("?search=who%3FAda", "who?Ada", "…"),
        ("?search=who?Ada", "who?Ada", "…"),
        ("?q=12a&limit=345", "12a 345", "… 345"),
    ],
)
def test_conditions_of_a_query_are_redacted_and_limits_are_kept(query: str, text: str, left: str) -> None:
    assert Redactor(HttpRequest("GET", f"/customers{query}", "/customers")).redact(text) == left


def test_error_code_is_redacted_and_an_empty_one_is_kept() -> None:
    request = HttpRequest("POST", "/", "/", b'{"name": "Katharina"}')
    for code, left in (("no_Katharina", "no_…"), (None, None), ("", "")):
        error = InvalidRequestError("refused", status=422, code=code)
        Redactor(request).redact_error(error)
        assert error.code == left


@pytest.mark.parametrize("body", [b"", b"no json", b"[1]"])
def test_redactor_accepts_an_invalid_request_body(body: bytes) -> None:
    assert Redactor(HttpRequest("POST", "/", "/", body)).redact("a@example.org is bad") == "… is bad"


def test_redaction_takes_linear_time() -> None:
    began = time.process_time()
    Redactor(HttpRequest("GET", "/", "/")).redact("a" * 1_000_000)
    assert time.process_time() - began < 10


SEPARATORS = [*" -./_,:\t\n\u00a0\u2009\u2013\u200b\u2060", "  ", " - "]


@pytest.mark.parametrize("separator", SEPARATORS, ids=ascii)
def test_long_numbers_are_redacted_with_any_separators(separator: str) -> None:
    for number, size in product(("4929735926140832", "7911987654"), (2, 4)):
        written = separator.join(number[start : start + size] for start in range(0, len(number), size))
        for value in (number, "other"):
            assert redacted(value, f"the number {written} is taken") == "the number … is taken"


@pytest.mark.parametrize("text", ["cvc917", "CVC:917", "917x", "code_917", "(917)"])
def test_security_code_is_redacted_beside_letters(text: str) -> None:
    assert "917" not in redacted("917", f"bad {text} here")


FORMS = [
    ("Söhne & Co", "%s"),
    ("Söhne & Co", "S%C3%B6hne%20%26%20Co"),
    ("Söhne & Co", "s%c3%b6hne+%26+co"),
    ("Söhne & Co", "S&ouml;hne &amp; Co"),
    ("Söhne & Co", "S&#246;hne &#x26; Co"),
    ("Söhne & Co", "S\\u00f6hne \\u0026 Co"),
    ("Söhne & Co", "So\u0308hne & Co"),
    ("So\u0308hne & Co", "Söhne & Co"),
    ("Söhne & Co", "SÖHNE  &\u00a0CO"),
    ("Söhne & Co", "S%25C3%25B6hne%2520%2526%2520Co"),
    ("Weiß GmbH", "WEISS GMBH"),
    ("WEISS GMBH", "weiß gmbh"),
    ('Ada "Ace" B', 'Ada \\"Ace\\" B'),
    ('Ada "Ace" B', "Ada &quot;Ace&quot; B"),
    ("Ada Berg", "Ada\u200b Ber\u00adg"),
    ("Ada Berg", "\uff21da Berg"),
    ("https://x/a?b=c", "https:\\/\\/x\\/a?b=c"),
    ("Straße 7", "STRASSE 7"),
    ("İpek Usta", "İPEK USTA"),
    ("\U0001f600 smile", "\\ud83d\\ude00 smile"),
]


@pytest.mark.parametrize(("value", "echo"), FORMS)
def test_values_are_redacted_in_all_written_forms(value: str, echo: str) -> None:
    echo = echo % value if echo == "%s" else echo
    for before, after in (("", ""), ("see https://gateway.example/customers?name=", "&page=2"), ('{"name": "', '"}')):
        assert redacted(value, f"{before}{echo}{after}") == f"{before}…{after}"


def test_request_id_keeps_digits_that_are_a_short_value_by_chance() -> None:
    request = HttpRequest("POST", "/", "/", b'{"cvv": "917"}')
    assert Redactor(request).redact_id("req-5f917ca2") == "req-5f917ca2"


def test_values_are_not_kept_in_memory() -> None:
    value = "canary" * 2
    assert redacted(value, f"has {value}") == "has …"
    gc.collect()
    kept = (it.pattern for it in gc.get_objects() if isinstance(it, re.Pattern))
    assert not any(value in it for it in kept if isinstance(it, str)), "in the cache of regular expressions"


def test_long_values_are_redacted_quickly() -> None:
    start = time.process_time()
    for value in ("1" * 1_000_000, "x%25" * 250_000, "a" + "\u0315\u0300" * 250_000):
        assert redacted(value, "x1" * 2000) == ("x1" * 500)
    assert redacted("1" * 1_000_000, "x1" * 4000) == "…", "the value may begin anywhere"
    assert time.process_time() - start < 10  # a quadratic search takes minutes
