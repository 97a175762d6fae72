"""A connection to the object store that does not wait on a way that leads nowhere.

On a network that loses what is sent (a node or a route that has just changed), nothing ever answers: no refusal, no end. The connection is
given up early then, so that a new one can find the way; a store that only takes its time to answer is waited for much longer.
"""

import http.client
import socket
import urllib.parse

__all__ = ["connect"]

_CONNECT_SECONDS = 10.0
"""Longest time to reach the store. The system asks at 0, 1, 3 and 7 s; then a new connection begins to ask afresh."""
_UNCONFIRMED_MILLISECONDS = 15_000
"""How long what was sent may stay unconfirmed by the other side's system, or be refused by it because the store reads nothing."""


def connect(parts: urllib.parse.SplitResult, answer_seconds: float) -> http.client.HTTPConnection:
    """Connect to the host of an ``http:`` or ``https:`` address.

    Args:
        parts: the address.
        answer_seconds: how long the store may be silent once it is reached.

    Raises:
        OSError: it cannot be reached.
    """
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc.rpartition("@")[2], timeout=_CONNECT_SECONDS)
    connection.connect()
    reached: socket.socket = connection.sock
    reached.settimeout(answer_seconds)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        reached.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNCONFIRMED_MILLISECONDS)
    # Another connection of this object would be without all that.
    connection.auto_open = 0
    return connection
