"""Transformations and checks of cell values."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from html import unescape
from unicodedata import is_normalized

from attrs import define, field

from wonder_customers._support.countries import country_code
from wonder_customers._support.normal_forms import normal_form
from wonder_customers.bulk.rows import RowProblem
from wonder_customers.bulk.sources.encodings import is_misread
from wonder_customers.bulk.sources.mapping import ColumnMapping
from wonder_customers.bulk.sources.notes import AMBIGUOUS, NO_COUNTRY, NOT_VALID, SourceNotes
from wonder_customers.bulk.sources.presets import country_of
from wonder_customers.bulk.sources.text import has_invalid_bytes
from wonder_customers.errors import MissingExtraError

__all__ = ["CALLING_CODE", "INVALID_BYTES", "Cleaner", "folded", "is_nothing", "spreadsheet_text"]

INVALID_BYTES = "bytes that are not valid in the encoding of the file"

_SHORTENED = re.compile(r"[0-9]+([.,][0-9]+)?[eE]\+?[0-9]+")
# An id such as 12E45678 does not match: programs write one digit, and a fraction or a signed exponent. `1.000` may be
# an id with a separator of thousands.
_CHANGED_ID = re.compile(
    r"[0-9]([.,][0-9]+)?[eE]\+[0-9]{2,3}|[0-9][.,][0-9]+[eE][0-9]{1,3}|[0-9]+[.,](0{1,2}|0{4,})|[0-9]{4,}[.,]000"
    r"|[0-9]{1,3}(,[0-9]{3})+"
    r"|[0-9]{1,2}(-|\. ?)(?i:jan|feb|m[aä]r|mrz|a[pv]r|ma[iy]|ju[nl]|aug|sep|o[ck]t|nov|d[eé][cz]|janv|févr"
    r"|ene|abr|ago|dic|gen|mag|giu|lug|set|ott)\.?"
)
_SHOWN = re.compile(r"-?[0-9][.,][0-9]{5}E\+[0-9]{2,3}")
"""A long number as a spreadsheet shows it. In other fields, shorter numbers such as 1.5E+10 may be intended."""
_NUMBERS = {
    "reference": _CHANGED_ID,
    "address.postcode": _CHANGED_ID,
    "phone": _SHORTENED,
    "phone.number": _SHORTENED,
}
_CALLING_CODE = re.compile(r"[(\s]*[+\uff0b]?\d[\d\s()\-]*")
_FORMULA = re.compile(r'="(.*)"', re.DOTALL)
_CODE = re.compile(r"=[-+(]*(?i:[a-z_][\w.]*\(|('[^']+'|[a-z]\w*)!|\$?[a-z]{1,3}\$?[0-9]{1,7}($|[-+*/&:^,]))")
_ENTITY = re.compile(r"&(#[0-9]{2,6}|#[xX][0-9a-fA-F]{2,5}|[a-zA-Z]{2,8}[0-9]{0,2});")
_ENCODED = re.compile(r"\w%20\w|%[0-9A-F]{2}%[0-9A-F]{2}|=\?[\w-]+\?[BQbq]\?|(=[0-9A-F]{2}){2}|^[\[{]+['\"]")
_WORDS = re.compile(r"(first_|last_|company_)?name|address\.(?!country|postcode).*")
"""The fields in which characters that another program encoded are decoded or refused. Notes may contain HTML."""
_GUARD = re.compile(r"'(?=[+=@\-0-9\t\uff0b\uff0d\uff1d\uff20])(?!.*'$)|=(?=[+0-9][0-9 ()+\-./]*$)", re.DOTALL)
_EXECUTED = re.compile(r"[=@\t\r\uff0b\uff0d\uff1d\uff20]|[+-](?![0-9 ()\-./]*$)")
"""The beginning of a formula. Phone numbers and negative numbers are left, because programs compare them."""
_INVISIBLE = re.compile(
    r"[\u00ad\u034f\u061c\u115f\u1160\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]"
)
_BLANK = re.compile(r"[^\S\n]")
_MAILTO = re.compile(r"mailto:\s*([^\s?;,|]*)(\?[^;|\n]*)?", re.IGNORECASE)
_NAMED = re.compile(r"[^<>]*<\s*([^<>\s@]+@[^<>\s]+)\s*>")
_EMAIL = re.compile(
    r"[^\s@,;:<>()\[\]\"\\.]+(\.[^\s@,;:<>()\[\]\"\\.]+)*"
    r"@([^\s@,;:<>()\[\]\"\\._'/]+\.)+[^\s@,;:<>()\[\]\"\\._'/]{2,}"
)
_EMAILS = re.compile(r"\s*(?::::|[;,|\n]|\s)\s*")
_PHONES = re.compile(r"(?<!\s)\s*(?::::|[;,|\n])\s*")
_TEL = re.compile(r"(tel|phone|callto|whatsapp|mob)\.?\s*:\s*", re.IGNORECASE)
_CODE_FIRST = re.compile(r"\(\s*(\+\d{1,3})\s*\)\s*")
_SHORTEST = 3
"""The minimum number of digits of a whole phone number. A placeholder such as 0 has fewer digits."""
_PHONE = re.compile(r"\s*[+\uff0b]?[\d\s().\-/\u2010-\u2015]*")

CALLING_CODE = "calling code"
"""The code of the problem of a row with a calling code in place of a country."""

Step = tuple[str, Callable[[str], str]]
_NOT_FOR_PLAIN_TEXT = frozenset({"readable", "guards", "nfc", "placeholders", "invisible"})


class _CallingCodeError(ValueError):
    """Raised for a calling code in place of a country."""


def is_nothing(value: object) -> bool:
    """Return whether a value is an object or a list without values. Some programs write an empty object as a list."""
    if isinstance(value, list):
        return all(it is None or it == "" for it in value)
    return isinstance(value, dict) and not value


def folded(reference: str) -> str:
    """Return a reference in a normal form, to compare references."""
    if reference.isascii():
        return reference.lower()
    return _INVISIBLE.sub("", normal_form("NFKC", reference)).casefold().strip()


@define(eq=False)
class Cleaner:
    """Reads the cells of one source, and counts the values that were changed.

    Attributes:
        mapping: How values are read.
        notes: Counts the changes.
        several: What to do with several values in a cell.
        sample: Returns values of each column at the start of the source; None if they are not available.
    """

    mapping: ColumnMapping
    notes: SourceNotes
    several: str
    sample: Callable[[], Mapping[str, Collection[str]]] | None
    _nulls: frozenset[str] = field(init=False)
    _on: frozenset[str] = field(init=False)
    _numeric: dict[str, bool] = field(factory=dict, init=False)
    # All steps of each field, and those for plain text.
    _steps: dict[str, tuple[Sequence[Step], Sequence[Step]]] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self._on = frozenset(self.mapping.transformations)
        self._nulls = frozenset(self.mapping.nulls if "placeholders" in self._on else ())

    def reference(self, value: object) -> str | None:
        """Convert a cell to a reference; None if there is none."""
        # This method is called for every row, so changes are not counted.
        if type(value) is not str:
            if value is None or isinstance(value, (bool, float)) or not isinstance(value, (str, int)):
                return None
            value = str(value)
        text = value.strip()
        if text.isascii() and ":::" not in text:
            # These are the only transformations that apply to plain text, and most references are plain text.
            if text[:1] in {"'", "="} and "guards" in self._on:
                text = _guard(text)
            return None if text in self._nulls else text or None
        for name, step in self._steps_of("reference")[0]:
            if name not in {"readable", "shortened"}:
                text = step(text)
        return text or None

    def is_empty(self, value: object) -> bool:
        """Return whether a cell has no value."""
        return value is None or is_nothing(value) or (isinstance(value, str) and self.reference(value) is None)

    def address(self, text: str) -> str:
        """Return the e-mail address in a reference; `text` if there is not exactly one."""
        if "email" not in self._on or _EMAIL.fullmatch(text):
            return text
        try:
            return self._email(text)
        except ValueError:
            return text

    def text(self, path: str, value: str, column: str, place: str) -> str | None:
        """Return the cell of a field as a string; None for an empty cell. Raise `RowProblem` if it is not valid."""
        text = value.strip()
        steps, shorter = self._steps.get(path) or self._steps_of(path)
        # Most values are plain text, to which few steps apply.
        if text.isascii() and text[:1] not in {"'", "="} and "\0" not in text:
            if steps and text in self._nulls:
                if text:
                    self.notes.changed(column, "placeholders", text, "")
                return None
            steps = shorter
        elif has_invalid_bytes(text):
            raise RowProblem(f"{place}, column {column}: the value contains {INVALID_BYTES}", f"invalid {path}")
        try:
            for name, step in steps:
                if not text:
                    return None
                after = step(text)
                if after != text:
                    self.notes.changed(column, name, text, after)
                    text = after
        except ValueError as problem:
            is_code = isinstance(problem, _CallingCodeError)
            if is_code and (country := self._numeric_country(text, column)) is not None:
                return country
            code = CALLING_CODE if is_code else f"invalid {path}"
            raise RowProblem(f"{place}, column {column}: {problem}", code) from None
        return text or None

    def _numeric_country(self, code: str, column: str) -> str | None:
        """Return the country of a numeric code that is also a calling code.

        Return None unless all values at the start of the column are such codes, and one of them is not a calling code.
        """
        if column not in self._numeric:
            values = () if self.sample is None else self.sample().get(column, ())
            given = {text for it in values if (text := it.strip()) and text not in self._nulls}
            certain = any(len(it) == 3 and not _may_be_calling_code(it) for it in given)
            self._numeric[column] = certain and all(it.isdecimal() and country_code(it) for it in given)
        found = country_code(code) if self._numeric[column] and code.isdecimal() else None
        if found is not None:
            self.notes.changed(column, "country", code, found)
        return found

    def international(self, text: str, country: str | None, column: str) -> str:
        """Return a phone number in the international form, if possible."""
        region = country or self.mapping.default_country
        if "phone" not in self._on or text.startswith(("+", "\uff0b")):
            return text
        if region is None:
            self.notes.add_national(column, NO_COUNTRY, text)
            return text
        from wonder_customers._support.phone_numbers import readings  # noqa: PLC0415 - the telephone library is large

        found = readings(text, region)
        if len(found) != 1:
            self.notes.add_national(column, AMBIGUOUS if found else NOT_VALID, text)
            return text
        self.notes.changed(column, "phone", text, found[0])
        return found[0]

    def with_code(self, code: str, number: str | None, column: str, where: str) -> str | None:
        """Return the whole number if a number repeats its calling code; an empty string without a number.

        Return None if the number is to be sent with its calling code. Raise `RowProblem` if the calling codes differ.
        """
        if number is None:
            self.notes.changed(column, "phone", code, "")
            return ""
        digits = "".join(filter(str.isdecimal, number))
        codes = "".join(filter(str.isdecimal, code)).removeprefix("00")
        if "phone" not in self._on or not codes:
            return None
        whole = None
        if "+" in number or "\uff0b" in number or digits.startswith(f"00{codes}"):
            whole = f"+{digits.removeprefix('00')}"
            if not whole.startswith(f"+{codes}"):
                raise RowProblem(f"{where}: the number has another calling code than the row", "invalid phone")
        elif digits.startswith(codes):
            from wonder_customers._support.phone_numbers import calling_region, readings  # noqa: PLC0415 - as above

            found = readings(digits, calling_region(codes) or "")
            if found == [f"+{digits}"]:
                whole = found[0]
            elif len(found) > 1:
                self.notes.add_national(column, AMBIGUOUS, number)
        if whole is not None:
            self.notes.changed(column, "phone", number, whole)
        return whole

    def _steps_of(self, path: str) -> tuple[Sequence[Step], Sequence[Step]]:
        if path not in self._steps:
            kind = "phone" if path.startswith("phone") else path
            least = 1 if path == "phone.number" else _SHORTEST
            named: Sequence[tuple[str, Callable[[str], str], bool]] = (
                ("readable", _readable, True),
                ("encoded", _decoded, _WORDS.fullmatch(path) is not None),
                ("guards", _guard, True),
                ("nfc", _nfc, True),
                ("placeholders", lambda text: "" if text in self._nulls else text, True),
                ("invisible", _visible, kind in {"reference", "email", "phone"}),
                (
                    "email",
                    lambda text: text.partition(":::")[0].strip(),
                    path == "reference" and self.several == "first",
                ),
                ("shortened", partial(_check_number, pattern=_NUMBERS.get(path, _SHOWN)), True),
                ("email", self._email, path == "email"),
                ("country", _country, path == "address.country"),
                ("phone", partial(self._phone, least=least), kind == "phone" and path != "phone.dial_code"),
            )
            plain = path.startswith("payment_source.")
            steps = [(name, step) for name, step, used in named if used and name in self._on and not plain]
            self._steps[path] = steps, [step for step in steps if step[0] not in _NOT_FOR_PLAIN_TEXT]
        return self._steps[path]

    def _email(self, text: str) -> str:
        found = _MAILTO.sub(r"\1", text).strip(" ;,|")
        parts = [part for part in _EMAILS.split(found) if part]
        if len(parts) > 1 and sum("@" in part for part in parts) > 1:
            if self.several != "first":
                raise ValueError(
                    "the value contains more than one e-mail address; keep one address, or set `several` to"
                    " `first` in a mapping file"
                )
            found = parts[0]
        named = _NAMED.fullmatch(found)
        found = named[1] if named else found
        if found.startswith("'") and found.endswith("'"):  # as Outlook writes recipients
            found = found[1:-1]
        if not _EMAIL.fullmatch(found):
            raise ValueError("the value is not an e-mail address")
        return found

    def _phone(self, text: str, least: int) -> str:
        from wonder_customers._support.phone_numbers import ambiguity  # noqa: PLC0415 - the telephone library is large

        found = _TEL.sub("", text, count=1) if text[0].isalpha() else text
        found = _CODE_FIRST.sub(r"\1 ", found, count=1) if found[:1] == "(" else found
        if self.several == "first":
            found = _PHONES.split(found)[0]
        reason = ambiguity(found)
        if reason is not None:
            raise ValueError(f"the value {reason}; keep one phone number without additions in the cell")
        if not _PHONE.fullmatch(found) or sum(map(str.isdecimal, found)) < least:
            raise ValueError("the value is not a phone number")
        return found


def _readable(text: str) -> str:
    """Refuse a string that is damaged or was decoded wrongly."""
    if "\0" in text:
        raise ValueError("the value contains a NUL character; remove the character, or export the data again")
    if text[0] == "=" and _CODE.match(text):
        raise ValueError("the value is a formula instead of its result; export the data again with the results")
    if text.isascii():
        return text
    if "\ufffd" in text:
        raise ValueError(
            "the value contains the replacement character U+FFFD, because an earlier program could not decode a"
            " character; export the data again as UTF-8"
        )
    if not (re.search(r"[\x80-\x9f]", text) or is_misread(text)):
        return text
    raise ValueError(
        "the value was decoded with another encoding than its own; name another encoding if you named one (files of"
        " Windows are in cp1252 or cp1250, not in latin-1 or iso8859-2), otherwise export the data again as UTF-8"
    )


def _decoded(text: str) -> str:
    """Decode HTML entities; refuse JSON, and text in an encoding for URLs or for the headers of e-mails."""
    if "&" in text:
        text = _ENTITY.sub(lambda found: unescape(found[0]).replace("\xa0", " "), text).strip()
    if ("%" in text or "=" in text or text[:1] in {"[", "{"}) and _ENCODED.search(text):
        raise ValueError(
            "the value is JSON or has encoded characters, such as %20; export the data again as plain text"
        )
    return text


def spreadsheet_text(text: str) -> str:
    """Return a value for a CSV file as text that a spreadsheet does not execute. `_guard` removes the apostrophe."""
    return f"'{text}" if _EXECUTED.match(text) else text


def _guard(text: str) -> str:
    """Remove characters that protect a value from conversion in a spreadsheet, as in ``'+1775`` and ``="00124"``."""
    if text[0] not in "'=":
        return text
    formula = _FORMULA.fullmatch(text) if text[0] == "=" else None
    if formula:
        return formula[1].replace('""', '"').strip()
    return text[1:] if _GUARD.match(text) else text


