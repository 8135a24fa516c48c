"""Run pytest projects in temporary folders, each in its own process."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from attrs import frozen
from pages import files

import wonder_customers

ROOT = Path(wonder_customers.__file__).parent.parent
ENTRY = ROOT / "wonder_customers" / "testing" / "entry"
"""The folder of the pytest plug-in's module; the wheel installs the module beside the package."""
FOURTH = files(Path(__file__).parent.parent / "docs" / "adding-a-gateway.md")
"""The files of the example gateway in ``docs/adding-a-gateway.md``."""

SETTINGS = """
[pytest]
filterwarnings = error
"""


@frozen
class RunResult:
    """Exit code and output of a process."""

    code: int
    text: str

    def count(self, word: str) -> int:
        """Return the number of tests with a result: ``passed``, ``failed`` or ``errors``."""
        found = re.search(rf"(\d+) {word}", self.text.splitlines()[-1])
        return int(found[1]) if found else 0


def run_python(*arguments: str, folder: Path, site: Path | None = None, **environment: str) -> RunResult:
    """Run Python in `folder` with this library and the packages in `site` importable."""
    paths = [str(ROOT), str(ENTRY), *([str(site)] if site else [])]
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "WONDER"))}
    variables |= {"PYTHONPATH": os.pathsep.join(paths), "NO_COLOR": "1"} | environment
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return RunResult(done.returncode, (done.stdout + done.stderr).strip())


def run_project(
    folder: Path,
    test: str,
    *options: str,
    plugins: tuple[str, ...] = ("anyio.pytest_plugin",),
    settings: str = SETTINGS,
    site: Path | None = None,
) -> RunResult:
    """Run a project of one test module with only this plug-in and `plugins` loaded."""
    (folder / "test_project.py").write_text(test, encoding="utf-8")
    (folder / "pytest.ini").write_text(settings, encoding="utf-8")
    named = [part for name in (*plugins, "pytest_wonder_customers", "no:cacheprovider") for part in ("-p", name)]
    command = ("-m", "pytest", "-q", "--tb=short", "--color=no", *named, *options)
    return run_python(*command, folder=folder, site=site, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")


def write_fourth(package: Path) -> None:
    """Write the folder of the example gateway to `package`."""
    for name, text in FOURTH.items():
        folder, _, rest = name.partition("/")
        if folder == "acme_gateway":
            file = package / rest
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")


def install_fourth(site: Path) -> None:
    """Install the example gateway into `site`: its folder, and metadata with its entry point."""
    write_fourth(site / "acme_gateway")
    project = tomllib.loads(FOURTH["pyproject.toml"])["project"]
    metadata = site / f"acme_gateway-{project['version']}.dist-info"
    metadata.mkdir()
    about = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (metadata / "METADATA").write_text(about, encoding="utf-8")
    points = "".join(
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
        for group, entries in project["entry-points"].items()
    )
    (metadata / "entry_points.txt").write_text(points, encoding="utf-8")
