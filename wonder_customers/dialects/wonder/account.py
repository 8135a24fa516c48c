"""`Wonder`: a merchant's credentials at Wonder."""

from collections.abc import Mapping
from os import environ
from typing import Any, ClassVar

from attrs import field, frozen

from wonder_customers.dialects.accounts import (
    check_base_url,
    check_credential,
    read_environment,
    read_secret_file,
    to_secret,
)
from wonder_customers.dialects.provided_secrets import ProvidedSecret
from wonder_customers.dialects.wonder.dialect import ROOT, WonderDialect
from wonder_customers.dialects.wonder.signing import load_key, signature
from wonder_customers.errors import ConfigurationError
from wonder_customers.secret import Secret, concealed, guarded


@guarded
@frozen
class Wonder:
    """A merchant's account at Wonder.

    `private_key` may be a function that returns the key; see `wonder_customers.dialects.provided_secrets`.

    Attributes:
        app_id: The AppID of the environment, a UUID.
        private_key: Your RSA private key in PEM format. The public key must be uploaded to Wonder's portal.
        base_url: The URL of the gateway. The default is the sandbox. For production, pass `Wonder.PRODUCTION`.
        language: The language of the gateway's messages: ``en``, ``zh-HK`` or ``zh-CN``; None for the default.

    Raises:
        ConfigurationError: The AppID, the key, the language or the URL is invalid. The key must be an unencrypted RSA
            key of 2048 bits or more.
    """

    SANDBOX: ClassVar[str] = "https://gateway-stg.wonder.today"
    PRODUCTION: ClassVar[str] = "https://gateway.wonder.today"

    app_id: str
    private_key: Secret = field(converter=to_secret)
    base_url: str = SANDBOX
    language: str | None = None
    # Typed as Any, because attrs converters resolve the types of all fields, and importing the type of the key is slow.
    _key: Any = field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        check_credential("app_id", self.app_id)
        if "/" in self.app_id:
            raise ConfigurationError(
                "app_id must not contain a slash, because a slash separates the AppID from the time in the header"
            )
        if self.language not in (None, "en", "zh-HK", "zh-CN"):
            raise ConfigurationError('language must be "en", "zh-HK" or "zh-CN"')
        check_base_url(self, f"{ROOT}/customers", ROOT, "/svc", "/customers", endpoint=ROOT)
        known = not isinstance(self.private_key, ProvidedSecret)
        object.__setattr__(self, "_key", load_key(self.private_key) if known else None)

    @classmethod
    @concealed
    def from_environment(cls, variables: Mapping[str, str] = environ) -> "Wonder":
        """Create an account from environment variables. Variables with the suffix ``_FILE`` contain paths of files.

        Args:
            variables: A mapping with ``WONDER_APP_ID``, ``WONDER_PRIVATE_KEY`` (a key in PEM format or the path of a
                file that contains the key) and, optionally, ``WONDER_BASE_URL`` and ``WONDER_LANGUAGE``.

        Raises:
            ConfigurationError: A variable is missing or invalid.
        """
        required = ("WONDER_APP_ID", "WONDER_PRIVATE_KEY")
        given = read_environment(variables, "WONDER_BASE_URL", "WONDER_LANGUAGE", required=required)
        pem = given["WONDER_PRIVATE_KEY"]
        if "-----BEGIN" not in pem and not variables.get("WONDER_PRIVATE_KEY_FILE"):
            try:
                pem = read_secret_file(pem, "ascii")
            except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: the home directory is unknown
                unreadable = isinstance(error, UnicodeDecodeError)
                cause = "it is not ASCII text" if unreadable else getattr(error, "strerror", None) or error
                raise ConfigurationError(
                    f"WONDER_PRIVATE_KEY is neither a key in PEM format nor the path of a readable file ({cause})"
                ) from None
        base_url, language = given.get("WONDER_BASE_URL", cls.SANDBOX), given.get("WONDER_LANGUAGE")
        return cls(given["WONDER_APP_ID"], Secret(pem), base_url, language)

    def sign(self, message: bytes) -> bytes:
        """Return the base64 signature of `message`.

        Raises:
            ConfigurationError: A function returns the private key, so its value is unknown.
        """
        return signature(self._key or load_key(self.private_key), message)

    def dialect(self) -> WonderDialect:
        """Return the dialect for this account."""
        return WonderDialect(self)
