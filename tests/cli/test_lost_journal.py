"""A journal that is lost while rows are sent."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from bulk.customers import write_csv
from cli.conftest import start

from wonder_customers.cli.exit_codes import STOPPED
from wonder_customers.simulator.server import SimulatorServer


@pytest.mark.parametrize("replacement", [Path.mkdir, lambda path: path.write_bytes(b"other contents" * 1000)])
def test_journal_that_is_lost_after_rows_were_applied_stops_the_job_and_is_reported(
    replacement: Callable[[Path], object], server: SimulatorServer, folder: Path
) -> None:
    write_csv(folder / "c.csv", 20)
    server.conditions.latency = (1.0, 1.0)
    words = ("sync", "c.csv", "--to", "monri", "--report", "r.json", "--workers", "20")
    with start(folder, server.environment(), *words) as process:
        while not server.faults.requests.total():
            assert process.poll() is None
            time.sleep(0.01)
        for file in folder.glob("c.csv.monri.journal*"):
            file.unlink()
        replacement(folder / "c.csv.monri.journal")
        _, err = process.communicate()
    assert process.returncode == STOPPED, err
    assert "Traceback" not in err
    assert "Nothing was sent" not in err
    report = json.loads((folder / "r.json").read_text())
    assert (report["exit_status"], report["rows"]["created"], report["adds_up"]) == ("journal", 20, True)
