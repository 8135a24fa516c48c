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
ENTRY = ROOT / "wonder_customers" / "testing" / "entry"
"""Where the plug-in's own module lies; the wheel installs it beside the package."""
FOURTH = Path(__file__).parent / "plugin" / "fourth"

SETTINGS = """
[pytest]
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
    paths = [str(ROOT), str(ENTRY), *([str(site)] if site else [])]
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


def run_project(
    folder: Path,
    test: str,
    *options: str,
    plugins: tuple[str, ...] = ("anyio.pytest_plugin",),
    settings: str = SETTINGS,
    site: Path | None = None,
) -> Outcome:
    """Run a project of one test module, with this plug-in and the named ones, whatever else is installed."""
    (folder / "test_project.py").write_text(test, encoding="utf-8")
    (folder / "pytest.ini").write_text(settings, encoding="utf-8")
    named = [part for name in (*plugins, "pytest_wonder_customers", "no:cacheprovider") for part in ("-p", name)]
    command = ("-m", "pytest", "-q", "--tb=short", "--color=no", *named, *options)
    return run_python(*command, folder=folder, site=site, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")


def install_fourth(site: Path) -> None:
    """Put the fourth gateway into `site` as an installer would: its one folder, and metadata with its entry point."""
    shutil.copytree(FOURTH / "acme_gateway", site / "acme_gateway")
    metadata = site / "acme_gateway-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-gateway\nVersion: 1.0\n", encoding="utf-8")
    (metadata / "entry_points.txt").write_text("[wonder_customers.dialects]\nacme = acme_gateway\n", encoding="utf-8")
