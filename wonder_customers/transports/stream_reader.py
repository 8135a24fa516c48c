"""The data that httpx reads from a connection."""

import ssl
from typing import Any, Final

from wonder_customers.transports.network import BackgroundTask, is_readable

BUFFERED: Final = 60_000
"""Maximum number of bytes of a response after which its connection is reused. More data could be left in buffers."""


class StreamReader:
    """Replaces the `read` method of a network stream, and records the received data."""

    # httpx would read data after the end of a response as the response to the next request. It does not read while it
    # sends, and would lose the response of a gateway that refuses the request early.

    def __init__(self, stream: Any) -> None:
        self.data: bytes = b""
        self._stream, self._read = stream, stream.read
        self._ahead: bytes | Exception = b""
        self._reading: BackgroundTask | None = None
        stream.read = self.read

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpx's interface
        """Return the next data of the stream."""
        await self.stop()
        data, self._ahead = self._ahead or await self._read(max_bytes, timeout), b""
        if isinstance(data, Exception):
            raise data
        self.data += data if len(self.data) <= BUFFERED else b""
        return data

    def start(self) -> None:
        """Start to read in the background."""
        self._reading = BackgroundTask(self._read_ahead)

    async def _read_ahead(self) -> None:
        try:
            self._ahead = await self._read(BUFFERED, None)
        except Exception as error:  # noqa: BLE001 - raised by the next `read`
            self._ahead = error

    async def stop(self) -> None:
        """Stop reading in the background."""
        if self._reading is not None:
            await self._reading.stop()
            self._reading = None

    def has_more(self) -> bool:
        """Return whether the connection has ended or may have more data."""
        if is_readable(self._stream.get_extra_info("socket")):
            return True
        tls = self._stream.get_extra_info("ssl_object")
        if tls is None:
            return False
        try:
            tls.read(1)  # the only way to find out whether another TLS record was received
        except ssl.SSLError as error:
            return not isinstance(error, ssl.SSLWantReadError)
        return True
