"""The dialect of Monri / WebPay. Sources: Monri's pages "Customers API" and "Requirements - API v2"."""

from wonder_customers.dialects.monri.account import Monri
from wonder_customers.dialects.monri.dialect import MonriDialect

__all__ = ["ACCOUNT", "Monri", "MonriDialect"]

ACCOUNT = Monri
