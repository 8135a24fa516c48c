"""Reports of a bulk job to other programs."""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import anyio.to_thread
import orjson
from attrs import field, frozen

from wonder_customers._support.loopback import is_encrypted_or_loopback
from wonder_customers.bulk.private_files import replace_private
from wonder_customers.cli.output import print_message
from wonder_customers.errors import ConfigurationError
from wonder_customers.transports import select_transport, transport_from_environment
from wonder_customers.wire import Origin, SignedRequest, Timeouts, Transmission, TransportError

__all__ = ["Monitor", "webhook"]

_INTERVAL: Final = 10.0
"""Seconds between two writes of the heartbeat file."""
_TIMEOUT: Final = 10.0
"""The maximum duration of the webhook request, in seconds."""
_REPORT_KEYS: Final = (
    "gateway", "environment", "started", "seconds", "exit_status", "rows", "adds_up", "failures", "outages", "versions",
)  # fmt: skip
"""The parts of the report that other programs receive. They contain no customer data."""


def webhook(given: str) -> str:
    """Return the URL of a webhook, given the URL or the name of an environment variable."""
    url = given if "://" in given else os.environ.get(given, "")
    with suppress(ValueError):
        parts = urlsplit(url)
        plain = url.isascii() and url.isprintable() and " " not in url and parts.port != 0 and "@" not in parts.netloc
        if plain and is_encrypted_or_loopback(url):
            return url
    raise ConfigurationError(
        "--notify-url must be an https URL without a user name or password, an http URL of this machine (127.0.0.1),"
        " or the name of an environment variable that contains such a URL."
    )


@frozen
class Monitor:
    """Reports the state of one job.

    Attributes:
        url: The URL of the webhook; None for no webhook. It may be a secret.
        heartbeat: The heartbeat file; None for no file.
    """

    url: str | None = field(default=None, repr=False)
    heartbeat: Path | None = None

    async def beat(self, progress: Callable[[], Mapping[str, Any]]) -> None:
        """Write the heartbeat file repeatedly."""
        while True:
            if self.heartbeat is None:
                return
            # In a thread, because the file is written to the disk.
            if not await anyio.to_thread.run_sync(self._write, {"state": "running", **progress()}):
                return
            await anyio.sleep(_INTERVAL)

    async def end(self, source: str, report: Mapping[str, Any], code: int) -> None:
        """Report the result of the job."""
        known = {name: report[name] for name in _REPORT_KEYS if name in report}
        if missing := report.get("missing_from_source"):
            known["missing_from_source"] = {name: missing[name] for name in ("customers", "removed")}
        body = {"event": "job_ended", "source": source, "exit_code": code, **known}
        # Another run that uses the journal may also use the heartbeat file.
        if self.heartbeat is not None and report["exit_status"] != "not started":
            self._write({"state": "ended", **body})
        if self.url is not None:
            problem = await _post(self.url, orjson.dumps(body))
            if problem is not None:
                print_message(
                    f"The result could not be sent to --notify-url: {problem}. The exit code is not affected.", "red"
                )

    def _write(self, content: Mapping[str, Any]) -> bool:
        """Replace the heartbeat file; return whether this succeeded."""
        assert self.heartbeat is not None  # noqa: S101 - checked by the callers
        at = datetime.now(UTC).isoformat(timespec="seconds")
        beat = orjson.dumps({"at": at, "pid": os.getpid(), **content}, option=orjson.OPT_APPEND_NEWLINE)
        try:
            replace_private(self.heartbeat, beat)
        except OSError as error:
            print_message(
                f"The heartbeat file {self.heartbeat} cannot be written: {error.strerror}. The job is not affected.",
                "red",
            )
            return False
        return True


async def _post(url: str, body: bytes) -> str | None:
    """Send the body to the webhook. Return the reason if this fails, else None."""
    parts = urlsplit(url)
    origin = Origin(parts.scheme, parts.hostname or "", parts.port or {"https": 443, "http": 80}[parts.scheme])
    headers = (
        (b"Host", str(origin).partition("://")[2].encode()),
        (b"User-Agent", b"wonder-customers"),
        (b"Content-Type", b"application/json"),
        (b"Content-Length", b"%d" % len(body)),
    )
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    request = SignedRequest(origin, "POST", target, headers, body, Timeouts(_TIMEOUT, _TIMEOUT, _TIMEOUT), _TIMEOUT)
    transmission, problem = Transmission(), f"no response within {_TIMEOUT:g} seconds"
    try:
        transport, _ = select_transport(transport_from_environment(url, 1), 1)
    except ConfigurationError as error:
        return str(error)
    try:
        with anyio.move_on_after(_TIMEOUT):
            response = await transport.send(request, transmission)
            return None if 200 <= response.status < 300 else f"HTTP {response.status}"
    except TransportError as error:
        # A status without the rest of the response is sufficient.
        if transmission.status is not None and 200 <= transmission.status < 300:
            return None
        problem = str(error) or problem
    finally:
        with anyio.move_on_after(1, shield=True):
            await transport.aclose()
    return problem
