"""Help, wrong usage and exit codes of the command line."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from cli.conftest import Command

WITHOUT_EXTRA = """
import sys
sys.modules.update(dict.fromkeys(["{module}"]))
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name == "{module}" else find(name)
from wonder_customers.cli import main
main()
"""


def test_help_lists_every_command(command: Command) -> None:
    code, out, _ = command("--help")
    assert code == 0
    assert out.index("demo") < out.index("check")
    assert {"demo", "sync", "get", "list", "delete", "check", "simulator", "--debug"} <= set(out.split())


def test_help_is_fast_and_does_not_import_the_web_server() -> None:
    uncounted = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    printed = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "wonder_customers", "--help"],
        env=uncounted,
        capture_output=True,
        check=True,
    ).stderr.decode()
    # Processor time: other processes of a busy machine do not count.
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime < 6
    loaded = {line.rpartition("|")[2].strip() for line in printed.splitlines()}
    assert "cyclopts" in loaded
    assert not loaded & {"uvicorn", "starlette", "httpx", "duckdb"}


def test_help_of_probe_says_that_customers_are_created(command: Command) -> None:
    assert "Test customers are created" in command("probe", "--help")[1]
    assert "Test customers are created" not in command("--help")[1]


@pytest.mark.parametrize("name", ["demo", "sync", "get", "list", "delete", "check", "simulator"])
def test_every_command_has_help(command: Command, name: str) -> None:
    code, out, _ = command(name, "--help")
    assert code == 0
    assert f"wonder-customers {name}" in out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("gte",), "gte"),
        (("get",), "`get` requires GATEWAY."),
        (("sync", "c.csv", "monri"), "`sync` requires --to."),
        (("sync", "c.csv", "--to"), "--to requires an argument."),
        (("sync", "c.csv", "--to", "monri", "--dry-run"), "`plan` shows what `sync` would do."),
        (("get", "wonder", "1", "2"), "`get` does not accept the argument '2'."),
        (("list", "wonder", "--limit", "many"), "many"),
        (("list", "wonder", "--limit", "0"), "limit"),
        (("simulator", "--port", "70000"), "port"),
        (("check", "--jsno"), "--jsno"),
    ],
)
def test_usage_error_names_the_help_command(command: Command, arguments: tuple[str, ...], expected: str) -> None:
    code, out, err = command(*arguments)
    assert (code, out) == (1, "")
    assert expected in err
    assert f"wonder-customers {'' if arguments == ('gte',) else arguments[0] + ' '}--help" in err


def test_unknown_gateway_is_reported_without_a_traceback(command: Command) -> None:
    message = "wonder-customers: unknown gateway 'paypal'; the installed gateways are monri, paydock, wonder\n"
    assert command("get", "paypal", "1") == (1, "", message)
    assert command("check", "paypal") == (1, "", message)


def test_debug_shows_the_traceback_of_an_error(command: Command) -> None:
    code, _, err = command("get", "wonder", "1", "--debug")
    assert code == 1
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("wonder-customers: wonder: set WONDER_APP_ID and WONDER_PRIVATE_KEY")


def test_tab_completion_is_installed(command: Command, tmp_path: Path) -> None:
    code, out, _ = command("--install-completion", "--shell", "bash", env={"HOME": str(tmp_path)})
    assert (code, str(tmp_path) in out) == (0, True)
    (script,) = (it for it in tmp_path.rglob("wonder-customers") if it.is_file())
    assert all(word in script.read_text() for word in ("retry-failed", "--give-up-after", "cursor"))


def test_version_is_printed(command: Command) -> None:
    code, out, _ = command("--version")
    assert code == 0
    assert out.strip()


@pytest.mark.parametrize(
    "module", ["cyclopts", *(pytest.param(it, marks=pytest.mark.long) for it in ("rich", "uvicorn"))]
)
def test_missing_package_is_reported_with_the_install_command(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRA.format(module=module)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == (
        f"wonder-customers: the command line requires {module}. Run: pip install 'wonder-customers[cli]'\n"
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("sync c.csv --too monri", "`sync` requires --to, and does not have the option --too."),
        ("sync c.csv --to monri --worker 3", "Unknown option: --worker. Did you mean --workers?"),
        ("get monri --ref c-1", "Unknown option: --ref. Did you mean --reference?"),
        ("plan c.csv --to monri --report r.json", "Unknown option: --report. "),
    ],
)
def test_wrong_option_gets_a_similar_name_as_suggestion(words: str, expected: str, command: Command) -> None:
    code, _, err = command(*words.split())
    assert (code, expected in err, "Did you" in err) == (1, True, "Did you" in expected), err
