"""Every benchmark runs to its end, and compares what its stored results compare."""

import os
import re
import subprocess
import sys
from math import isfinite
from pathlib import Path

import orjson
import pytest
from pages import ROOT

RESULTS = ROOT / "benchmarks" / "results"
NAMES = sorted(file.stem for file in (ROOT / "benchmarks").glob("[!_]*.py"))

pytestmark = [pytest.mark.long, pytest.mark.alone]


def checkout() -> dict[Path, tuple[int, int]]:
    """Return the size and time of each file of the project, except hidden files and caches of bytecode."""
    files = [
        path for folder in ("benchmarks", "docs", "tests", "wonder_customers") for path in (ROOT / folder).rglob("*")
    ]
    states = [(path, path.stat()) for path in (*files, *ROOT.glob("*.*")) if "__pycache__" not in path.parts]
    return {path: (state.st_size, state.st_mtime_ns) for path, state in states if path.is_file()}


@pytest.mark.parametrize("name", NAMES)
def test_quick_run_prints_every_stored_ratio_and_writes_no_file_of_the_project(name: str, tmp_path: Path) -> None:
    stored, before = orjson.loads((RESULTS / f"{name}.json").read_bytes()), checkout()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", name, "--quick"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), "TMPDIR": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    printed = re.findall(r"^  (?:reached|missed) (.+): ([\d.,e+-]+|nan|inf)$", done.stdout, re.MULTILINE)
    assert [description for description, _ in printed] == [target["description"] for target in stored["targets"]]
    assert all(isfinite(float(value.replace(",", ""))) for _, value in printed)
    assert any(figure["case"] in done.stdout for figure in stored["figures"])
    assert checkout() == before
    assert not list(tmp_path.iterdir())


def test_each_benchmark_has_stored_results() -> None:
    assert sorted(file.stem for file in RESULTS.glob("*.json")) == NAMES
