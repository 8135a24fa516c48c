"""Options that bulk commands refuse before sending anything."""

import os
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from bulk.customers import write_csv
from cli.conftest import COMMAND, Terminal

from wonder_customers.cli.app import run
from wonder_customers.cli.exit_codes import USAGE
from wonder_customers.cli.sync import commands
from wonder_customers.simulator.server import SimulatorServer


@pytest.fixture
def usage_error(terminal: Terminal) -> Callable[..., str]:
    """Run a command that must fail with a usage error and send no request; returns its message."""
    write_csv(terminal.folder / "c.csv", 2)

    def call(*words: str) -> str:
        before = dict(terminal.server.store.requests)
        message = terminal.ends(USAGE, *words)
        assert terminal.server.store.requests == before
        return message.removeprefix("wonder-customers: ")

    return call


RATE = "the rate must be finite and at least 1 request per hour, not "
DURATION = (
    "--give-up-after must be a positive duration, such as 90s, 10m or 2h (at most 7 digits and 3 decimal places), not "
)
OUTPUTS = ("--failures", "--report", "--html", "--heartbeat")
JOB: dict[str, str] = {
    "--rate=-5/s": f"{RATE}-5 per second Nothing was sent.",
    "--rate 0": f"{RATE}0 per second Nothing was sent.",
    "--rate 1e-300": f"{RATE}1e-300 per second Nothing was sent.",
    "--rate 0.9/h": f"{RATE}0.00025 per second Nothing was sent.",
    "--rate inf": f"{RATE}inf per second Nothing was sent.",
    "--rate nan": f"{RATE}nan per second Nothing was sent.",
    "--map nosuchcolumn=name": "the source does not have the column 'nosuchcolumn', which is mapped to 'name'."
    " Correct the name of the column, or remove the column from the mapping. Nothing was sent.",
    "--give-up-after 0": f"{DURATION}'0' Nothing was sent.",
    "--give-up-after '10 minutes'": f"{DURATION}'10 minutes' Nothing was sent.",
    **{f"{it} .": f". is a folder. Give the path of a file with {it}. Nothing was sent." for it in OUTPUTS},
    "--processes 2": "--processes has no effect without --on. Remove --processes. Nothing was sent.",
    "--shared-name a": "--shared-name has no effect without --shared-limit. Remove --shared-name.",
    "--removed delete --first 1": "--removed delete cannot be used with --first, because",
}


@pytest.mark.parametrize("words", JOB)
def test_invalid_option_of_a_job_is_refused(usage_error: Callable[..., str], words: str) -> None:
    message = usage_error("sync", "c.csv", "--to", "monri", *shlex.split(words))
    assert message == JOB[words] if JOB[words].endswith("sent.") else message.startswith(JOB[words])


@pytest.mark.parametrize(
    "words",
    [
        "simulator --merchants 1.5",
        "simulator --port 80.5",
        "list monri --limit 2.5",
        "sync c.csv --to monri --first 1.5",
        "sync c.csv --to monri --workers 1.5",
        "sync c.csv --to monri --max-failures 1e2",
        "sync c.csv --to monri --on ray --processes 1.5",
        "sync c.csv --to monri --skip-lines 0.5",
        "plan c.csv --to monri --look-up 1.5",
        "verify c.csv.monri.journal --sample 1.5",
    ],
)
def test_decimal_number_is_refused_for_a_whole_number(usage_error: Callable[..., str], words: str) -> None:
    assert f"'{words.rsplit(maxsplit=1)[-1]}' is not a whole number in digits" in usage_error(*words.split())


@pytest.mark.parametrize(
    "option", ["--first", "--workers", "--max-failures", "--processes", "--skip-lines", "--look-up"]
)
def test_number_outside_of_its_range_is_refused_with_the_name_of_the_option(
    usage_error: Callable[..., str], option: str
) -> None:
    words, least = ("plan" if option == "--look-up" else "sync", "c.csv", "--to", "monri", option), 1
    if option in {"--skip-lines", "--look-up"}:
        least = 0
    assert f'Invalid value "{least - 1}" for {option}. Must be >= {least}.' in usage_error(*words, str(least - 1))
    assert f'Invalid value "-1" for {option}. Must be >= {least}.' in usage_error(*words, "-1")
    if option == "--workers":
        assert 'Invalid value "100000" for --workers' in usage_error(*words, "100000")


