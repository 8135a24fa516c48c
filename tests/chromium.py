"""Pages opened in headless Chromium."""

import base64
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NEEDS_CHROMIUM = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
QUIET = ("--disable-background-networking", "--disable-component-update", "--no-first-run", "--disable-sync")


class Browser:
    """A page in headless Chromium, controlled over the pipes of the DevTools protocol.

    Args:
        folder: Gets the browser's profile.
    """

    def __init__(self, folder: Path) -> None:
        assert CHROMIUM is not None
        (commands, self._to), (self._from, responses) = os.pipe(), os.pipe()
        options = ["--headless", "--no-sandbox", "--disable-gpu", *QUIET, f"--user-data-dir={folder / 'profile'}"]
        # The shell gives the pipes the numbers that the browser expects.
        script = f'exec "$@" 3<&{commands} 4>&{responses}'
        self._process = subprocess.Popen(
            ["bash", "-c", script, "bash", CHROMIUM, *options, "--remote-debugging-pipe", "about:blank"],
            pass_fds=(commands, responses), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(commands)
        os.close(responses)
        self._received, self._number = b"", 0
        self._page: str | None = None
        self.messages: list[str] = []
        """The errors and the messages of the console."""
        (page,) = [it for it in self.send("Target.getTargets")["targetInfos"] if it["type"] == "page"]
        attached = self.send("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self._page = attached["sessionId"]
        for domain in ("Runtime", "Page", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> Any:
        """Send a command of the DevTools protocol and return its result."""
        self._number += 1
        command: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._page is not None:
            command["sessionId"] = self._page
        os.write(self._to, json.dumps(command).encode() + b"\0")
        while True:
            message = self._next()
            if message.get("method") in {"Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"}:
                self.messages.append(json.dumps(message["params"]))
            if message.get("id") == self._number:
                assert "error" not in message, message
                return message["result"]

    def open(self, address: str, ready: str) -> None:
        """Open a page and wait until the JavaScript expression `ready` is true."""
        self.send("Page.navigate", url=address)
        self.wait(ready)

    def run(self, script: str) -> Any:
        """Return the value of a JavaScript expression."""
        result = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until a JavaScript expression is true."""
        deadline = time.monotonic() + 120
        while not self.run(f"Boolean({condition})"):
            assert time.monotonic() < deadline, f"{condition} stays false"
            time.sleep(0.02)

    def picture(self, width: int, height: int, scheme: str = "light") -> bytes:
        """Return a PNG picture of the page at a width and height in pixels, in a light or dark color scheme."""
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )
        return base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"])

    def close(self) -> None:
        """End the browser."""
        self._process.kill()
        self._process.wait()
        os.close(self._to)
        os.close(self._from)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._received:
            more = os.read(self._from, 1 << 20)
            assert more, "the browser has ended"
            self._received += more
        text, _, self._received = self._received.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        return message
