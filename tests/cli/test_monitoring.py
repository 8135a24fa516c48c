"""The heartbeat file and the webhook of bulk commands, with a real HTTP server."""

import json
import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar

import pytest
from bulk.customers import write_csv
from cli.conftest import Terminal

from wonder_customers.bulk import Journal
from wonder_customers.cli import monitoring
from wonder_customers.cli.exit_codes import FAILED, STOPPED, SUCCESS
from wonder_customers.cli.monitoring import webhook
from wonder_customers.errors import ConfigurationError


class Receiver(BaseHTTPRequestHandler):
    """Keeps the bodies that it receives."""

    received: ClassVar[list[tuple[str, dict[str, str], bytes]]] = []
    status: ClassVar[int] = 204
    silent: ClassVar[bool] = False
    release: ClassVar[threading.Event] = threading.Event()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.received.append((self.path, dict(self.headers), body))
        if self.silent:
            self.release.wait(30)
            return
        self.send_response(self.status)
        self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def hook() -> Iterator[str]:
    """The URL of a server that receives webhooks."""
    Receiver.received.clear()
    Receiver.status, Receiver.silent = 204, False
    Receiver.release.clear()
    with HTTPServer(("127.0.0.1", 0), Receiver) as listener:
        thread = threading.Thread(target=listener.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{listener.server_port}/hooks/secret-token?channel=7"
        Receiver.release.set()
        listener.shutdown()
        thread.join()


def test_webhook_and_heartbeat_contain_the_result_and_no_customer_data(terminal: Terminal, hook: str) -> None:
    source = write_csv(terminal.folder / "c.csv", 5)
    source.write_text(source.read_text() + "c-secret,Private Person,no-at,\n")
    words = ("sync", "c.csv", "--to", "monri", "--heartbeat", "beat.json", "--notify-url", "HOOK")
    assert "secret-token" not in terminal.ends(FAILED, *words, HOOK=hook)
    ((path, headers, sent),) = Receiver.received
    assert (path, headers["Content-Type"]) == ("/hooks/secret-token?channel=7", "application/json")
    body: dict[str, Any] = json.loads(sent)
    names = ("event", "source", "gateway", "environment", "exit_status", "exit_code")
    assert [body[it] for it in names] == ["job_ended", "c.csv", "monri", "simulator", "finished", FAILED]
    assert (body["rows"]["read"], body["rows"]["created"], body["rows"]["invalid"]) == (6, 5, 1)
    beat = terminal.folder / "beat.json"
    expected = {"at": None, "pid": None, "state": "ended", **body}
    assert {**terminal.json("beat.json"), "at": None, "pid": None} == expected
    assert not [it for it in ("Private", "c-secret", "Ada", "@example", "no-at") if it in f"{sent!r}{beat.read_text()}"]
    assert beat.stat().st_mode & 0o777 == 0o600


def test_webhook_counts_the_customers_missing_from_the_source(terminal: Terminal, hook: str) -> None:
    write_csv(terminal.folder / "c.csv", 3)
    words = ("sync", "c.csv", "--to", "monri", "--notify-url", hook)
    terminal.ends(SUCCESS, *words)
    write_csv(terminal.folder / "c.csv", 2)
    terminal.ends(STOPPED, *words, "--removed", "delete")
    terminal.ends(SUCCESS, *words, "--removed", "delete", "--max-removed", "1")
    found = [json.loads(sent).get("missing_from_source") for *_, sent in Receiver.received]
    assert found[1:] == [{"customers": 1, "removed": 0}, {"customers": 1, "removed": 1}]


@pytest.mark.parametrize("case", ["500", "a redirect", "no server", "no response"])
def test_failed_webhook_does_not_change_the_exit_code(
    terminal: Terminal, hook: str, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_csv(terminal.folder / "c.csv", 2)
    Receiver.status = {"500": 500, "a redirect": 307}.get(case, 204)
    Receiver.silent = case == "no response"
    if Receiver.silent:
        monkeypatch.setattr(monitoring, "_TIMEOUT", 0.5)
    url = "http://127.0.0.1:9/token" if case == "no server" else hook
    began = time.monotonic()
    text = terminal.ends(SUCCESS, "sync", "c.csv", "--to", "monri", "--notify-url", url)
    assert "The result could not be sent to --notify-url: " in text
    assert "The exit code is not affected." in text
    assert "token" not in text
    assert len(Receiver.received) == (case != "no server")
    assert time.monotonic() - began < 20


def test_job_that_cannot_start_is_reported(terminal: Terminal, hook: str) -> None:
    journal = Journal.existing(terminal.folder / terminal.sync("monri"))
    journal.hold()
    try:
        words = ("sync", "c.csv", "--to", "monri", "--notify-url", hook, "--heartbeat", "beat")
        terminal.ends(STOPPED, *words)
    finally:
        journal.release()
    assert not (terminal.folder / "beat").exists()  # the other run may use the file
    assert json.loads(Receiver.received[0][2]) == {
        "event": "job_ended", "source": "c.csv", "exit_code": STOPPED, "gateway": "monri", "exit_status": "not started",
    }  # fmt: skip


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example/x",
        "https://user:pw@hooks.example/x",
        "ftp://127.0.0.1/",
        "https://",
        "https://a b/",
        "UNSET_VARIABLE",
    ],
)
def test_unsafe_url_is_refused_and_not_printed(url: str) -> None:
    with pytest.raises(ConfigurationError, match="must be an https URL without a user name or password") as caught:
        webhook(url)
    assert url not in str(caught.value)


def test_temporary_files_do_not_follow_links(terminal: Terminal) -> None:
    folder, journal = terminal.folder, "c.csv.monri.journal"
    (folder / "c.csv").write_text("reference,name,email\nc-1,Ada Nr 1,x\nc-2,Ada Nr 2,a@example.org\n")
    (folder / "victim").write_text("kept")
    for name in ("beat.json", "c.csv.monri.failed.jsonl", "ids.csv"):
        (folder / f".{name}.{os.getpid()}").symlink_to("victim")
    words = ("sync", "c.csv", "--to", "monri", "--heartbeat", "beat.json")
    terminal.ends(FAILED, *words)
    terminal.change(",x\n", ",b@example.org\n")
    terminal.ends(SUCCESS, *words)  # the row that arrived is removed from the failed rows
    terminal.ends(SUCCESS, "ids", journal, "-o", "ids.csv")
    terminal.ends(SUCCESS, "forget", journal, "c-1")
    assert (folder / "victim").read_text() == "kept"
    assert terminal.json("beat.json")["state"] == "ended"
    assert "\nc-1," not in (folder / "ids.csv").read_text()
    assert [it for it in folder.iterdir() if it.is_symlink()] == []
