"""The dialect of Paydock. Sources: Paydock's page ``POST /v1/customers``, API reference and official clients."""

from wonder_customers.dialects.paydock.account import Paydock
from wonder_customers.dialects.paydock.dialect import PaydockDialect

__all__ = ["ACCOUNT", "Paydock", "PaydockDialect"]

ACCOUNT = Paydock
