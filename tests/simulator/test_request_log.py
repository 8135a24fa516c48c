"""The request log masks card data, and no other values."""

import orjson
import pytest

from wonder_customers import CustomerDraft, Phone
from wonder_customers.simulator.cards import without_card_data
from wonder_customers.testing import CustomerSimulator, make_draft


async def test_telephone_numbers_and_references_are_not_masked(
    gateway: str, customer_simulator: CustomerSimulator
) -> None:
    async with customer_simulator.session(gateway) as session:
        for number in ("7911123456", "79111234564", "791112345645"):
            reference = f"c-44{number}"
            draft: CustomerDraft = make_draft(reference=reference, phone=Phone("+44", number))
            await session.create(draft)
            request = customer_simulator.requests[-1]
            for body in (request.json, request.response_json):
                assert number in orjson.dumps(body).decode()
                assert reference in orjson.dumps(body).decode()


@pytest.mark.parametrize(
    ("body", "logged"),
    [
        (b'{"number":"4111111111111111","cvv":"123"}', b'{"number":"************1111","cvv":"***"}'),
        (b'{"card_number":"676195540000"}', b'{"card_number":"********0000"}'),
        (b'{"note":"4111 1111-1111 1111"}', b'{"note":"***************1111"}'),
        (b'{"phone":"+4111111111111111"}', b'{"phone":"+************1111"}'),
        (b'{"phone":"+4179111234564","to":"+4179111234564"}', None),
        (b'{"id":"41111111111111111abcdefa","order":"20261129123456"}', None),
        (b'{"id":"41111111-1111-4111-8111-11111111111a","at":1700000000000}', None),
    ],
)
def test_only_card_data_is_masked(body: bytes, logged: bytes | None) -> None:
    assert without_card_data(body) == (logged or body)
