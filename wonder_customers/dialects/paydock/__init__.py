"""The dialect of Paydock. Sources: Paydock's page ``POST /v1/customers``, API reference and official clients."""

from wonder_customers.dialects.paydock.account import Paydock
from wonder_customers.dialects.paydock.dialect import PaydockDialect
from wonder_customers.dialects.paydock.filters import PaydockConditions, PaydockFilter

__all__ = ["ACCOUNT", "Paydock", "PaydockConditions", "PaydockDialect", "PaydockFilter"]

ACCOUNT = Paydock
