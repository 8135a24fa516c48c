"""A bulk job in a process of its own: ``python bulk_process.py GATEWAY SOURCE JOURNAL [resume] [delete] [steady]``."""

import sys
from collections import Counter

import anyio
import orjson

from wonder_customers import AdaptiveRateLimit, CustomerSession, RateLimit, RetryPolicy
from wonder_customers.bulk import Journal, Options, sources, sync
from wonder_customers.bulk.missing_from_source import RemovedRule
from wonder_customers.dialects import package

POLICY = RetryPolicy(
    attempts=8, deadline=20.0, connect_timeout=1.0, read_timeout=1.0, write_timeout=1.0, base=0.02, throttle_base=0.02,
    cap=0.2, confirmation_window=0.4, transient_cost=0, throttle_cost=0,
)  # fmt: skip


async def main(gateway: str, source: str, journal: str, *words: str) -> None:
    account = package(gateway).ACCOUNT.from_environment()
    opened = Journal.open(journal, gateway=gateway, endpoint=account.base_url)
    facts = {"source": source}
    removed: RemovedRule = "delete" if "delete" in words else "report"
    options = Options(retry=POLICY, failure_share=None, facts=facts, resume="resume" in words, removed=removed)
    counts: Counter[str] = Counter()
    failures: list[str] = []
    # After a few refusals, an adaptive limit would send a small source with a few requests per second.
    limit = RateLimit(1000) if "steady" in words else AdaptiveRateLimit()
    async with CustomerSession(account, rate_limit=limit) as session:
        job = sync(session, sources.read(source), journal=opened, options=options)
        async with job:
            async for outcome in job:
                counts[outcome.status] += 1
                if not outcome.ok:
                    failures.append(type(outcome.error).__name__)
    report = {"counts": counts, "failures": failures, "read": job.rows_read, "unfinished": job.unfinished}
    sys.stdout.write(orjson.dumps(report).decode())


if __name__ == "__main__":
    anyio.run(lambda: main(*sys.argv[1:]))
