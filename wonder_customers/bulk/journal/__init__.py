"""The journal, which records every row before it is sent and after its result is known."""

from wonder_customers.bulk.journal.database import connect
from wonder_customers.bulk.journal.sqlite import Journal, Run

__all__ = ["Journal", "Run", "connect"]
