"""`PaydockFilter`: the filters and the sort order of Paydock's list.

Source: ``GET /v1/customers`` in the API reference of PowerBoard, a white label of Paydock.
"""

from typing import TYPE_CHECKING, Literal, TypedDict, Unpack

from attrs import evolve

from wonder_customers.dialects.filters import CustomerFilter
from wonder_customers.errors import InvalidRecordError, Violation
from wonder_customers.records import Customer, Page
from wonder_customers.secret import concealed

if TYPE_CHECKING:
    from wonder_customers.dialects.paydock.account import Paydock  # noqa: F401 - the name in a string

__all__ = ["PaydockConditions", "PaydockFilter"]


class PaydockConditions(TypedDict, total=False):
    """The arguments of `PaydockFilter`."""

    search: str | None
    email: str | None
    reference: str | None
    company_name: str | None
    id: str | None
    status: str | None
    gateway_id: str | None
    payment_source_id: str | None
    archived: bool | None
    sortkey: str | None
    sortdirection: Literal["ASC", "DESC"] | None


class PaydockFilter(CustomerFilter["Paydock"]):
    """A filter for lists of Paydock's customers. A customer must satisfy all conditions that are set.

    Args:
        search: A string in the first name, the last name, the e-mail address or the company name.
        email: The complete e-mail address; case is ignored. The address is sent as `search`, and customers with other
            addresses are omitted. Pages may therefore have few items, and have no total.
        reference: Your id for the customer. Paydock may also return similar references.
        company_name: The name of the company.
        id: The gateway's id for the customer.
        status: The status, such as ``active``.
        gateway_id: The id of an acquiring gateway of one of the customer's payment sources.
        payment_source_id: The id of one of the customer's payment sources.
        archived: True for archived customers only. By default, archived customers are omitted.
        sortkey: The field to sort by, such as ``updated_at``. Without a sort order, the oldest customer is first.
        sortdirection: ``ASC`` or ``DESC``.

    Raises:
        InvalidRecordError: A condition is unknown or invalid, or both `search` and `email` were passed.
    """

    __slots__ = ()

    gateway = "paydock"
    conditions = PaydockConditions

    @concealed
    def __init__(self, **conditions: Unpack[PaydockConditions]) -> None:
        super().__init__(**conditions)
        if {"search", "email"} <= self._values.keys():
            problem = Violation("filter.email", "search", "must not be combined with search")
            raise InvalidRecordError(self.gateway, [problem])

    @classmethod
    def parameter(cls, name: str) -> str:
        """Return the query parameter for a condition."""
        return "search" if name == "email" else name

    def select(self, page: Page[Customer]) -> Page[Customer]:
        """Return a page with only the customers whose e-mail address equals the condition `email`, if it is set."""
        email = self._values.get("email")
        if email is None:
            return page
        items = [it for it in page.items if it.email is not None and it.email.casefold() == email.casefold()]
        kept = {it.id for it in items}
        omitted = tuple(it.id for it in page.items if it.id not in kept)
        return evolve(page, items=items, total=None, omitted=omitted)
