"""Bulk jobs: send many customers to a gateway and record the outcome of each. See `sync`."""

from wonder_customers.bulk import sources
from wonder_customers.bulk.distributed.partition import Index, Partition, run_partition
from wonder_customers.bulk.job import Job
from wonder_customers.bulk.journal import Journal, Run
from wonder_customers.bulk.journal.digest import Digests
from wonder_customers.bulk.journal.entries import Entry, RowJournal
from wonder_customers.bulk.local_job import sync
from wonder_customers.bulk.migrate import Losses, losses, migrated
from wonder_customers.bulk.missing_from_source import MissingFromSource
from wonder_customers.bulk.options import BULK, Options
from wonder_customers.bulk.outage import Outage
from wonder_customers.bulk.plan import Difference, Plan, plan
from wonder_customers.bulk.rows import Outcome, Row, Table
from wonder_customers.bulk.saved_plan import check_plan, save_plan
from wonder_customers.bulk.sources import ColumnMapping, FieldSource
from wonder_customers.bulk.sources.columns import Reading
from wonder_customers.bulk.sources.notes import SourceNotes
from wonder_customers.bulk.sources.reader import RowReader, Source
from wonder_customers.bulk.sources.text import TextOptions
from wonder_customers.bulk.verify import Finding, Verification, verify

__all__ = [
    "BULK",
    "ColumnMapping",
    "Difference",
    "Digests",
    "Entry",
    "FieldSource",
    "Finding",
    "Index",
    "Job",
    "Journal",
    "Losses",
    "MissingFromSource",
    "Options",
    "Outage",
    "Outcome",
    "Partition",
    "Plan",
    "Reading",
    "Row",
    "RowJournal",
    "RowReader",
    "Run",
    "Source",
    "SourceNotes",
    "Table",
    "TextOptions",
    "Verification",
    "check_plan",
    "losses",
    "migrated",
    "plan",
    "run_partition",
    "save_plan",
    "sources",
    "sync",
    "verify",
]
