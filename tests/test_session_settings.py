"""Invalid session and retry settings raise `ConfigurationError`."""

from typing import Any

import pytest
from mock_gateway import ACCOUNTS

from wonder_customers import ConfigurationError, CustomerSession, Paydock, RetryPolicy

BAD_SESSIONS: dict[str, dict[str, Any]] = {
    "no account": {"account": None},
    "a class": {"account": Paydock},
    "text": {"account": "paydock"},
    "retry of another type": {"retry": 3},
    "transport of another type": {"transport": 5},
    "rate limit of another type": {"rate_limit": 25},
    "no connections": {"max_connections": 0},
    "negative connections": {"max_connections": -1},
    "a boolean": {"max_connections": True},
    "a fraction": {"max_connections": 1.5},
    "too many connections": {"max_connections": 10**6},
}


@pytest.mark.parametrize("options", BAD_SESSIONS.values(), ids=BAD_SESSIONS)
def test_invalid_session_setting_is_rejected(options: dict[str, Any]) -> None:
    account = options.get("account", ACCOUNTS["paydock"]())
    with pytest.raises(ConfigurationError):
        CustomerSession(account, **{name: value for name, value in options.items() if name != "account"})


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": 0},
        {"attempts": True},
        {"attempts": 2.0},
        {"attempts": "3"},
        {"deadline": 0},
        {"deadline": -1},
        {"deadline": float("nan")},
        {"deadline": float("inf")},
        {"deadline": None},
        {"read_timeout": 0},
        {"base": -0.1},
        {"factor": 0.5},
        {"budget": -1},
    ],
    ids=repr,
)
def test_invalid_policy_setting_is_named(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(ConfigurationError, match=rf"RetryPolicy\({name}="):
        RetryPolicy(**wrong)
