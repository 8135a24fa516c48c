"""Hypothesis strategies for drafts that a gateway's documentation allows."""

from typing import Any

from hypothesis import strategies as st

from wonder_customers import Address, CustomerDraft, Phone

CONTROLS = "".join(map(chr, [*range(32), *range(127, 160)]))
PHONES = st.sampled_from(
    [Phone("+852", "12345678"), Phone("+1", "2345678901"), Phone("+387", "61000111"), Phone("+39", "0612345678")]
)


def texts(shortest: int, longest: int) -> st.SearchStrategy[str]:
    """Return Unicode text of `shortest` to `longest` characters without NUL."""
    return st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=shortest, max_size=longest)


def references(longest: int) -> st.SearchStrategy[str]:
    """Return references: text that can be a segment of a URL path."""
    letters = st.characters(codec="utf-8", exclude_characters=CONTROLS)
    return st.text(letters, min_size=1, max_size=longest).filter(lambda text: text not in {".", ".."})


def optional(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


def _numbers(longest: int) -> st.SearchStrategy[str]:
    """Return phone numbers: text with a digit."""
    return st.builds(str.__add__, texts(0, longest - 1), st.sampled_from("0123456789"))


WONDER = st.builds(
    CustomerDraft,
    reference=references(255),
    name=texts(1, 255),
    email=optional(texts(0, 255)),
    phone=st.builds(Phone, optional(st.from_regex(r"(\+|00)?[0-9]{1,4}", fullmatch=True)), _numbers(255)).filter(
        lambda it: not it.contradicts_code()
    ),
    company_name=optional(texts(0, 255)),
    default_payment_method=optional(st.sampled_from(["Credit Card", "Alipay", "Wechat Pay"])),
    default_payment_token=optional(st.uuids().map(str)),
)
PAYDOCK = st.builds(
    CustomerDraft,
    reference=optional(references(255)),
    first_name=optional(texts(0, 255)),
    last_name=optional(texts(0, 255)),
    email=optional(texts(0, 255)),
    phone=optional(PHONES),
    company_name=optional(texts(0, 255)),
    description=optional(texts(0, 255)),
    metadata=optional(st.dictionaries(texts(0, 20), texts(0, 50), max_size=3)),
    default_payment_token=optional(st.text("0123456789abcdef", min_size=24, max_size=24)),
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts(0, 20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts(0, 10), inner, max_size=3),
    max_leaves=8,
)
MONRI = st.builds(
    CustomerDraft,
    reference=optional(references(100)),
    name=optional(texts(1, 50)),
    email=optional(texts(1, 200)),
    description=optional(texts(1, 200)),
    phone=optional(PHONES | st.builds(Phone, st.none(), _numbers(30))),
    metadata=optional(st.dictionaries(texts(0, 10), JSON, max_size=3)),
    address=optional(
        st.builds(
            Address,
            line1=optional(texts(3, 100)),
            city=optional(texts(3, 30)),
            postcode=optional(texts(1, 9)),
            country=optional(st.sampled_from(["BA", "HR", "RS", "AQ"])),
        )
    ),
)
DRAFTS: dict[str, st.SearchStrategy[CustomerDraft]] = {"wonder": WONDER, "paydock": PAYDOCK, "monri": MONRI}
