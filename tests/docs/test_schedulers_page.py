"""The recipes of the page on schedulers (docs/schedulers.md), run against the simulator.

Airflow, Dagster and Prefect are not installed: modules with their names record what the recipes declare, and the task
of each recipe runs the command.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, get_args

import pytest
from bulk.customers import write_csv
from pages import ROOT, files

from wonder_customers.bulk.stop_reasons import ExitStatus
from wonder_customers.cli import exit_codes
from wonder_customers.simulator.server import SimulatorServer

PAGE = ROOT / "docs/schedulers.md"
FILES = files(PAGE)


@pytest.fixture
def schedule_environment(server: SimulatorServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment in which `wonder-customers` is a command and the simulator is the gateway."""
    command = tmp_path / "bin/wonder-customers"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m wonder_customers "$@"\n')
    command.chmod(0o700)
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", f"{command.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    for name, code in FILES.items():
        (tmp_path / name).write_text(code)
    monkeypatch.chdir(tmp_path)
    return dict(os.environ)


def replace_command(folder: Path, code: int) -> None:
    """Replace the command by a script that ends with an exit code."""
    (folder / "bin/wonder-customers").write_text(f"#!/bin/sh\nexit {code}\n")


def bash(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["bash", *words], capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.usefixtures("schedule_environment")
def test_cron_script_is_silent_after_success_and_passes_on_the_exit_code(tmp_path: Path) -> None:
    write_csv(tmp_path / "customers.csv", 3)
    done = bash("nightly.sh")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert json.loads((tmp_path / "customers.heartbeat.json").read_bytes())["state"] == "ended"
    for code, message in (
        (exit_codes.FAILED, "some rows failed, see customers.csv.monri.failed.jsonl\n"),
        (exit_codes.STOPPED, "sync ended with exit code 3, see customers.log\n"),
    ):
        replace_command(tmp_path, code)
        done = bash("nightly.sh")
        assert (done.returncode, done.stdout) == (code, message)


@pytest.mark.usefixtures("schedule_environment")
def test_github_workflow_warns_about_failed_rows(server: SimulatorServer, tmp_path: Path) -> None:
    yaml: Any = pytest.importorskip("yaml")
    write_csv(tmp_path / "customers.csv", 3)
    (step,) = (it for it in yaml.safe_load(FILES["sync.yml"])["jobs"]["sync"]["steps"] if it.get("name") == "sync")
    assert step["env"].keys() <= server.environment().keys()
    server.faults.add("server_error", times=1, method="POST", status=400)
    done = bash("-e", "-c", step["run"])
    assert done.returncode == 0, done.stderr
    assert "::warning::some rows failed" in done.stdout
    assert (tmp_path / "state/journal").exists()
    replace_command(tmp_path, exit_codes.USAGE)
    assert bash("-e", "-c", step["run"]).returncode == 1


class Recorder:
    """A decorator, with or without arguments, that returns the function."""

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}

    def __call__(self, function: Any = None, **options: Any) -> Any:
        self.options.update(options)
        return self if function is None else function


class AirflowFailException(Exception):
    pass


class Retry(Exception):
    def __init__(self, **options: Any) -> None:
        super().__init__(options)


class Failure(Exception):
    def __init__(self, reason: str, **_: Any) -> None:
        super().__init__(reason)


class Context:
    """The context of an operation in Dagster."""

    log = SimpleNamespace(info=lambda _: None, warning=lambda _: None)


def scheduler(monkeypatch: pytest.MonkeyPatch, **modules: dict[str, Any]) -> None:
    for name, content in modules.items():
        module = ModuleType(name.replace("__", "."))
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, module.__name__, module)


def airflow(monkeypatch: pytest.MonkeyPatch) -> Callable[[], object]:
    dag, task = Recorder(), Recorder()
    scheduler(
        monkeypatch,
        airflow={},
        airflow__exceptions={"AirflowFailException": AirflowFailException},
        airflow__sdk={"dag": dag, "task": task},
    )
    tasks: list[Callable[[], object]] = []
    vars(sys.modules["airflow.sdk"])["task"] = lambda **options: lambda function: lambda: tasks.append(function)
    exec(compile(FILES["airflow_dag.py"], "airflow_dag.py", "exec"), {"__name__": "airflow_dag"})
    assert dag.options["max_active_runs"] == 1
    return tasks[0]


def dagster(monkeypatch: pytest.MonkeyPatch) -> Callable[[], object]:
    operations: list[Callable[[type[Context]], object]] = []
    plain = {name: lambda **_: None for name in ("Definitions", "ScheduleDefinition")}

    def op(function: Callable[[type[Context]], object]) -> Callable[[], None]:
        operations.append(function)
        return lambda: None

    def job(function: Callable[[], object]) -> Callable[[], object]:
        function()
        return function

    names = {"op": op, "job": job}
    scheduler(monkeypatch, dagster={**plain, **names, "Failure": Failure, "RetryRequested": Retry})
    exec(compile(FILES["dagster_job.py"], "dagster_job.py", "exec"), {"__name__": "dagster_job"})
    return lambda: operations[0](Context)


def prefect(monkeypatch: pytest.MonkeyPatch) -> Callable[[], object]:
    flow, task = Recorder(), Recorder()
    scheduler(monkeypatch, prefect={"flow": flow, "task": task})
    names: dict[str, Any] = {"__name__": "prefect_flow"}
    exec(compile(FILES["prefect_flow.py"], "prefect_flow.py", "exec"), names)

    class State:
        def result(self, *, raise_on_failure: bool) -> Exception:
            assert not raise_on_failure
            error: Exception = sys.modules["customers_job"].RetryLater()
            return error

    assert task.options["retry_condition_fn"](None, None, State())
    found: Callable[[], object] = names["customers"]
    return found


@pytest.mark.usefixtures("schedule_environment")
@pytest.mark.parametrize("recipe", [airflow, dagster, prefect], ids=lambda it: it.__name__)
def test_recipe_maps_exit_codes(
    recipe: Callable[[pytest.MonkeyPatch], Callable[[], object]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "customers_job", raising=False)
    run = recipe(monkeypatch)

    def run_with(code: int) -> object:
        replace_command(tmp_path, code)
        return run()

    try:
        assert run_with(exit_codes.SUCCESS) in {True, None}
        assert run_with(exit_codes.FAILED) in {False, None}
        for code in (exit_codes.STOPPED, exit_codes.INTERRUPTED):
            with pytest.raises((sys.modules["customers_job"].RetryLater, Retry)):
                run_with(code)
        with pytest.raises((AirflowFailException, Failure, RuntimeError)):
            run_with(exit_codes.USAGE)
    finally:
        sys.modules.pop("customers_job", None)


@pytest.mark.usefixtures("schedule_environment")
def test_recipe_runs_the_job(server: SimulatorServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_csv(tmp_path / "customers.csv", 3)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "customers_job", raising=False)
    try:
        assert airflow(monkeypatch)() in {True, None}
    finally:
        sys.modules.pop("customers_job", None)
    assert server.store.ledger("monri") == {f"c-{number}": 1 for number in range(3)}


def test_pages_list_all_exit_codes_and_endings() -> None:
    text, bulk = (page.read_text(encoding="utf-8") for page in (PAGE, PAGE.with_name("bulk.md")))
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", bulk, re.MULTILINE)}
    expected = (exit_codes.SUCCESS, exit_codes.USAGE, exit_codes.FAILED, exit_codes.STOPPED, exit_codes.INTERRUPTED)
    assert codes == set(expected)
    for ending in get_args(ExitStatus):
        assert f"`{ending}`" in text
