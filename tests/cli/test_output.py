"""Escaping, secrets and closed pipes in the output of commands."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from cli.conftest import COMMAND

from wonder_customers import CardSource, Secret
from wonder_customers._support.printable import printable
from wonder_customers.cli.output import json_line, print_line, print_message


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("Željka 歐陽 ศิริพร", "Željka 歐陽 ศิริพร"),
        ("नुक्‍ता", "नुक्‍ता"),
        ("a\x1b[31mb\x07\r\n", "a\\x1b[31mb\\x07\\r\\n"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("\x9b2J\ud800", "\\x9b2J\\ud800"),
        (7, "7"),
    ],
)
def test_control_characters_are_escaped(value: object, shown: str) -> None:
    assert printable(value) == shown


def test_environment_without_a_width_hides_no_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "0")
    print_line("result")
    print_message("message")
    assert tuple(capsys.readouterr()) == ("result\n", "message\n")


def test_line_of_a_result_is_one_line_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    print_line("word " * 100)
    assert capsys.readouterr().out.count("\n") == 1


def test_json_output_hides_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    json_line(CardSource(number=Secret("4111111111111111"), cvv=Secret("123")))
    printed = capsys.readouterr().out
    assert json.loads(printed)["number"] == "***"
    assert "4111" not in printed
    assert "123" not in printed


def test_printed_commands_are_not_folded_on_terminals(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # treats the output as a terminal
    monkeypatch.setenv("COLUMNS", "80")
    command = f"wonder-customers resume '{'folder name/' * 10}c.csv.monri.journal'"
    print_message(f"To continue, run: {command}")
    print_message("A long message without a command. " * 4)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"To continue, run: {command}"
    assert len(lines) > 2


def test_ctrl_c_ends_a_command_without_output(variables: dict[str, str], bare: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(300)
        environment = bare | variables | {"MONRI_BASE_URL": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        with subprocess.Popen(
            [*COMMAND, "get", "monri", "1"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            connection, _ = silent.accept()
            with connection:
                connection.recv(1)
                time.sleep(0.1)
                process.send_signal(signal.SIGINT)
                printed = process.communicate(timeout=300)
    assert process.returncode == 130
    assert printed == (b"", b"")


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "--json"),
        *(
            pytest.param(words, marks=pytest.mark.long)
            for words in (("--help",), ("check",), ("--version",), ("sync", "--help"))
        ),
    ],
)
def test_closed_output_ends_without_a_message(
    variables: dict[str, str], bare: dict[str, str], arguments: tuple[str, ...]
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "wonder_customers", *arguments],
            env=bare | variables,
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")
