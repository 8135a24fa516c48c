"""The journal: records every row before it is sent and after it ended."""

from wonder_customers.bulk.journal.database import connect
from wonder_customers.bulk.journal.sqlite import Change, Journal, Run

__all__ = ["Change", "Journal", "Run", "connect"]
