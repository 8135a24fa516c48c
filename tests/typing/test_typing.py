"""`cases` through the type checkers: every wrong line is refused, every other line passes."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import wonder_customers

ROOT = Path(wonder_customers.__file__).parent.parent
CASES = (Path(__file__).parent / "cases.py").read_text(encoding="utf-8")
WRONG = {number: line for number, line in enumerate(CASES.splitlines(), 1) if line.endswith("# wrong")}


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    place = tmp_path / "cases.py"
    place.write_text(CASES.replace("# mypy: ignore-errors", "#"), encoding="utf-8")
    return place


def run(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def test_mypy(cases: Path) -> None:
    # `silent`: what is wrong elsewhere is not the question here.
    told = run("mypy", "--strict", "--follow-imports", "silent", "--no-error-summary", str(cases))
    refused = {int(number): words for number, words in re.findall(r"cases\.py:(\d+): error: (.*)", told)}
    assert refused.keys() == WRONG.keys(), told
    # The message of a verb that the gateway lacks names the gateway.
    assert "CustomerSession[Wonder]" in next(words for number, words in refused.items() if ".delete(" in WRONG[number])


@pytest.mark.long
def test_pyright(cases: Path) -> None:
    settings = {"include": ["cases.py"], "typeCheckingMode": "strict", "extraPaths": [str(ROOT)]}
    (cases.parent / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    told = json.loads(run("pyright", "-p", str(cases.parent), "--pythonpath", sys.executable, "--outputjson"))
    errors = [it for it in told["generalDiagnostics"] if it["severity"] == "error"]
    found = {it["range"]["start"]["line"] + 1 for it in errors}
    assert found == WRONG.keys(), "\n".join(f"{it['range']['start']['line'] + 1}: {it['message']}" for it in errors)
