"""A real HTTP server that stands in for the payment gateways, and misbehaves on request.

`SimulatorServer` runs it; each dialect's module `simulate` brings one gateway. It is written a second time
from the gateways' documents and shares no code with the client, so that one mistake cannot hide on both
sides.
"""

from wonder_customers.errors import needed

with needed("cli", "starlette", "uvicorn", by="the simulator"):
    from wonder_customers.simulator.app import build_app
    from wonder_customers.simulator.faults import KINDS, Faults
    from wonder_customers.simulator.gateway import Call, Gateway, GatewayError
    from wonder_customers.simulator.server import SimulatorServer
    from wonder_customers.simulator.store import Condition, Customer, Record, Store

__all__ = [
    "KINDS",
    "Call",
    "Condition",
    "Customer",
    "Faults",
    "Gateway",
    "GatewayError",
    "Record",
    "SimulatorServer",
    "Store",
    "build_app",
]
