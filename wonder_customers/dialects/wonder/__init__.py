"""Wonder. Sources: Wonder's customer documents, its "Authentication" page and its own clients."""

from wonder_customers.dialects.wonder.account import Wonder
from wonder_customers.dialects.wonder.dialect import WonderDialect

__all__ = ["ACCOUNT", "Wonder", "WonderDialect"]

ACCOUNT = Wonder
