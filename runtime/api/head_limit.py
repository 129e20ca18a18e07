"""How long the head of a request may be, address and headers together: uvicorn and httptools take any."""

from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Beyond it, what the next read brings is still taken: a quarter of a megabyte at most.
MOST_BYTES = 65_536
_STATUS = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
_ANSWER = b"HTTP/1.1 %d %b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % (_STATUS, _STATUS.phrase.encode())


class BoundedHttp(HttpToolsProtocol):
    """uvicorn's connection, which ends when a head becomes too long."""

    _in_head = False
    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Read on."""
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MOST_BYTES and not self.transport.is_closing():
                self.transport.write(_ANSWER)
                self.transport.close()

    def on_message_begin(self) -> None:
        """Count from here."""
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0

    def on_headers_complete(self) -> None:
        """Stop counting: what comes is the body, which the application counts."""
        self._in_head = False
        super().on_headers_complete()
