"""Test projects in temporary folders, run by a pytest of their own."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from attrs import frozen

import wonder_customers

ROOT = Path(wonder_customers.__file__).parent.parent
FOURTH = Path(__file__).parent / "plugin" / "fourth"

SETTINGS = """
[pytest]
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""


@frozen
class Outcome:
    """How a run ended."""

    code: int
    text: str

    def count(self, word: str) -> int:
        """How many tests ended so: ``passed``, ``failed``, ``errors``."""
        found = re.search(rf"(\d+) {word}", self.text.splitlines()[-1])
        return int(found[1]) if found else 0


def run_python(*arguments: str, folder: Path, site: Path | None = None, **environment: str) -> Outcome:
    """Run Python in `folder`, with this library and what `site` holds."""
    paths = [str(ROOT), *([str(site)] if site else [])]
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "WONDER", "COV"))}
    variables |= {"PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1", "NO_COLOR": "1"} | environment
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Outcome(done.returncode, (done.stdout + done.stderr).strip())


def run_project(folder: Path, test: str, *options: str, settings: str = SETTINGS, site: Path | None = None) -> Outcome:
    """Run a project of one test module.

    The plug-in is named, because the library need not be installed here. Others are loaded as they are installed, but
    not respx's own, which would load respx at the start.
    """
    (folder / "test_project.py").write_text(test, encoding="utf-8")
    (folder / "pytest.ini").write_text(settings, encoding="utf-8")
    named = ("-p", "pytest_wonder_customers", "-p", "no:cacheprovider", "-p", "no:respx", "-p", "no:randomly")
    return run_python("-m", "pytest", "-q", "--tb=short", "--color=no", *named, *options, folder=folder, site=site)


def install_fourth(site: Path) -> None:
    """Put the fourth gateway into `site` as an installer would: its one folder, and metadata with its entry point."""
    shutil.copytree(FOURTH / "acme_gateway", site / "acme_gateway")
    metadata = site / "acme_gateway-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-gateway\nVersion: 1.0\n", encoding="utf-8")
    (metadata / "entry_points.txt").write_text("[wonder_customers.dialects]\nacme = acme_gateway\n", encoding="utf-8")
