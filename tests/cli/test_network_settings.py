"""The proxy and the certificate authorities of the commands."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cli.conftest import Command, Terminal

from raw_sockets import Peer, RawServer

MONRI = {"MONRI_MERCHANT_KEY": "k", "MONRI_AUTHENTICITY_TOKEN": "t"}


@pytest.fixture
def refusing_proxy() -> Iterator[tuple[str, list[bytes]]]:
    """A proxy that refuses the user name and password: its host and port, and the requests that it receives."""
    seen: list[bytes] = []

    def script(peer: Peer) -> None:
        seen.append(peer.request())
        peer.say(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")

    with RawServer(script) as server:
        yield f"127.0.0.1:{server.port}", seen


@pytest.mark.parametrize("words", ["get monri c-1", "sync c.csv --to monri --give-up-after 1s"])
def test_commands_send_through_the_proxy_of_the_environment(
    words: str, command: Command, folder: Path, refusing_proxy: tuple[str, list[bytes]]
) -> None:
    (folder / "c.csv").write_text("reference,name\nc-1,Ada Lovelace\n")
    variables = {"WONDER_CUSTOMERS_PROXY": f"http://user:s3cr3t@{refusing_proxy[0]}", **MONRI}
    code, out, err = command(*words.split(), env=variables)
    failed = folder / "c.csv.monri.failed.jsonl"
    text = f"{out}{err}{failed.read_text() if failed.exists() else ''}"
    assert code != 0
    assert "the proxy requires a user name and password, or refused them (HTTP 407)" in text
    assert "s3cr3t" not in text
    assert refusing_proxy[1][0].startswith(b"CONNECT ipgtest.monri.com:443 ")
    assert b"proxy-authorization: basic" in refusing_proxy[1][0].lower()


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


def test_commands_trust_the_authorities_of_the_environment(terminal: Terminal) -> None:
    (terminal.folder / "ca.pem").write_text(terminal.server.certificate_authority.pem)
    (terminal.folder / "empty.pem").touch()
    tls = {"MONRI_BASE_URL": terminal.server.tls(), "WONDER_CUSTOMERS_PROXY": "http://127.0.0.1:1"}
    assert "not signed by a trusted authority" in terminal.ends(2, "check", "monri", **tls)
    # The simulator is on this machine, so the proxy is not used.
    terminal.ends(0, "check", "monri", WONDER_CUSTOMERS_CA_FILE="ca.pem", **tls)
    for name in ("missing.pem", "empty.pem"):
        text = terminal.ends(1, "get", "monri", "c-1", WONDER_CUSTOMERS_CA_FILE=name, **tls)
        assert "the file that WONDER_CUSTOMERS_CA_FILE names cannot be used: " in text


def test_webhook_is_sent_through_the_proxy_of_the_environment(
    terminal: Terminal, refusing_proxy: tuple[str, list[bytes]]
) -> None:
    (terminal.folder / "c.csv").write_text("reference,name\nc-1,Ada Lovelace\n")
    words = ("sync", "c.csv", "--to", "monri", "--notify-url", "https://hooks.example/s3cr3t")
    text = terminal.ends(0, *words, WONDER_CUSTOMERS_PROXY=f"http://{refusing_proxy[0]}")
    assert refusing_proxy[1][0].startswith(b"CONNECT hooks.example:443 ")
    assert "The result could not be sent to --notify-url: the proxy requires" in text
    assert "s3cr3t" not in text
