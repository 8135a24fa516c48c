"""A job on Ray in a process of its own: ``ray_driver.py GATEWAY SOURCE JOURNAL RATE [resume|fail|elsewhere]``."""

import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import anyio
import orjson
from attrs import evolve
from bulk.customers import QUICK, collect

from wonder_customers import RetryPolicy
from wonder_customers.bulk import Journal, Options, Source
from wonder_customers.bulk.ray import sync_on_ray
from wonder_customers.dialects import package
from wonder_customers.errors import ConfigurationError

# A killed actor is replaced by a new process. On a busy machine this takes longer than the deadline of `QUICK`.
PATIENT = evolve(QUICK, attempts=100, deadline=600.0, read_timeout=10.0)


class UnpicklablePolicy(RetryPolicy):
    """A policy that cannot be sent to workers."""

    def __reduce__(self) -> NoReturn:
        raise TypeError("this policy cannot be pickled")


async def fail(gateway: str, source: str, path: str) -> None:
    """Start a job whose workers cannot be started, and print what it leaves behind."""
    import ray  # after the settings that `wonder_customers.bulk.ray` makes for it

    account = package(gateway).ACCOUNT.from_environment()
    Journal.open(path, gateway=gateway, endpoint=account.base_url)
    options = Options(retry=UnpicklablePolicy())
    found = []
    for running in (True, False):
        if running:
            ray.init("local", include_dashboard=False, log_to_driver=False, object_store_memory=80_000_000)
        job = await sync_on_ray(Source(source), Path(path), options=options)
        with suppress(TypeError):
            await collect(job)
        left = ray.util.list_named_actors(all_namespaces=True) if ray.is_initialized() else []
        found.append([ray.is_initialized(), left, [it.name for it in Path(path).parent.glob("*.partitions*")]])
        ray.shutdown()
    sys.stdout.write(orjson.dumps(found).decode() + "\n")


async def elsewhere(gateway: str, source: str, path: str) -> None:
    """Start jobs in a process that is already connected to Ray, and print the error or the number of rows of each."""
    import ray  # after the settings that `wonder_customers.bulk.ray` makes for it

    account = package(gateway).ACCOUNT.from_environment()
    ray.init("local", include_dashboard=False, log_to_driver=False, object_store_memory=80_000_000)
    own = ray.get_runtime_context().gcs_address
    found: list[object] = [own]
    for number, on in enumerate(("ray://other.example:6379", f"ray://{own}", "ray")):
        journal = Path(f"{path}-{number}")
        Journal.open(journal, gateway=gateway, endpoint=account.base_url)
        job = await sync_on_ray(Source(source), journal, on=on, options=Options(retry=PATIENT), workers=1)
        try:
            await collect(job)
            found.append(job.rows_read)
        except ConfigurationError as error:
            found.append(str(error))
    ray.shutdown()
    sys.stdout.write(orjson.dumps(found).decode() + "\n")


async def main(gateway: str, source: str, path: str, rate: float, *, resume: bool) -> None:
    account = package(gateway).ACCOUNT.from_environment()
    Journal.open(path, gateway=gateway, endpoint=account.base_url)
    options = Options(retry=PATIENT, failure_share=None, facts={"source": source}, resume=resume, workers=32)
    job = await sync_on_ray(Source(source), Path(path), rate=rate or None, options=options, size=250)
    failed = [[outcome.number, str(outcome.error)] for outcome in await collect(job)]
    facts = {"counts": job.stats.counts, "read": job.rows_read, "unfinished": job.unfinished, "failed": failed}
    sys.stdout.write(orjson.dumps({**facts, "requests": job.stats.requests.sent}).decode() + "\n")


if __name__ == "__main__":
    program, gateway, source, path, rate, *more = sys.argv
    if more in (["fail"], ["elsewhere"]):
        anyio.run(fail if more == ["fail"] else elsewhere, gateway, source, path)
    else:
        anyio.run(lambda: main(gateway, source, path, float(rate), resume=more == ["resume"]))
