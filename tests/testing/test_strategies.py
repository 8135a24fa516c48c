"""The exported strategies generate records that are valid for the gateways."""

from hypothesis import given
from hypothesis import strategies as st

from wonder_customers import dialects
from wonder_customers.dialects.offline import offline_account
from wonder_customers.testing import strategies


@given(data=st.data())
def test_drafts_are_valid(gateway: str, data: st.DataObject) -> None:
    account = offline_account(gateway)
    for strategy in (strategies.drafts(), strategies.drafts(gateway)):
        account.dialect().validate(data.draw(strategy))


@given(data=st.data())
def test_customers_round_trip(gateway: str, data: st.DataObject) -> None:
    codec = dialects.package(gateway).codec
    customer = data.draw(strategies.customers(gateway))
    assert codec.read_customer(codec.write_customer(customer)) == customer


@given(strategies.drafts(name=st.just("Ada")), strategies.payment_tokens())
def test_custom_field_strategies(draft: object, token: object) -> None:
    assert getattr(draft, "name", None) == "Ada"
    assert getattr(token, "state", None) in {"success", "pending", "failed"}
