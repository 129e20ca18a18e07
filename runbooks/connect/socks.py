"""The way through the SOCKS proxy that `holdfast connect` opens on this machine."""

import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from runtime.errors import first_line

if TYPE_CHECKING:
    from runtime.db.dial import Opener


def opener(url: str, stack: str) -> "Opener":
    """What opens connections by a proxy.

    Args:
        url: of the proxy, as socks5://127.0.0.1:5434.
        stack: whose tunnel it is; for who has not opened it.
    """
    # Most commands need neither.
    from python_socks import ProxyConnectionError, ProxyError  # noqa: PLC0415
    from python_socks.async_.asyncio import Proxy  # noqa: PLC0415

    async def open_socket(host: str, port: int) -> socket.socket:
        try:
            return await Proxy.from_url(url).connect(host, port)
        except ProxyConnectionError:
            message = f"no tunnel is open at {urlsplit(url).netloc}; open it: holdfast connect {stack}"
            raise ConnectionRefusedError(message) from None
        except (ProxyError, OSError) as error:
            why = first_line(error)
            message = f"{urlsplit(url).netloc} refuses: {why}; see whether it is a tunnel: holdfast connect {stack}"
            raise ConnectionAbortedError(message) from None

    return open_socket
