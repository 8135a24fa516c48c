"""The dialect of Wonder. Sources: Wonder's customer documentation, "Authentication" page and official clients."""

from wonder_customers.dialects.wonder.account import Wonder
from wonder_customers.dialects.wonder.dialect import WonderDialect
from wonder_customers.dialects.wonder.filters import WonderConditions, WonderFilter

__all__ = ["ACCOUNT", "Wonder", "WonderConditions", "WonderDialect", "WonderFilter"]

ACCOUNT = Wonder