WITHOUT_EFFECT = {
    "c.csv --sheet a": "--sheet has no effect on csv files. Remove --sheet.",
    "c.jsonl --delimiter ;": "--delimiter has no effect on jsonl files. Remove --delimiter.",
    "c.xlsx --encoding cp1250": "--encoding has no effect on excel files.",
    "both --sheet a": "--sheet has no effect on csv or jsonl files.",
    "c.csv --query 'SELECT 1' --format csv": "--format has no effect with --query.",
    "c.xlsx --query 'SELECT 1' --delimiter ;": (
        "--delimiter has no effect with --query over files that are not CSV. Remove --delimiter."
    ),
    "c.xlsx --query 'SELECT 1' --sheet a": "--sheet has no effect with --query. Remove --sheet.",
    """- --query "SELECT * FROM 'c.jsonl'" --encoding cp1250""": (
        "--encoding has no effect with --query over files that are not CSV. Remove --encoding."
    ),
    """- --query 'SELECT 1' --database X --quote "'" """: "--quote has no effect with --database.",
    "c.csv --query 'SELECT 1' --database X": "with --database, the source must be -, not 'c.csv'",
    "c.csv --max-removed 3": "--max-removed has no effect without --removed delete. Remove --max-removed.",
}


@pytest.mark.parametrize("words", WITHOUT_EFFECT)
@pytest.mark.parametrize("name", ["sync", "plan"])
def test_option_without_effect_is_refused(
    usage_error: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    monkeypatch.setenv("X", "sqlite:///x")
    for path in ("c.jsonl", "c.xlsx", "both/a.csv", "both/b.jsonl"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text("")
    assert usage_error(name, *shlex.split(words), "--to", "monri").startswith(WITHOUT_EFFECT[words])


def test_options_of_other_commands_are_unknown(usage_error: Callable[..., str]) -> None:
    words = ("plan", "c.csv", "--to", "monri", "--diff", "--look-up", "0")
    assert usage_error(*words).startswith("--diff has no effect with --look-up 0")
    for option in ("--max-failures", "--give-up-after"):
        assert f"Unknown option: {option}." in usage_error("plan", "c.csv", "--to", "monri", f"{option}=5")
    assert "Unknown option: --empty." in usage_error("columns", "c.csv", "--empty=keep")


def test_invalid_sample_or_rate_of_verify_is_refused(usage_error: Callable[..., str], terminal: Terminal) -> None:
    journal = terminal.sync("monri", 2)
    for size in ("0", "-1"):
        assert f'Invalid value "{size}" for --sample. Must be >= 1.' in usage_error("verify", journal, "--sample", size)
    assert usage_error("verify", journal, "--rate=-5/s") == f"{RATE}-5 per second"


@pytest.mark.skipif(not Path("/dev/stdin").exists(), reason="this system has no /dev/stdin")
def test_pipe_as_source_is_refused(bare: dict[str, str], server: SimulatorServer, tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "sync", "/dev/stdin", "--to", "monri", "--journal", "j"],
        input="reference,name\nc-1,Ada\n",
        cwd=tmp_path,
        env=bare | server.environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == USAGE
    assert done.stderr == (
        "wonder-customers: /dev/stdin is a pipe or a device, which can be read only once, but a job may read its"
        " source again. Save the rows to a file, and use this file as the source.\nNothing was sent.\n"
    )
    assert not list(tmp_path.iterdir())


def test_argument_that_is_not_utf8_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sync", "c.csv", "--to", "monri", "--report", os.fsdecode(b"k\xe9.json")]) == USAGE
    assert capsys.readouterr().err == (
        "wonder-customers: the argument 'k\\udce9.json' is not UTF-8. Nothing was sent. Rename the file or its folder,"
        " or use a UTF-8 locale.\n"
    )


@pytest.mark.parametrize("name", [name for name in commands if not name.startswith("-")])
def test_help_of_a_command_mentions_only_its_own_options(name: str) -> None:
    arguments = commands[name].assemble_argument_collection()
    names = {name for argument in arguments for name in argument.names}
    texts = [re.sub("`[^`]*`", "", argument.parameter.help or "") for argument in arguments]
    assert {option for text in texts for option in re.findall("--[a-z-]+", text)} <= names
