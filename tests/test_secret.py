"""A secret can be carried anywhere and shows itself nowhere."""

import copy
import json
import logging
import pickle
import pprint
import string
import traceback
from typing import Any

import attrs
import cattrs
import orjson
import pytest
from mock_gateway import ACCOUNTS, MERCHANT_KEY, SECRET_KEY, private_key

from wonder_customers import (
    CardSource,
    ConfigurationError,
    CustomerDraft,
    CustomerSession,
    Monri,
    OneTimeToken,
    Paydock,
    Secret,
    VaultToken,
    Wonder,
)
from wonder_customers.secret import optional_secret, secret

HIDDEN = "4111111111111111"


@pytest.fixture
def hidden() -> Secret:
    return Secret(HIDDEN)


def test_only_reveal_gives_the_secret(hidden: Secret) -> None:
    assert hidden.reveal() == HIDDEN


def test_every_way_of_writing_it_down_gives_three_stars(hidden: Secret) -> None:
    written = [
        repr(hidden),
        str(hidden),
        f"{hidden}",
        f"{hidden!r}",
        f"{hidden!s}",
        f"{hidden!a}",
        format(hidden),
        "{}".format(hidden),  # noqa: UP032
        "%s" % hidden,  # noqa: UP031
        "%r" % hidden,  # noqa: UP031
        string.Template("$it").substitute(it=hidden),
        pprint.pformat(hidden),
    ]
    assert written == ["***"] * len(written)
    assert f"{hidden:>6}" == "   ***"
    assert str([hidden]) == "[***]"
    assert str({"it": hidden}) == "{'it': ***}"


def test_it_is_no_text_and_cannot_be_taken_apart(hidden: Secret) -> None:
    value: Any = hidden
    assert not isinstance(value, str)
    for take in (len, iter, list, "".join, bytes, int, float, vars, lambda it: it[0], lambda it: it + "", sorted):
        with pytest.raises(TypeError) as caught:
            take(value)
        assert HIDDEN not in str(caught.value)
    assert not hasattr(value, "__dict__")
    assert not hasattr(value, "encode")


def test_it_cannot_be_changed(hidden: Secret) -> None:
    value: Any = hidden
    for name in ("_value", "other"):
        with pytest.raises(AttributeError):
            setattr(value, name, "x")
    with pytest.raises(AttributeError, match="cannot be changed"):
        del hidden._reveal
    assert hidden.reveal() == HIDDEN


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_refuses_at_every_protocol(hidden: Secret, protocol: int) -> None:
    for thing in (hidden, [hidden], VaultToken(hidden)):
        with pytest.raises(TypeError) as caught:
            pickle.dumps(thing, protocol)
        assert HIDDEN not in str(caught.value)


def test_copies_are_secret_too(hidden: Secret) -> None:
    for made in (copy.copy(hidden), copy.deepcopy(hidden), copy.deepcopy({"it": hidden})["it"]):
        assert repr(made) == "***"
        assert made == hidden


def test_json_writers_refuse(hidden: Secret) -> None:
    for write in (json.dumps, orjson.dumps, pickle.dumps):
        with pytest.raises(TypeError) as caught:
            write({"number": hidden})
        assert HIDDEN not in str(caught.value)
    assert json.dumps({"number": hidden}, default=str) == '{"number": "***"}'


def test_logging_shows_stars(hidden: Secret, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("test").info("%s %r %s", hidden, hidden, CardSource(hidden, expire_month="12"))
    assert HIDDEN not in caplog.text
    assert caplog.text.count("***") == 3


def test_a_plain_converter_does_not_write_it(hidden: Secret) -> None:
    assert HIDDEN not in str(cattrs.Converter().unstructure(VaultToken(hidden)))


def test_it_equals_its_like_only_and_can_be_a_key(hidden: Secret) -> None:
    assert hidden == Secret(HIDDEN)
    assert hidden != Secret("other")
    assert hidden != HIDDEN
    assert hash(hidden) == hash(Secret(HIDDEN))
    assert hash(hidden) != hash(HIDDEN)
    assert {hidden: 1}[Secret(HIDDEN)] == 1
    assert Secret("ключ\ud800") == Secret("ключ\ud800")


def test_an_empty_one_is_false_and_any_other_true(hidden: Secret) -> None:
    assert hidden
    assert not Secret("")


@pytest.mark.parametrize("value", [None, 4111111111111111, b"4111111111111111", ["4111"]], ids=repr)
def test_only_text_can_be_secret_and_the_refusal_does_not_quote_it(value: Any) -> None:
    with pytest.raises(TypeError, match="a Secret holds text, not") as caught:
        Secret(value)
    assert "4111" not in str(caught.value)


def test_text_is_wrapped_and_secrets_stay_as_they_are(hidden: Secret) -> None:
    assert secret(hidden) is hidden
    assert secret(HIDDEN) == hidden
    assert optional_secret(None) is None
    assert optional_secret(HIDDEN) == hidden


@pytest.mark.parametrize(
    "record",
    [
        CardSource(HIDDEN, expire_month="12", cvv="987654"),
        OneTimeToken(HIDDEN),
        VaultToken(HIDDEN),
        CustomerDraft(payment_source=CardSource(HIDDEN, cvv="987654")),
    ],
    ids=lambda it: type(it).__name__,
)
def test_records_hold_it_without_showing_it(record: Any) -> None:
    for text in (repr(record), str(attrs.asdict(record)), str(attrs.astuple(record)), pprint.pformat(record)):
        assert HIDDEN not in text
        assert "987654" not in text
        assert "***" in text


@pytest.mark.parametrize("gateway", ACCOUNTS)
def test_accounts_and_sessions_show_no_credential(gateway: str) -> None:
    account: Any = ACCOUNTS[gateway]()
    session = CustomerSession(account)
    shown = "\n".join(
        map(
            str,
            (account, attrs.asdict(account), session, vars(session), session.account, account.dialect()),
        )
    )
    for private in (SECRET_KEY, MERCHANT_KEY, private_key().splitlines()[1], "BEGIN"):
        assert private not in shown
    with pytest.raises(TypeError):
        pickle.dumps(account)


def test_accounts_can_be_keys_and_equal_by_value() -> None:
    assert Paydock("k") == Paydock("k")
    assert hash(Monri("k", "t")) == hash(Monri("k", "t"))
    assert Monri("k", "t") != Monri("k2", "t")
    assert Wonder("a", private_key()) == Wonder("a", private_key())


def test_a_traceback_with_all_local_variables_shows_no_secret_that_was_passed_as_one() -> None:
    card = CardSource(Secret(HIDDEN[:-1] + "2"), expire_month="13", cvv=Secret("987654"))
    with pytest.raises(Exception, match="number") as caught:
        ACCOUNTS["wonder"]().dialect().create_payment_token("x", card)
    trace = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    shown = "".join(trace.format())
    assert "CardSource" in shown
    assert HIDDEN[:-1] not in shown
    assert "987654" not in shown


def test_a_key_that_is_no_key_is_in_no_frame_of_the_traceback() -> None:
    hidden = Secret("-----BEGIN PRIVATE " + "KEY-----\nTHEHIDDENKEY")
    with pytest.raises(ConfigurationError) as caught:
        Wonder("app", hidden)
    trace = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert "THEHIDDENKEY" not in "".join(line for line in trace.format() if "Secret(" not in line)
