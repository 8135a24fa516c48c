"""The proxy and the certificate authorities of the commands."""

from pathlib import Path
from typing import Any

import pytest
from cli.conftest import Command

from raw_sockets import Peer, RawServer
from wonder_customers.simulator.server import SimulatorServer

MONRI = {"MONRI_MERCHANT_KEY": "k", "MONRI_AUTHENTICITY_TOKEN": "t"}


@pytest.mark.parametrize(
    "words", [("get", "monri", "c-1"), ("sync", "c.csv", "--to", "monri", "--give-up-after", "1s")]
)
def test_commands_send_through_the_proxy_of_the_environment(
    words: tuple[str, ...], command: Command, folder: Path
) -> None:
    (folder / "c.csv").write_text("reference,name\nc-1,Ada Lovelace\n")
    seen: list[bytes] = []

    def script(peer: Peer) -> None:
        seen.append(peer.request())
        peer.say(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")

    with RawServer(script) as proxy:
        variables = {"WONDER_CUSTOMERS_PROXY": f"http://user:s3cr3t@127.0.0.1:{proxy.port}", **MONRI}
        code, out, err = command(*words, env=variables)
    failed = folder / "c.csv.monri.failed.jsonl"
    text = f"{out}{err}{failed.read_text() if failed.exists() else ''}"
    assert code != 0
    assert "the proxy requires a user name and password, or refused them (HTTP 407)" in text
    assert "s3cr3t" not in text
    assert seen[0].startswith(b"CONNECT ipgtest.monri.com:443 ")
    assert b"proxy-authorization: basic" in seen[0].lower()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://127.0.0.1:1", "Check WONDER_CUSTOMERS_PROXY, if it is set, or the port in MONRI_BASE_URL"),
        ("proxy.example", "WONDER_CUSTOMERS_PROXY must be the URL of a proxy"),
    ],
)
def test_messages_name_the_variable_of_the_proxy(url: str, message: str, command: Command) -> None:
    _, out, err = command("get", "monri", "c-1", env={"WONDER_CUSTOMERS_PROXY": url, **MONRI})
    assert message in f"{out}{err}".replace("\n", " ")


def test_commands_trust_the_authorities_of_the_environment(
    at_simulator: Command, server: SimulatorServer, folder: Path
) -> None:
    (folder / "ca.pem").write_text(server.certificate_authority.pem)
    tls: dict[str, Any] = {"MONRI_BASE_URL": server.tls(), "WONDER_CUSTOMERS_PROXY": "http://127.0.0.1:1"}
    code, out, err = at_simulator("check", "monri", **tls)
    assert (code, "not signed by a trusted authority" in f"{out}{err}".replace("\n", " ")) == (2, True)
    # The simulator is on this machine, so the proxy is not used.
    assert at_simulator("check", "monri", WONDER_CUSTOMERS_CA_FILE="ca.pem", **tls)[0] == 0
    for name in ("missing.pem", "empty.pem"):
        (folder / "empty.pem").touch()
        code, _, err = at_simulator("get", "monri", "c-1", WONDER_CUSTOMERS_CA_FILE=name, **tls)
        assert (code, "the file that WONDER_CUSTOMERS_CA_FILE names cannot be used: " in err) == (1, True)


def test_webhook_is_sent_through_the_proxy_of_the_environment(at_simulator: Command, folder: Path) -> None:
    (folder / "c.csv").write_text("reference,name\nc-1,Ada Lovelace\n")
    seen: list[bytes] = []

    def script(peer: Peer) -> None:
        seen.append(peer.request())
        peer.say(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")

    words = ("sync", "c.csv", "--to", "monri", "--notify-url", "https://hooks.example/s3cr3t")
    with RawServer(script) as proxy:
        code, out, err = at_simulator(*words, WONDER_CUSTOMERS_PROXY=f"http://127.0.0.1:{proxy.port}")
    assert code == 0
    assert seen[0].startswith(b"CONNECT hooks.example:443 ")
    assert "The result could not be sent to --notify-url: the proxy requires" in f"{out}{err}".replace("\n", " ")
    assert "s3cr3t" not in f"{out}{err}"
