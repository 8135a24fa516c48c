"""The job on Temporal that the page shows: its activities run, and its workflow is valid."""

import base64
import os
import re
import shutil
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import orjson
import pytest
from bulk.customers import write_csv
from bulk.test_shared_limit import SERVER, Redis
from pages import ROOT, blocks

from wonder_customers.dialects import simulator
from wonder_customers.simulator.server import SimulatorServer

if TYPE_CHECKING:
    from temporalio.client import WorkflowHistory

pytest.importorskip("redis", reason="needs the extra shared-limit")
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(find_spec("temporalio") is None, reason="needs temporalio"),
    pytest.mark.skipif(SERVER is None, reason="needs redis-server or valkey-server: apt-get install redis-server"),
]


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    (code,) = [block.code for block in blocks(ROOT / "docs/ray.md", "python")]
    assert len(code.splitlines()) <= 45
    (tmp_path / "temporal_job.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    yield import_module("temporal_job")
    del sys.modules["temporal_job"]


def begun(path: str) -> "WorkflowHistory":
    """Return the history of a workflow that has started and has scheduled the activity ``divide``."""
    queue, kind = {"name": "q"}, {"name": "SendFile"}
    text = base64.b64encode(orjson.dumps(path)).decode()
    payload = {"metadata": {"encoding": base64.b64encode(b"json/plain").decode()}, "data": text}
    started = {"workflowType": kind, "taskQueue": queue, "input": {"payloads": [payload]}, "workflowTaskTimeout": "10s"}
    completed = {"scheduledEventId": "2", "startedEventId": "3"}
    scheduled = {"activityId": "1", "activityType": {"name": "divide"}, "workflowTaskCompletedEventId": "4"}
    events: list[dict[str, Any]] = [
        {"workflowExecutionStartedEventAttributes": started},
        {"workflowTaskScheduledEventAttributes": {"taskQueue": queue}},
        {"workflowTaskStartedEventAttributes": {"scheduledEventId": "2"}},
        {"workflowTaskCompletedEventAttributes": completed},
        {"activityTaskScheduledEventAttributes": scheduled},
    ]
    for number, event in enumerate(events, 1):
        (name,) = event
        type_name = re.sub(r"([A-Z])", r"_\1", name.removesuffix("EventAttributes")).upper()
        event |= {"eventId": str(number), "eventType": f"EVENT_TYPE_{type_name}", "eventTime": "2026-01-01T00:00:00Z"}
    from temporalio.client import WorkflowHistory

    return WorkflowHistory.from_json("w", {"events": events})


async def work(recipe: Any, source: Path) -> list[dict[str, int]]:
    # Imported here, because its import takes a long time when the tests are collected.
    from temporalio.testing import ActivityEnvironment
    from temporalio.worker import Replayer

    replayed = await Replayer(workflows=[recipe.SendFile]).replay_workflow(begun(str(source)))
    assert replayed.replay_failure is None
    partitions = ActivityEnvironment().run(recipe.divide, str(source))
    return [await ActivityEnvironment().run(recipe.send, partition) for partition in (*partitions, *partitions)]


def test_temporal_recipe_sends_every_row_once(recipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, redis = tmp_path / "journals", Redis(tmp_path)
    folder.mkdir()
    redis.start()
    source = tmp_path / "c"
    source.mkdir()
    write_csv(source / "a.csv", 5)
    shutil.copy(source / "a.csv", source / "b.csv")
    try:
        with SimulatorServer([simulator("paydock")]) as server:
            for name, value in {**server.environment(), "JOURNALS": str(folder), "LIMITS": redis.url}.items():
                monkeypatch.setitem(os.environ, name, value)
            counts = anyio.run(work, recipe, source)
            assert server.store.ledger("paydock") == {f"c-{number}": 1 for number in range(5)}
    finally:
        redis.kill()
    assert counts == [{"created": 5}, {"duplicate": 5}, {"unchanged": 5}, {"duplicate": 5}]
