"""The check of Paydock's keys and access tokens for the simulator, implemented from Paydock's documentation."""

from collections.abc import Mapping, Sequence
from typing import Final

from wonder_customers.simulator.authentication import AuthenticationReport
from wonder_customers.simulator.gateway import ReceivedRequest

PRIVATE: Final = ("secret_key", "access_token")
"""The credentials that calls from the merchant's server may use."""
PUBLIC: Final = ("public_key", *PRIVATE)
"""The credentials that calls from a browser may use."""

_HEADERS: Final = {
    "secret_key": "x-user-secret-key",
    "access_token": "x-access-token",
    "public_key": "x-user-public-key",
}
_WORDS: Final = {"secret_key": "a secret key", "access_token": "an access token", "public_key": "a public key"}

Merchants = Mapping[str, Mapping[str, str]]


def received_credentials(request: ReceivedRequest) -> dict[str, str]:
    """Return the credentials of a request by kind."""
    received = {kind: request.headers.get(header, "") for kind, header in _HEADERS.items()}
    received["public_key"] = received["public_key"] or request.query.get("public_key", "")
    return {kind: value for kind, value in received.items() if value}


def merchant_of(received: Mapping[str, str], merchants: Merchants, kinds: Sequence[str]) -> str | None:
    """Return the merchant to which the received credentials of `kinds` belong, or None if they are unknown."""
    for merchant, credentials in merchants.items():
        if any(received.get(kind) == credentials[kind] for kind in kinds):
            return merchant
    return None


def report(request: ReceivedRequest, merchants: Merchants) -> AuthenticationReport:
    """Return a report on the authentication of a request from the merchant's server."""
    received = received_credentials(request)
    steps = {header: "present" if kind in received else "absent" for kind, header in _HEADERS.items()}
    merchant = merchant_of(received, merchants, PRIVATE)
    if merchant is not None:
        return AuthenticationReport(True, f"The credentials belong to the merchant {merchant}.", steps)
    kinds = {credentials[kind]: kind for credentials in merchants.values() for kind in PUBLIC}
    for kind, value in received.items():
        if value in kinds:
            return AuthenticationReport(False, _wrong_kind(kind, kinds[value]), steps)
    if not received:
        return AuthenticationReport(
            False, "The request has no header with credentials. Send x-user-secret-key or x-access-token.", steps
        )
    names = " and ".join(_HEADERS[kind] for kind in received)
    return AuthenticationReport(False, f"No merchant of this simulator has the credentials in {names}.", steps)


def _wrong_kind(sent_as: str, kind: str) -> str:
    if kind == "public_key":
        return "The request contains a public key. This endpoint requires the secret key or an access token."
    return f"The header {_HEADERS[sent_as]} contains {_WORDS[kind]}. Send it as {_HEADERS[kind]}."
