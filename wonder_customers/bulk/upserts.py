"""The number of requests that an upsert takes."""

from typing import Any

from wonder_customers.dialects.base import Call
from wonder_customers.errors import InvalidRecordError
from wonder_customers.records import CustomerDraft, Phone
from wonder_customers.session import CustomerSession
from wonder_customers.wire import Replay

__all__ = ["requests_per_upsert"]


def requests_per_upsert(session: CustomerSession[Any]) -> float:
    """Return the number of requests of an upsert without failures: 1 if it is native, 2 if a lookup precedes it."""
    dialect = session.account.dialect()
    probe = CustomerDraft(reference="probe", name="Probe", email="probe@example.com", phone=Phone("+852", "51234567"))
    try:
        steps = dialect.upsert(probe)
    except InvalidRecordError:  # a gateway that requires more than a name, an e-mail address and a telephone number
        return 2.0
    try:
        first = next(steps)
    finally:
        steps.close()
    return 2.0 if isinstance(first, Call) and first.replay is Replay.READ else 1.0
