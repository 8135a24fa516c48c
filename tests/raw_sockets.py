"""A server on raw sockets, for responses that web frameworks cannot send."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Self

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Peer:
    """The server side of one connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection

    def request(self) -> bytes:
        """Return the next request, head and body, or empty bytes when the client has closed the connection."""
        data = b""
        while b"\r\n\r\n" not in data:
            part = self.socket.recv(65536)
            if not part:
                return b""
            data += part
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            (int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")), 0
        )
        while len(body) < length:
            body += self.socket.recv(65536)
        return head + b"\r\n\r\n" + body

    def say(self, data: bytes) -> None:
        self.socket.sendall(data)

    def reset(self) -> None:
        """Close the connection with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


class RawServer:
    """Runs `script` once per connection, each in its own thread."""

    def __init__(self, script: Callable[[Peer], None], address: str = "127.0.0.1") -> None:
        self._script = script
        self._listening = socket.create_server((address, 0), backlog=256)
        self.port: int = self._listening.getsockname()[1]
        self.connections = 0
        self._peers: list[Peer] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self.connections += 1
                self._peers.append(Peer(connection))
                self._threads.append(threading.Thread(target=self._serve, args=(self._peers[-1],), daemon=True))
                self._threads[-1].start()

    def _serve(self, peer: Peer) -> None:
        with suppress(OSError), peer.socket:
            self._script(peer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for peer in self._peers:
            with suppress(OSError):
                peer.socket.shutdown(socket.SHUT_RDWR)
            peer.socket.close()
        for thread in self._threads:
            thread.join(2)


@contextmanager
def dead_port() -> Iterator[int]:
    """Reserve a port that refuses connections."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]
