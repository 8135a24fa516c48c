"""The programs in other languages on the page ``docs/other-languages.md``, each run against the simulator."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from pages import ROOT, files

from wonder_customers.simulator import SimulatorServer

PROGRAMS = files(ROOT / "docs" / "other-languages.md")
COMMANDS = {".sh": "bash", ".mjs": "node", ".php": "php", ".java": "java"}
TOOLS = {".sh": ("bash", "curl", "openssl", "od"), ".mjs": ("node",), ".php": ("php",), ".java": ("java",)}
# The Java compiler alone takes seconds.
NAMES = [
    pytest.param(name, marks=pytest.mark.long if name.endswith(".java") else ())
    for name in PROGRAMS
    if not name.endswith(".yaml")
]


@pytest.mark.parametrize("name", NAMES)
def test_program_creates_reads_changes_and_deletes_a_customer(
    name: str, server: SimulatorServer, tmp_path: Path
) -> None:
    kind = Path(name).suffix
    missing = [tool for tool in TOOLS[kind] if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"needs {missing[0]}")
    gateway = Path(name).stem.lower()
    (tmp_path / name).write_text(PROGRAMS[name], encoding="utf-8")
    done = subprocess.run(
        [COMMANDS[kind], name], cwd=tmp_path, env={**os.environ, **server.environment(), "NO_PROXY": "*"},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    calls = [(it.gateway, it.method, it.status in {200, 201}) for it in server.request_log.all()]
    deletion = [] if gateway == "wonder" else ["DELETE"]
    assert calls == [(gateway, method, True) for method in ("POST", "GET", "POST", "GET", *deletion)]
    assert server.store.ledger(gateway) == {"customer-1": 1}
    (held,) = server.export_state()["customers"]
    assert held["body"]["email"] == "ada@example.com"
    assert held["deleted"] is bool(deletion)
