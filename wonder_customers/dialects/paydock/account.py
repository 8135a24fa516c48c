"""`Paydock`: a merchant's credentials at Paydock."""

from collections.abc import Mapping
from os import environ
from typing import ClassVar

from attrs import field, frozen

from wonder_customers.dialects.accounts import (
    check_base_url,
    check_credential,
    environment,
    parse_base_url,
    read_environment,
)
from wonder_customers.dialects.paydock.dialect import PaydockDialect
from wonder_customers.dialects.provided_secrets import to_optional_secret
from wonder_customers.errors import ConfigurationError
from wonder_customers.secret import Secret, concealed, guarded


@guarded
@frozen
class Paydock:
    """A merchant's account at Paydock or one of its white labels.

    The secrets may be functions that return them; see `wonder_customers.dialects.provided_secrets`.

    Attributes:
        secret_key: The secret key. Pass this or `access_token`.
        access_token: An access token, which has selected permissions.
        base_url: The URL of the gateway, including ``/v1/``. The default is the sandbox. For production, pass
            `Paydock.PRODUCTION`.
        keep_default_source: Whether the default source is kept when a payment source is added to a customer. Otherwise,
            Paydock makes the added source the default.

    Raises:
        ConfigurationError: Both credentials or neither of them were passed, or a credential or the URL is invalid.
    """

    SANDBOX: ClassVar[str] = "https://api-sandbox.paydock.com/v1/"
    PRODUCTION: ClassVar[str] = "https://api.paydock.com/v1/"

    secret_key: Secret | None = field(default=None, converter=to_optional_secret)
    access_token: Secret | None = field(default=None, converter=to_optional_secret, kw_only=True)
    base_url: str = field(default=SANDBOX, kw_only=True)
    keep_default_source: bool = field(default=False, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if (self.secret_key is None) == (self.access_token is None):
            raise ConfigurationError("pass exactly one of secret_key and access_token")
        for name in ("secret_key", "access_token"):
            value: Secret | None = getattr(self, name)
            if value is not None:
                check_credential(name, value)
        check_base_url(self, "/customers", endpoint="/v1/customers")
        if environment(self) in {"production", "sandbox"} and not parse_base_url(self.base_url)[1]:
            raise ConfigurationError(f"base_url must end with /v1/, as in {self.PRODUCTION}")

    @classmethod
    @concealed
    def from_environment(cls, variables: Mapping[str, str] = environ) -> "Paydock":
        """Create an account from environment variables. Variables with the suffix ``_FILE`` contain paths of files.

        Args:
            variables: A mapping with ``PAYDOCK_SECRET_KEY`` or ``PAYDOCK_ACCESS_TOKEN`` and, optionally,
                ``PAYDOCK_BASE_URL``.

        Raises:
            ConfigurationError: Neither or both of the credentials are set, or a variable is invalid.
        """
        given = read_environment(variables, "PAYDOCK_SECRET_KEY", "PAYDOCK_ACCESS_TOKEN", "PAYDOCK_BASE_URL")
        key, token = given.get("PAYDOCK_SECRET_KEY"), given.get("PAYDOCK_ACCESS_TOKEN")
        if key and token:
            raise ConfigurationError(
                "PAYDOCK_SECRET_KEY and PAYDOCK_ACCESS_TOKEN are both set. Unset one of the variables."
            )
        if not key and not token:
            raise ConfigurationError(
                "set either PAYDOCK_SECRET_KEY or PAYDOCK_ACCESS_TOKEN in the environment (or, to read the value from a"
                " file, PAYDOCK_SECRET_KEY_FILE=PATH)"
            )
        return cls(key, access_token=token, base_url=given.get("PAYDOCK_BASE_URL", cls.SANDBOX))

    def dialect(self) -> PaydockDialect:
        """Return the dialect for this account."""
        return PaydockDialect(self)
