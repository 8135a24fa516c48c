"""The records of customers and payment tokens, which are the same for all gateways.

Records are immutable. Their ``repr`` shows no personal data and no secrets. The fields come from the documentation
(Wonder "Create a customer", Paydock ``POST /v1/customers``, Monri "Customers API") and the gateways' official clients.
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from operator import attrgetter
from typing import Any, Final, Generic, Literal, TypeVar

from attrs import field, fields, frozen

from wonder_customers._support.markers import CLEAR, UNSET, Clear, Unset
from wonder_customers._support.phone import Phone
from wonder_customers._support.rate_limit_headers import rate_limit_headers
from wonder_customers.secret import Secret, guarded, optional_secret, record_repr, secret

__all__ = [
    "CLEAR",
    "UNSET",
    "Address",
    "BankAccountSource",
    "CardSource",
    "CardSummary",
    "Clear",
    "Customer",
    "CustomerDraft",
    "CustomerPatch",
    "OneTimeToken",
    "Page",
    "PaymentSource",
    "PaymentToken",
    "Phone",
    "Response",
    "Unset",
    "VaultToken",
    "WonderCard",
    "WonderTransactionType",
]

T = TypeVar("T")


def _own(value: object) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


def _names(value: Iterable[str]) -> frozenset[str]:
    if isinstance(value, (str, bytes)):
        raise TypeError("clear must be a set of names of fields, such as {'email'}, not one text")
    return frozenset(value)


def _private(default: Any = None) -> Any:
    return field(default=default, repr=False)


@frozen(slots=False)
class Address:
    """A postal address.

    `country` is an ISO 3166-1 alpha-2 code. Only the billing address of a card at Wonder uses the alpha-3 code.
    """

    line1: str | None = _private()
    line2: str | None = _private()
    line3: str | None = _private()
    city: str | None = _private()
    state: str | None = _private()
    postcode: str | None = _private()
    country: str | None = _private()
    company: str | None = _private()


WonderTransactionType = Literal[
    "partial_split_shipment",
    "delayed_charges",
    "no_show",
    "recurring_payment",
    "unscheduled_cof",
    "unscheduled_cof_subsequent",
]
"""What a payment token of Wonder will be used for (Wonder's page "Create customer payment token")."""


@guarded
@frozen
class CardSource:
    """The full data of a payment card. Only for merchants that may handle card numbers (PCI DSS); prefer a token.

    Attributes:
        number: The card number, digits only.
        expire_month: Two digits, ``01`` to ``12``.
        expire_year: Four digits.
        holder_name: The cardholder's name as printed on the card.
        cvv: The security code.
        gateway_id: Paydock: the acquiring gateway that stores the card (24 hex digits).
        address: The billing address.
        nickname: Wonder: the customer's own name for the card.
        transaction_type: Wonder: what the token will be used for.
        success_return_url: Wonder: where the cardholder is redirected after a successful 3-D Secure check.
        fail_return_url: Wonder: where the cardholder is redirected after a failed 3-D Secure check.
    """

    number: Secret = field(converter=secret)
    expire_month: str = _private()
    expire_year: str = _private()
    holder_name: str | None = _private()
    cvv: Secret | None = field(default=None, converter=optional_secret)
    gateway_id: str | None = None
    address: Address | None = _private()
    nickname: str | None = _private()
    transaction_type: WonderTransactionType | None = None
    success_return_url: str | None = _private()
    fail_return_url: str | None = _private()


@guarded
@frozen
class WonderCard(CardSource):
    """A card for Wonder. The fields that Wonder requires have no defaults."""

    expire_month: str = field(repr=False, kw_only=True)
    expire_year: str = field(repr=False, kw_only=True)
    holder_name: str = field(repr=False, kw_only=True)
    transaction_type: WonderTransactionType = field(kw_only=True)
    success_return_url: str = field(repr=False, kw_only=True)
    fail_return_url: str = field(repr=False, kw_only=True)


@guarded
@frozen
class OneTimeToken:
    """A token from the customer's browser that replaces the payment details (Paydock: usable once, within 3 hours)."""

    token: Secret = field(converter=secret)


@guarded
@frozen
class VaultToken:
    """The vault token of a stored card or bank account (Paydock), and the id of its acquiring gateway, if any."""

    token: Secret = field(converter=secret)
    gateway_id: str | None = None
    address: Address | None = _private()


@guarded
@frozen
class BankAccountSource:
    """A bank account (Paydock).

    Attributes:
        number: The account number.
        holder_name: The name of the account's holder.
        bsb: The six-digit number of the bank and its branch, in Australia.
        routing: The bank's routing number, in other countries.
        holder_type: The type of holder, such as ``individual`` or ``business``.
        bank_name: The name of the bank.
        gateway_id: The acquiring gateway that stores the account (24 hex digits).
        address: The billing address.
    """

    number: Secret = field(converter=secret)
    holder_name: str = _private()
    bsb: str | None = _private()
    routing: str | None = _private()
    holder_type: str | None = None
    bank_name: str | None = _private()
    gateway_id: str | None = None
    address: Address | None = _private()


PaymentSource = CardSource | OneTimeToken | VaultToken | BankAccountSource


@frozen(slots=False)
class CustomerDraft:
    """A customer to create or update. Fields that the gateway does not support are refused before anything is sent.

    Attributes:
        reference: Your own id for the customer (Wonder ``reference_number``, Paydock ``reference``, Monri
            ``merchant_customer_id``). At Paydock and Monri, a create that received no response is looked up by it.
        name: The full name. Give this or `first_name` and `last_name`.
        metadata: Your own keys and values.
        default_payment_method: Wonder: ``Credit Card``, ``Alipay`` or ``Wechat Pay``.
        default_payment_token: The token to charge by default (Wonder: a UUID; Paydock: 24 hex digits).
        payment_source: Paydock: how the customer pays.
        clear: The fields that an upsert clears, such as ``email``, ``address.city`` or ``metadata.plan``. Fields with
            the value `CLEAR` are added, and fields with another value than None are removed.
    """

    reference: str | None = None
    name: str | None = _private()
    first_name: str | None = _private()
    last_name: str | None = _private()
    email: str | None = _private()
    phone: Phone | None = _private()
    company_name: str | None = _private()
    description: str | None = _private()
    metadata: Mapping[str, Any] | None = field(default=None, repr=False, converter=_own)
    address: Address | None = _private()
    default_payment_method: str | None = _private()
    default_payment_token: str | None = _private()
    payment_source: PaymentSource | None = field(default=None, repr=record_repr)
    clear: frozenset[str] = field(default=frozenset(), converter=_names)

    def __attrs_post_init__(self) -> None:
        values = _clearable_values(self)
        if self.clear or any(value is CLEAR for value in values):
            named = dict(zip(_CLEARABLE, values, strict=True))
            for name in (marked := {name for name, value in named.items() if value is CLEAR}):
                object.__setattr__(self, name, None)
            given = {name for name, value in named.items() if value is not None} - marked
            object.__setattr__(self, "clear", (self.clear | marked) - given)


_KEPT: Final = {"reference", "payment_source", "clear"}
_CLEARABLE: Final = tuple(it.name for it in fields(CustomerDraft) if it.name not in _KEPT)
_clearable_values: Final = attrgetter(*_CLEARABLE)


@frozen
class CustomerPatch:
    """A partial update. Fields that are `UNSET` are not changed; None clears a field.

    An `Address` changes only the parts that are not None. The value None for `address` clears all parts.
    """

    reference: str | Unset | None = UNSET
    name: str | Unset | None = _private(UNSET)
    first_name: str | Unset | None = _private(UNSET)
    last_name: str | Unset | None = _private(UNSET)
    email: str | Unset | None = _private(UNSET)
    phone: Phone | Unset | None = _private(UNSET)
    company_name: str | Unset | None = _private(UNSET)
    description: str | Unset | None = _private(UNSET)
    metadata: Mapping[str, Any] | Unset | None = field(default=UNSET, repr=False, converter=_own)
    address: Address | Unset | None = _private(UNSET)
    default_payment_method: str | Unset | None = _private(UNSET)
    default_payment_token: str | Unset | None = _private(UNSET)
    payment_source: PaymentSource | Unset | None = field(default=UNSET, repr=record_repr)


def _masked(number: str | None) -> str | None:
    if number is None or sum(map(str.isdigit, number)) < 12:
        return number
    return f"{'*' * (len(number) - 4)}{number[-4:]}"


@frozen(slots=False)
class CardSummary:
    """The displayable data of a stored card.

    Attributes:
        number: The masked card number.
        expires: Monri: the last day on which the card is valid.
        expired: Monri: whether the card has expired.
    """

    number: str | None = field(default=None, repr=False, converter=_masked)
    exp_month: str | None = _private()
    exp_year: str | None = _private()
    holder_name: str | None = _private()
    brand: str | None = None
    billing_currency: str | None = None
    expires: date | None = _private()
    expired: bool | None = None

    @property
    def last4(self) -> str | None:
        """The last four characters of `number`; None unless they are four digits."""
        digits = (self.number or "")[-4:]
        return digits if len(digits) == 4 and digits.isdigit() else None


@frozen(slots=False)
class PaymentToken:
    """A stored payment method: a Wonder payment token, a Paydock payment source, a Monri payment method.

    Attributes:
        token: The value with which the payment method is charged, checked or deleted.
        id: Monri: the gateway's id for the payment method.
        token_type: The gateway's name for the type, such as ``CreditCard`` or ``card``.
        state: Wonder: ``pending`` until the 3-D Secure check has ended, then ``success`` or ``failed``. Other gateways:
            their status string. Unknown values are kept.
        default: Whether this is the customer's default payment method; None if the gateway does not report it.
        verify_url: Wonder: the page that the cardholder has to visit while `state` is ``pending``. Only https URLs and
            loopback addresses are accepted.
        extra: The values of the response that have no attribute, or that could not be converted.
    """

    token: str = field(repr=False)
    id: str | None = _private()
    token_type: str | None = None
    state: str | None = None
    default: bool | None = None
    card: CardSummary | None = None
    error_code: str | None = None
    error_message: str | None = _private()
    verify_url: str | None = _private()
    verify_uuid: str | None = _private()
    vault_token: str | None = _private()
    gateway_id: str | None = None
    customer_id: str | None = None
    address: Address | None = _private()
    keep_until: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    extra: Mapping[str, Any] = field(factory=dict, repr=False)


@frozen(slots=False)
class Customer:
    """A customer as stored by the gateway.

    Attributes:
        id: The gateway's id (Wonder and Monri ``uuid``, Paydock ``_id``).
        reference: Your id for the customer; None if the response does not contain it.
        payment_tokens: Paydock: the payment sources in the response.
        status: The gateway's status string. Unknown values are kept.
        deleted: Whether the customer is soft-deleted (Monri) or archived (Paydock); None if this is not reported.
        extra: The values of the response that have no attribute, or that could not be converted.
    """

    id: str
    reference: str | None = None
    name: str | None = _private()
    first_name: str | None = _private()
    last_name: str | None = _private()
    email: str | None = _private()
    phone: Phone | None = _private()
    company_name: str | None = _private()
    description: str | None = _private()
    metadata: Mapping[str, Any] | None = _private()
    address: Address | None = _private()
    default_payment_method: str | None = _private()
    default_payment_token: PaymentToken | None = _private()
    payment_tokens: tuple[PaymentToken, ...] = _private(())
    status: str | None = None
    deleted: bool | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    deleted_at: datetime | None = None
    extra: Mapping[str, Any] = field(factory=dict, repr=False)


@frozen(slots=False)
class Page(Generic[T]):
    """One page of a list.

    Attributes:
        items: The records of this page, in the gateway's order.
        cursor: The argument of `list` that continues after this page; None after the last page.
        total: The number of matches (Paydock, Wonder); None if it is unknown.
        unreadable: The number of items without an id, which are not part of `items`.
        omitted: The ids of records that the gateway returned although they do not match the filter.
    """

    items: tuple[T, ...] = field(converter=tuple)
    cursor: str | None = None
    total: int | None = None
    unreadable: int = 0
    omitted: tuple[str, ...] = ()


@frozen(slots=False)
class Response(Generic[T]):
    """The result of an operation of ``session.raw``: a record, and details of the HTTP response.

    Attributes:
        record: The record; None for operations without a result.
        status: The HTTP status of the last response.
        headers: The headers of the last response, names in lower case.
        request_id: The gateway's id for the last request, or the id that was sent with that request.
        attempts: Number of requests of the call, including lookups and token requests.
        elapsed: Duration in seconds, including waits.
        recovered: Whether the write was found to be applied without a successful response to it.
        late_attempt: Whether an earlier attempt of a write received no conclusive response. That attempt may still be
            applied within the confirmation window.
    """

    record: T = field(repr=record_repr)  # the JSON of a custom request may contain personal data
    status: int
    headers: Mapping[str, str] = field(repr=False)
    request_id: str | None = None
    attempts: int = 1
    elapsed: float = 0.0
    recovered: bool = False
    late_attempt: bool = False

    @property
    def rate_limit_headers(self) -> dict[str, str]:
        """The headers about rate limits, such as ``x-ratelimit-remaining`` and ``retry-after``."""
        return rate_limit_headers(self.headers)


Applied = Literal["no", "yes", "unknown"]
