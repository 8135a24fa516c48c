"""`Monri`: a merchant's credentials at Monri / WebPay."""

from collections.abc import Mapping
from os import environ
from typing import Any, ClassVar, Literal

from attrs import field, frozen

from wonder_customers.dialects.accounts import check_base_url, check_credential, read_environment, to_secret
from wonder_customers.dialects.monri.dialect import MonriDialect
from wonder_customers.errors import ConfigurationError
from wonder_customers.secret import Secret, concealed, guarded


@guarded
@frozen
class Monri:
    """A merchant's account at Monri / WebPay.

    The secrets may be functions that return them; see `wonder_customers.dialects.provided_secrets`.

    Attributes:
        merchant_key: The merchant's secret key.
        authenticity_token: The merchant's public token.
        auth: ``digest`` signs every request (``WP3-v2.1``, documented). ``oauth`` sends a bearer token, as Monri's
            client libraries do.
        base_url: The URL of the gateway. The default is the test gateway. For production, pass `Monri.PRODUCTION`.

    Raises:
        ConfigurationError: A credential, `auth` or the URL is invalid.
    """

    SANDBOX: ClassVar[str] = "https://ipgtest.monri.com"
    PRODUCTION: ClassVar[str] = "https://ipg.monri.com"

    merchant_key: Secret = field(converter=to_secret)
    authenticity_token: Secret = field(converter=to_secret)
    auth: Literal["digest", "oauth"] = "digest"
    base_url: str = SANDBOX

    def __attrs_post_init__(self) -> None:
        check_credential("merchant_key", self.merchant_key)
        check_credential("authenticity_token", self.authenticity_token)
        if self.auth not in ("digest", "oauth"):
            raise ConfigurationError('auth must be "digest" or "oauth"')
        check_base_url(self, "/v2/customers", "/v2", "/customers", endpoint="/v2/customers")

    @classmethod
    @concealed
    def from_environment(cls, variables: Mapping[str, str] = environ) -> "Monri":
        """Create an account from environment variables. Variables with the suffix ``_FILE`` contain paths of files.

        Args:
            variables: A mapping with ``MONRI_MERCHANT_KEY``, ``MONRI_AUTHENTICITY_TOKEN`` and, optionally,
                ``MONRI_AUTH`` and ``MONRI_BASE_URL``.

        Raises:
            ConfigurationError: A variable is missing or invalid.
        """
        required = ("MONRI_MERCHANT_KEY", "MONRI_AUTHENTICITY_TOKEN")
        given = read_environment(variables, "MONRI_AUTH", "MONRI_BASE_URL", required=required)
        auth: Any = given.get("MONRI_AUTH", "digest")
        key, token = (Secret(given[name]) for name in required)
        return cls(key, token, auth=auth, base_url=given.get("MONRI_BASE_URL", cls.SANDBOX))

    def dialect(self) -> MonriDialect:
        """Return the dialect for this account."""
        return MonriDialect(self)
