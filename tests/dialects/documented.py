"""The documented fields of the gateways, which the client's field rules are compared with.

They are the description from which the simulators work, copied by hand from the documentation.
"""

from typing import Any

from wonder_customers.simulator.openapi import documented_fields

DOCUMENTS: dict[str, dict[str, Any]] = {
    name: documented_fields(f"wonder_customers.dialects.{name}.simulator") for name in ("wonder", "paydock", "monri")
}
