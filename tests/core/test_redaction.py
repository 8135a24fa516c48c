"""What a request carried is taken out of the gateway's words, and nothing else is."""

import orjson
import pytest

from wonder_customers import InvalidRequestError
from wonder_customers._core.redaction import Redactor
from wonder_customers.wire import HttpRequest

PAD = "x" * 10_000


def words(value: object, text: str) -> str:
    """`text` of a gateway that was sent `value`."""
    return Redactor(HttpRequest("POST", "/", "/", orjson.dumps({"field": value}))).redact(text)


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
    ],
)
def test_a_short_value_goes_only_where_it_stands_by_itself(value: object, text: str, left: str) -> None:
    assert words(value, text) == left


def whole(value: str, text: str) -> str:
    """The beginning of very long words."""
    return Redactor(HttpRequest("POST", "/", "/", orjson.dumps({"field": value})))._searched_part(text)


@pytest.mark.parametrize("kept", [3, 4, 9])
def test_where_long_words_were_cut_the_beginning_of_a_value_goes_too(kept: int) -> None:
    before = "." * (4000 - kept)
    assert whole("Katharina", before + "KATHARINA" + PAD) == before


def test_of_two_values_at_the_cut_the_longer_beginning_goes() -> None:
    request = HttpRequest("POST", "/", "/", b'{"name": "rina Berg", "other": "Katharina"}')
    assert Redactor(request)._searched_part("." * 3992 + "Katharina Berg" + PAD) == "." * 3992


def test_two_letters_at_the_cut_say_nothing() -> None:
    assert whole("Katharina", "." * 3998 + "Katharina" + PAD) == "." * 3998 + "Ka"


def test_words_of_just_the_length_that_is_read_were_not_cut() -> None:
    text = "." * 3997 + "Kat"
    assert whole("Katharina", text) == text


def query(target: str, text: str) -> str:
    """`text` of a gateway that was asked for `target`."""
    return Redactor(HttpRequest("GET", target, "/")).redact(text)


@pytest.mark.parametrize(
    ("target", "text", "left"),
    [
        ("/customers?search=Ada&limit=100", "Ada of 100", "… of 100"),
        ("/customers?search=who%3FAda", "who?Ada", "…"),
        ("/customers?search=who?Ada", "who?Ada", "…"),
        ("/customers?q=12a&limit=345", "12a 345", "… 345"),
    ],
)
def test_what_was_searched_for_goes_and_a_limit_does_not(target: str, text: str, left: str) -> None:
    assert query(target, text) == left


def test_of_two_values_that_begin_alike_the_longer_goes() -> None:
    assert words(["katharina", "Katharina Berg"], "Katharina Berg is there") == "… is there"


def test_truth_says_nothing_of_anybody() -> None:
    assert words([True, False, None, "Ada"], "True, False, None and Ada") == "True, False, None and …"


def test_a_refusals_code_is_cleaned_and_an_empty_one_stays() -> None:
    request = HttpRequest("POST", "/", "/", b'{"name": "Katharina"}')
    for code, left in (("no_Katharina", "no_…"), (None, None), ("", "")):
        error = InvalidRequestError("refused", status=422, code=code)
        Redactor(request).redact_error(error)
        assert error.code == left
