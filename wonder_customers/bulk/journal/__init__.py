"""The journal: what is about to happen to a row, and what happened."""

from wonder_customers.bulk.journal.sqlite import Change, Journal, Run, connect

__all__ = ["Change", "Journal", "Run", "connect"]
