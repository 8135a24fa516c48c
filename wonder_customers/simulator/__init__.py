"""A local HTTP server that simulates the payment gateways and can inject faults.

`SimulatorServer` runs the server. The module `simulator` of each dialect contains one simulated gateway, which shares
no code with the client's dialect, so that tests detect mistakes in either.
"""

from wonder_customers.errors import needed

with needed("cli", "starlette", "uvicorn", by="the simulator"):
    from wonder_customers.simulator.app import build_app
    from wonder_customers.simulator.authentication import AuthenticationReport
    from wonder_customers.simulator.conditions import Conditions, Magic
    from wonder_customers.simulator.faults import FAULT_KINDS, Fault, Faults
    from wonder_customers.simulator.gateway import (
        GatewayRefusal,
        JsonObject,
        ReceivedRequest,
        SimulatedGateway,
        json_response,
    )
    from wonder_customers.simulator.quirks import Quirk, Quirks, SimulatedResponse
    from wonder_customers.simulator.request_log import RecordedRequest
    from wonder_customers.simulator.server import SimulatorServer
    from wonder_customers.simulator.store import Condition, Store, StoredCustomer, StoredRecord

__all__ = [
    "FAULT_KINDS",
    "AuthenticationReport",
    "Condition",
    "Conditions",
    "Fault",
    "Faults",
    "GatewayRefusal",
    "JsonObject",
    "Magic",
    "Quirk",
    "Quirks",
    "ReceivedRequest",
    "RecordedRequest",
    "SimulatedGateway",
    "SimulatedResponse",
    "SimulatorServer",
    "Store",
    "StoredCustomer",
    "StoredRecord",
    "build_app",
    "json_response",
]
