"""A draft and two cards that every limit of Wonder allows."""

from attrs import evolve

from wonder_customers import Address, CardSource, CustomerDraft, Phone

DRAFT = CustomerDraft(reference="35", name="Ada Lovelace", phone=Phone("+852", "12345678"))
CARD = CardSource(
    "4111111111111111",
    expire_month="12",
    expire_year="2030",
    holder_name="Ada Lovelace",
    transaction_type="no_show",
    success_return_url="https://shop.example/ok",
    fail_return_url="https://shop.example/no",
)
FULL_CARD = evolve(
    CARD,
    cvv="123",
    nickname="Main card",
    transaction_type="recurring_payment",
    address=Address(line1="1 Queen's Road", city="Hong Kong", state="HK", postcode="999077", country="HKG"),
)
"""A card with every field set."""