def _nfc(text: str) -> str:
    return text if text.isascii() or is_normalized("NFC", text) else normal_form("NFC", text)


def _visible(text: str) -> str:
    return text if text.isascii() else _BLANK.sub(" ", _INVISIBLE.sub("", text)).strip()


def _may_be_calling_code(text: str) -> bool:
    """Return whether digits are perhaps not a numeric code of ISO 3166-1. Many codes are also calling codes."""
    from wonder_customers._support.phone_numbers import calling_region  # noqa: PLC0415 - the telephone library is large

    if not text.isdecimal() or len(text) > 3:
        return True
    return not (len(text) == 3 and text[0] == "0") and calling_region(text) is not None


def _country(text: str) -> str:
    if len(text) == 2 and text.isascii() and text.isalpha() and text.isupper() and text != "UK":
        return text
    if _CALLING_CODE.fullmatch(text) and _may_be_calling_code(text):
        raise _CallingCodeError(
            "the value may be a calling code; if it is, map this column to phone.dial_code and the column of the number"
            " to phone.number, otherwise use a two-letter country code, such as HR"
        )
    try:
        found = country_of(text)
    except MissingExtraError as error:
        raise ValueError(str(error)) from None
    if found is None:
        raise ValueError(
            "the value is not a known country; use an ISO 3166-1 code, such as HR, or the name of the country"
        )
    return found


def _check_number(text: str, pattern: re.Pattern[str]) -> str:
    if text[0].isalpha():
        return text
    if len(text) > 1 and not text.strip("#"):
        raise ValueError("a spreadsheet wrote # for a value that is wider than its column; widen it and export again")
    if pattern.fullmatch(text):
        what = "shortened this number" if "e" in text.lower() else "added decimals or separators to this number"
        what = what if text[-1].isdecimal() else "changed this value to a date"
        raise ValueError(f"a spreadsheet {what}; format the column as text and export the data again")
    return text
