"""Refuses columns that may contain card data."""

import re
from collections.abc import Mapping, Sequence

from wonder_customers._support.card_data import names_security_code
from wonder_customers.errors import ConfigurationError

__all__ = ["CARD_DATA", "check_card_columns", "is_ambiguous", "may_have_cards"]

CARD_DATA = "possible card data; read only if mapped"
"""Why a column that may contain card data is left out."""
_CID = re.compile(r"(card_?)?cid_?2?(_?(code|number|value))?")
"""A name of a security code that is not one in other places."""
_CARD = re.compile(
    r"pan|(credit_?|debit_?)?card(_?(no|nr|num|number|pan))?|cc(_?(no|nr|num|number))?|(primary_?)?account_?number"
    r"|(kredit)?karten_?(nummer|nr)|kreditkarte|card_?(expiry|expiration|exp)(_?(date|month|year))?|exp(iry|iration|ire)?_?(date|month|year)|track_?[12]?(_?data)?"
)
_AMBIGUOUS = frozenset({"account_number", "accountnumber", "cc", "cid"})
"""Names that can also mean a customer's number, a country code or a customer's id."""


def check_card_columns(names: Sequence[tuple[str, str]], mapping: Mapping[str, str]) -> None:
    """Raise `ConfigurationError` if columns seem to contain card data, according to their names."""
    codes = [name for name, plain in names if _has_security_codes(plain, mapping.get(plain))]
    if codes:
        raise ConfigurationError(
            f"{_columns(codes)} card security codes, which must not be stored (PCI DSS 3.3.1). Delete the codes from"
            " the source. If a column contains other values, rename it; a column named `cid` can also be mapped with"
            " mapping={'COLUMN': 'FIELD'}, and a column named `CardCode` to the reference."
        )
    cards = [name for name, plain in names if may_have_cards(plain, mapping.get(plain))]
    if cards:
        raise ConfigurationError(
            f"{_columns(cards)} card data, which is read only if it is mapped to payment_source. Map each column to a"
            " field of payment_source, for example with mapping={'COLUMN': 'payment_source.number'}, or leave the"
            f" columns out with mapping={dict.fromkeys(cards, '')}. If a column contains other values, rename it; a"
            " column named `account_number` or `cc` can also be mapped to any other field."
        )


def is_ambiguous(plain: str) -> bool:
    """Return whether a normalised name may mean card data or something else."""
    return plain.rpartition(".")[2] in _AMBIGUOUS


def _columns(names: Sequence[str]) -> str:
    quoted = ", ".join(map(repr, names))
    return f"column {quoted} seems to contain" if len(names) == 1 else f"columns {quoted} seem to contain"


def _has_security_codes(plain: str, mapped: str | None) -> bool:
    if (mapped or "").rpartition(".")[2] == "cvv":
        return True
    name = plain.rpartition(".")[2]
    if name == "cardcode" and mapped == "reference":  # the number of a customer in SAP Business One
        return False
    found = bool(_CID.fullmatch(name)) or names_security_code(plain) or names_security_code(name)
    return found and not (is_ambiguous(plain) and mapped is not None)


def may_have_cards(plain: str, mapped: str | None) -> bool:
    """Return whether a column may contain card data that was not mapped explicitly."""
    if mapped is not None and (mapped == "" or mapped.startswith("payment_source.") or is_ambiguous(plain)):
        return False
    name = re.sub(r"[^\w]+", "", plain.rpartition(".")[2].rstrip("."))
    return bool(_CARD.fullmatch(name)) or (mapped or plain).startswith("payment_source.")
