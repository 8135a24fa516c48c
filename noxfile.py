"""All checks of the project.

``nox`` runs the checks that every change must pass, in the environment of ``pip install -e '.[dev]'``. ``nox --list``
shows the others; some of them create an environment with uv.
"""

import os
import socket
from hashlib import sha256
from pathlib import Path

import nox

nox.needs_version = ">=2025.2"
nox.options.sessions = ["style", "types", "pages", "tests"]
nox.options.error_on_missing_interpreters = False

HERE = Path(__file__).parent
DIST = HERE / "dist"
ADVISORIES = "api.osv.dev"


@nox.session(venv_backend="none")
def style(session: nox.Session) -> None:
    """Check style, format, spelling and the layers of the architecture."""
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("codespell")
    session.run("lint-imports")


@nox.session(venv_backend="none")
def types(session: nox.Session) -> None:
    """Check types, and that the types of all public names are complete."""
    session.run("mypy")
    session.run("pyright", "--verifytypes", "wonder_customers", "--ignoreexternal", silent=True)


@nox.session(venv_backend="none")
def pages(session: nox.Session) -> None:
    """Build the documentation; warnings are errors."""
    quiet = {"NO_MKDOCS_2_WARNING": "1"}  # a notice of the theme
    session.run("mkdocs", "build", "--strict", "--site-dir", "build/site", env=quiet, silent=True)


@nox.session(venv_backend="none")
def tests(session: nox.Session) -> None:
    """Run the plain tests, which take about two minutes."""
    session.run("pytest", *session.posargs)


@nox.session(venv_backend="none")
def long(session: nox.Session) -> None:
    """Run the long tests: all faults, 50,000 cancelled calls, random walks, killed jobs, Ray."""
    # These tests mostly wait for a gateway that does not respond, so more of them run at a time.
    waiting = ("tests/fault_injection/test_fault_matrix.py", "tests/security/test_canary.py")
    command = ("pytest", "--long", "--dist=worksteal")
    session.run(*command, "-m", "long", "-n6", *waiting, *session.posargs)
    others = [f"--ignore={file}" for file in waiting]
    session.run(*command, "-m", "long and not alone", "-n3", *others, *session.posargs)
    session.run(*command, "-m", "long and alone", "-n0", *others, *session.posargs)


@nox.session(venv_backend="none")
def nightly(session: nox.Session) -> None:
    """Run the tests that take an hour: 100,000 steps of the models, 5,000 rows with kills, 6,000 changing rows."""
    session.run("pytest", "--nightly", "-m", "nightly", "--dist=worksteal", *session.posargs)


@nox.session(python="3.11", venv_backend="uv")
def security(session: nox.Session) -> None:
    """Check the simulator against its OpenAPI documents and run the fuzzer briefly; needs the extra `fuzz`."""
    session.install("-e", ".[dev,fuzz]")
    session.run(
        "pytest", "-q", "--long", "tests/security/test_openapi.py", "tests/security/test_fuzz.py", *session.posargs
    )


@nox.session(python="3.11", venv_backend="uv")
def fuzz(session: nox.Session) -> None:
    """Fuzz for hours: ``nox -s fuzz -- --runs 4700000 --corpus FOLDER``."""
    session.install("-e", ".[dev,fuzz]")
    session.run("python", "tests/security/fuzz.py", *(session.posargs or ("--runs", "4700000")))


@nox.session(python="3.13", venv_backend="uv")
def coverage(session: nox.Session) -> None:
    """Measure the branch coverage of the plain tests and of those on Ray and Redis."""
    # Python 3.11 misses lines in frames that an exception from a coroutine has passed; 3.13 does not.
    session.install("-e", ".[dev,ray,shared-limit]")
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", "-q", *session.posargs)
    beyond = ("tests/bulk/test_ray.py", "tests/bulk/test_shared_limit.py")
    session.run("coverage", "run", "-m", "pytest", "-q", "--long", *beyond, *session.posargs)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session(venv_backend="none")
def mutants(session: nox.Session) -> None:
    """Run mutation tests of the retry loop."""
    session.run("mutmut", "run", "--max-children", str(os.cpu_count() or 1))
    session.run("mutmut", "results")


@nox.session(python=["3.11", "3.12", "3.13"], venv_backend="uv")
def pythons(session: nox.Session) -> None:
    """Run the plain tests on one version of Python."""
    session.install("-e", ".[dev]")
    session.run("pytest", "-q", *session.posargs)


@nox.session(python="3.11", venv_backend="uv")
def lowest(session: nox.Session) -> None:
    """Run the plain tests with the lowest allowed versions of the dependencies."""
    session.install("--resolution", "lowest-direct", "-e", ".[dev]")
    session.run("pytest", "-q", *session.posargs)


@nox.session(python="3.11", venv_backend="uv")
def package(session: nox.Session) -> None:
    """Build twice, compare the files byte by byte, and write a bill of materials (CycloneDX)."""
    session.install("build", "cyclonedx-bom")
    built = set[str]()
    for way in ((), ("--sdist", "--wheel")):  # the wheel from the source archive, then from the source tree
        for old in DIST.glob("*"):
            old.unlink()
        session.run("python", "-m", "build", "--installer", "uv", "--outdir", str(DIST), *way, silent=True)
        built.add(" ".join(sha256(file.read_bytes()).hexdigest() for file in sorted(DIST.iterdir())))
    if len(built) > 1:
        session.error("two builds of the same sources differ")
    wheel = next(DIST.glob("*.whl"))
    inside, (_, version, *_) = Path(session.create_tmp()) / "installed", wheel.name.split("-")
    wanted = f"wonder-customers[cli,fast]=={version}"
    session.run("uv", "venv", "--quiet", "--clear", str(inside), external=True)
    install = ("uv", "pip", "install", "--quiet", "--refresh-package", "wonder-customers")
    session.run(*install, "--python", str(inside), "--find-links", str(DIST), wanted, external=True)
    bill = str(DIST / "sbom.cdx.json")
    session.run("cyclonedx-py", "environment", "--output-reproducible", "--output-file", bill, str(inside))
    session.log(f"{wheel.name} {sha256(wheel.read_bytes()).hexdigest()}")


@nox.session(python="3.11", venv_backend="uv")
def audit(session: nox.Session) -> None:
    """Look up known vulnerabilities of the dependencies and extras."""
    try:
        socket.create_connection((ADVISORIES, 443), timeout=5).close()
    except OSError as error:
        session.skip(f"{ADVISORIES} cannot be reached: {error}")
    session.install("pip-audit", ".[cli,duckdb,fast,otel,pytest,starlette,zstd]")
    session.run("pip-audit", "--strict", "--skip-editable", "--vulnerability-service", "osv", *session.posargs)
