"""Paydock. Sources: Paydock's ``POST /v1/customers``, its API reference and its own clients."""

from wonder_customers.dialects.paydock.account import Paydock
from wonder_customers.dialects.paydock.dialect import PaydockDialect

__all__ = ["ACCOUNT", "Paydock", "PaydockDialect"]

ACCOUNT = Paydock
