"""A rate limit shared by several processes, with a real Redis server."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from math import inf, nan
from pathlib import Path

import anyio
import orjson
import pytest
from bulk.customers import write_csv
from bulk.request_rates import busiest_second

from wonder_customers import ConfigurationError
from wonder_customers.bulk.shared_limit import PASSWORD, SharedLimit
from wonder_customers.wire import Transmission

pytest.importorskip("redis", reason="needs the extra shared-limit")
SERVER = shutil.which("redis-server") or shutil.which("valkey-server")
pytestmark = [
    pytest.mark.long,
    pytest.mark.alone,
    pytest.mark.skipif(SERVER is None, reason="needs redis-server or valkey-server: apt-get install redis-server"),
]

PROGRAM = """
import random, sys, time, anyio
from wonder_customers.bulk.shared_limit import SharedLimit
from wonder_customers.wire import Transmission

async def main(url, rate, seconds):
    limit, times, until = SharedLimit(url, float(rate), "test"), [], time.time() + float(seconds)

    async def send():
        while time.time() < until:
            transmission = Transmission()
            await limit.acquire(transmission)
            transmission.renew = lambda: limit.acquire(transmission)
            if random.random() < 0.1:
                await anyio.sleep(0.15 * random.random())  # a slow connection
            if random.random() < 0.01:
                time.sleep(0.1)  # a busy process
            await transmission.leave()
            times.append(time.time())

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(send)
    print(times)

anyio.run(main, *sys.argv[1:])
"""


class Redis:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            self.port = taken.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        quiet = ("--save", "", "--loglevel", "warning")
        command = [str(SERVER), "--port", str(self.port), "--dir", str(self.folder), *quiet]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        until = time.monotonic() + 120
        while time.monotonic() < until:
            with socket.socket() as asking:
                if asking.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.01)
        raise AssertionError("the server does not start")

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    server = Redis(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.mark.parametrize("rate", [2, 10, 25, 200])
def test_three_processes_keep_one_rate(rate: int, redis: Redis) -> None:
    """Invariant: no period of one second has more requests than the rate, with stalls in each process."""
    command = [sys.executable, "-c", PROGRAM, redis.url, str(rate), "6"]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}  # it is slow
    environment = inherited | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) for _ in range(3)]
    each = [orjson.loads(process.communicate(timeout=300)[0]) for process in processes]
    assert all(process.returncode == 0 for process in processes)
    times = [at for times in each for at in times]
    assert busiest_second(times) <= rate
    assert len(times) >= min(2 * rate, 30)  # few permits are used on a busy machine


@pytest.mark.anyio
async def test_unreachable_store_permits_nothing_and_causes_no_burst(redis: Redis) -> None:
    messages: list[str] = []
    limit, rate = SharedLimit(redis.url, 100.0, "test", messages.append), 100
    times: list[float] = []

    async def rows() -> None:
        while True:
            await limit.acquire(Transmission())
            times.append(time.time())

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(rows)
        await anyio.sleep(1.2)
        await anyio.to_thread.run_sync(redis.kill)
        killed = time.time()
        await anyio.sleep(1.2)
        await anyio.to_thread.run_sync(redis.start)
        back = time.time()
        await anyio.sleep(2.0)
        group.cancel_scope.cancel()
    assert [at for at in times if killed + 0.35 < at < back] == []
    assert len([at for at in times if at > back]) > 50
    assert busiest_second(times) <= rate
    assert len(messages) == 2
    assert messages[0].startswith(f"The shared limit at 127.0.0.1:{redis.port} cannot be reached")
    assert messages[0].endswith("No request is sent until the server responds.")
    assert messages[1] == f"The shared limit at 127.0.0.1:{redis.port} responds again."


@pytest.mark.anyio
async def test_unreachable_store_is_reported_before_sending(redis: Redis) -> None:
    await SharedLimit(redis.url, 10.0).check()
    redis.kill()
    with pytest.raises(ConfigurationError, match=r"cannot be reached"):
        await SharedLimit(redis.url, 10.0).check()


def test_invalid_addresses_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match=f"contains a password.*{PASSWORD}") as caught:
        SharedLimit("redis://:hunter2@127.0.0.1:1", 10.0)
    with pytest.raises(ConfigurationError, match="contains a password"):
        SharedLimit("redis://127.0.0.1:1?db=0&Password=hunter2", 10.0)
    assert "hunter2" not in str(caught.value)
    addresses = ["memory://", "redis://[bad/0", "redis://h:port/0", "redis://h:99999/0", "redis://h/0?socket_timeout=x"]
    for address in (*addresses, "redis://h/0?unknown=1"):
        with pytest.raises(ConfigurationError, match="redis://HOST:PORT"):
            SharedLimit(address, 10.0)
    for rate in (0.0, inf, nan):
        with pytest.raises(ConfigurationError, match="the rate must be finite and at least 1 request per hour"):
            SharedLimit("redis://127.0.0.1:1", rate)


def test_on_the_command_line(redis: Redis, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "c.csv", 20)
    command = [sys.executable, "-m", "wonder_customers", "sync", str(source), "--to", "monri", "--simulator"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

    def run(*more: str) -> tuple[int, str]:
        done = subprocess.run(
            [*command, *more], env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        return done.returncode, done.stdout + done.stderr

    code, text = run("--shared-limit", redis.url)
    assert code == 1
    assert "--shared-limit requires --rate" in text
    began = time.monotonic()
    code, text = run("--shared-limit", redis.url, "--rate", "20/s")
    assert code == 0, text
    assert time.monotonic() - began > 1.5
    redis.kill()
    code, text = run("--shared-limit", redis.url, "--rate", "20/s")
    assert code == 1
    assert "cannot be reached" in text
