"""Missing optional packages: the error states the command that installs them."""

import json
import subprocess
import sys
import tomllib
from importlib import import_module

import pytest
from pages import ROOT

from wonder_customers import MissingExtraError
from wonder_customers.errors import needed

WITHOUT_PACKAGES = """
import json, os, sys
from wonder_customers.bulk import sources
for packages, use in json.loads(sys.argv[1]):
    if os.fork():
        os.wait()
        continue
    sys.modules.update(dict.fromkeys(packages.split()))
    try:
        exec(use)
    except ImportError as error:
        print(type(error).__name__, error, flush=True)
    else:
        print(flush=True)
    os._exit(0)
"""
PARTS = [
    ("otel", "opentelemetry", "from wonder_customers.contrib.otel import Spans", "wonder_customers.contrib.otel"),
    ("otel", "opentelemetry", "import wonder_customers.contrib.otel.metrics", "wonder_customers.contrib.otel"),
    ("starlette", "starlette", "import wonder_customers.contrib.starlette", "wonder_customers.contrib.starlette"),
    ("cli", "uvicorn", "from wonder_customers.simulator import SimulatorServer", "the simulator"),
    ("cli", "starlette", "from wonder_customers.dialects import simulator; simulator('monri')", "the simulator"),
    ("pytest", "trustme", "import wonder_customers.simulator.tls", "the simulator over https"),
    ("pytest", "respx", "from wonder_customers.testing import make_draft", "wonder_customers.testing"),
    ("ray", "ray", "from wonder_customers.bulk.ray import sync_on_ray", "running a job on Ray"),
    (
        "shared-limit",
        "redis",
        "from wonder_customers.bulk.shared_limit import SharedLimit; SharedLimit('redis://localhost', 1)",
        "a shared limit",
    ),
    ("duckdb", "duckdb", "list(sources.read('c.parquet'))", "reading Parquet files and queries"),
    (
        "encodings",
        "charset_normalizer",
        "open('b.csv', 'wb').write(b'reference\\xe6'); sources.read('b.csv', encoding='detect')",
        "detecting an encoding",
    ),
    ("zstd", "zstandard compression.zstd", "list(sources.read('c.csv.zst'))", "c.csv.zst"),
]


@pytest.fixture(scope="module")
def errors(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the error of each part without its packages, from processes that are copies of one."""
    folder = tmp_path_factory.mktemp("extras")
    (folder / "c.parquet").write_bytes(b"PAR1")
    (folder / "c.csv.zst").write_bytes(b"\x28\xb5\x2f\xfd")
    uses = json.dumps([(packages, use) for _, packages, use, _ in PARTS])
    command = [sys.executable, "-c", WITHOUT_PACKAGES, uses]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder).stdout.splitlines()


@pytest.mark.parametrize("number", range(len(PARTS)), ids=[f"{it[0]}: {it[2][:40]}" for it in PARTS])
def test_missing_package_error_states_the_install_command(errors: list[str], number: int) -> None:
    extra, packages, _, part = PARTS[number]
    missing = packages.partition(" ")[0]
    assert (
        errors[number] == f"MissingExtraError {part} requires {missing}. Run: pip install 'wonder-customers[{extra}]'"
    )
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert any(requirement.startswith(missing.replace("_", "-")) for requirement in extras[extra])


def test_missing_module_outside_the_extra_raises_module_not_found() -> None:
    missing = pytest.raises(ModuleNotFoundError, match="No module named 'unrelated_module'")
    with missing as caught, needed("fast", "uvloop", by="this"):
        import_module("unrelated_module")
    assert not isinstance(caught.value, MissingExtraError)
