"""Secret values: hidden in text, logs, pickles, JSON and tracebacks."""

import copy
import json
import logging
import pickle
import pprint
import string
from typing import Any

import orjson
import pytest
from mock_gateway import private_key

from wonder_customers import CardSource, Monri, Paydock, Secret, VaultToken, Wonder
from wonder_customers.secret import optional_secret, secret
from wonder_customers.transports.httpx import HttpxTransport

HIDDEN = "4111111111111111"


@pytest.fixture
def hidden() -> Secret:
    return Secret(HIDDEN)


def test_reveal_returns_the_value(hidden: Secret) -> None:
    assert hidden.reveal() == HIDDEN


def test_text_of_a_secret_is_three_asterisks(hidden: Secret) -> None:
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


def test_secret_is_not_a_string_or_sequence(hidden: Secret) -> None:
    value: Any = hidden
    assert not isinstance(value, str)
    for take in (len, iter, list, "".join, bytes, int, float, vars, lambda it: it[0], lambda it: it + "", sorted):
        with pytest.raises(TypeError) as caught:
            take(value)
        assert HIDDEN not in str(caught.value)
    assert not hasattr(value, "__dict__")
    assert not hasattr(value, "encode")


def test_secret_is_immutable(hidden: Secret) -> None:
    value: Any = hidden
    for name in ("_value", "other"):
        with pytest.raises(AttributeError):
            setattr(value, name, "x")
    with pytest.raises(AttributeError, match="cannot be changed"):
        del hidden._reveal
    assert hidden.reveal() == HIDDEN


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_secret_cannot_be_pickled(hidden: Secret, protocol: int) -> None:
    for thing in (hidden, [hidden], VaultToken(hidden), HttpxTransport(proxy=f"http://user:{HIDDEN}@127.0.0.1:9")):
        with pytest.raises(TypeError) as caught:
            pickle.dumps(thing, protocol)
        assert HIDDEN not in str(caught.value)


def test_copied_secret_is_hidden(hidden: Secret) -> None:
    for made in (copy.copy(hidden), copy.deepcopy(hidden), copy.deepcopy({"it": hidden})["it"]):
        assert repr(made) == "***"
        assert made == hidden


def test_secret_cannot_be_serialized_to_json(hidden: Secret) -> None:
    for write in (json.dumps, orjson.dumps, pickle.dumps):
        with pytest.raises(TypeError) as caught:
            write({"number": hidden})
        assert HIDDEN not in str(caught.value)
    assert json.dumps({"number": hidden}, default=str) == '{"number": "***"}'


def test_logged_secret_is_hidden(hidden: Secret, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("test").info("%s %r %s", hidden, hidden, CardSource(hidden, expire_month="12"))
    assert HIDDEN not in caplog.text
    assert caplog.text.count("***") == 3


def test_secret_equality_and_hash(hidden: Secret) -> None:
    assert hidden == Secret(HIDDEN)
    assert hidden != Secret("other")
    assert hidden != HIDDEN
    assert hash(hidden) == hash(Secret(HIDDEN))
    assert hash(hidden) != hash(HIDDEN)
    assert {hidden: 1}[Secret(HIDDEN)] == 1
    assert Secret("ключ\ud800") == Secret("ключ\ud800")


def test_secret_is_false_only_if_empty(hidden: Secret) -> None:
    assert hidden
    assert not Secret("")


@pytest.mark.parametrize("value", [None, 4111111111111111, b"4111111111111111", ["4111"]], ids=repr)
def test_secret_requires_text_and_the_error_does_not_quote_the_value(value: Any) -> None:
    with pytest.raises(TypeError, match="the value of a Secret must be a str") as caught:
        Secret(value)
    assert "4111" not in str(caught.value)


def test_secret_converter_wraps_text_and_keeps_secrets(hidden: Secret) -> None:
    assert secret(hidden) is hidden
    assert secret(HIDDEN) == hidden
    assert optional_secret(None) is None
    assert optional_secret(HIDDEN) == hidden


def test_accounts_are_hashable_and_compare_by_value() -> None:
    assert Paydock("k") == Paydock("k")
    assert hash(Monri("k", "t")) == hash(Monri("k", "t"))
    assert Monri("k", "t") != Monri("k2", "t")
    assert Wonder("a", private_key()) == Wonder("a", private_key())


def test_secret_is_initialised_once() -> None:
    held = Secret("first")
    with pytest.raises(AttributeError, match="cannot be changed"):
        Secret.__init__(held, "second")
    assert held.reveal() == "first"
