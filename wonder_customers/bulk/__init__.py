"""Bulk jobs: send many customers to a gateway and record the outcome of each.

A job reads rows, sends those that changed, and keeps a journal of every request before it is sent and after its
response arrived. Jobs can be planned, stopped, resumed and verified. See `sync`.
"""

from wonder_customers.bulk import sources
from wonder_customers.bulk.distributed.index import Index
from wonder_customers.bulk.distributed.partition import Partition, Source, run_partition
from wonder_customers.bulk.job import Job, sync
from wonder_customers.bulk.journal import Journal
from wonder_customers.bulk.migrate import Losses, losses, migrated
from wonder_customers.bulk.options import BULK, Options
from wonder_customers.bulk.plan import Plan, plan
from wonder_customers.bulk.rows import Outcome, Row
from wonder_customers.bulk.verify import Verification, verify

__all__ = [
    "BULK",
    "Index",
    "Job",
    "Journal",
    "Losses",
    "Options",
    "Outcome",
    "Partition",
    "Plan",
    "Row",
    "Source",
    "Verification",
    "losses",
    "migrated",
    "plan",
    "run_partition",
    "sources",
    "sync",
    "verify",
]
