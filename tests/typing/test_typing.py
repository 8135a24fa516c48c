"""Type checkers report exactly the lines of `cases` that are marked as wrong."""

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
    path = tmp_path / "cases.py"
    path.write_text(CASES.replace("# mypy: ignore-errors", "#"), encoding="utf-8")
    return path


def run(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


@pytest.mark.long
def test_mypy_reports_the_wrong_lines(cases: Path) -> None:
    # With `silent`, errors in other files are not reported.
    output = run("mypy", "--strict", "--follow-imports", "silent", "--no-error-summary", str(cases))
    reported = {int(number): words for number, words in re.findall(r"cases\.py:(\d+): error: (.*)", output)}
    assert reported.keys() == WRONG.keys(), output
    # The message about an unsupported operation names the gateway.
    assert "CustomerSession[Wonder]" in next(words for number, words in reported.items() if ".delete(" in WRONG[number])


@pytest.mark.long
def test_pyright_reports_the_wrong_lines(cases: Path) -> None:
    settings = {"include": ["cases.py"], "typeCheckingMode": "strict", "extraPaths": [str(ROOT)]}
    (cases.parent / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    output = json.loads(run("pyright", "-p", str(cases.parent), "--pythonpath", sys.executable, "--outputjson"))
    errors = [it for it in output["generalDiagnostics"] if it["severity"] == "error"]
    found = {it["range"]["start"]["line"] + 1 for it in errors}
    assert found == WRONG.keys(), "\n".join(f"{it['range']['start']['line'] + 1}: {it['message']}" for it in errors)
