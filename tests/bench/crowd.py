"""``python -m tests.bench.crowd PORT AUTHORIZATION COUNT PATH``: clients that wait for messages which never come.

Opens so many connections, sends the request of each, says ``open``, and holds them until its standard input ends.
Who is refused for the moment comes again, as clients do.  A path with ``/claims`` is a long poll of a minute, any
other a stream of events.  Exits with 1 if one was answered with anything but a stream's head.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from typing import Final

AT_ONCE: Final = 100
"""Connections opened before the server is given a moment."""
PAUSE_S: Final = 0.05
SETTLED_S: Final = 2.0
"""Seconds after the last ones were opened in which any of them may still be refused."""
REFUSED: Final = b"HTTP/1.1 503 "
WAIT: Final = json.dumps({"limit": 10, "wait": 60})


def main() -> int:
    """Hold the crowd."""
    port, authorization, count, path = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
    request = request_of(path, authorization)
    crowd = selectors.DefaultSelector()
    missing = count
    while missing:
        for _ in range(min(missing, AT_ONCE)):
            connection = socket.create_connection(("127.0.0.1", port), timeout=30)
            connection.sendall(request)
            crowd.register(connection, selectors.EVENT_READ, connection)
        missing -= min(missing, AT_ONCE)
        time.sleep(PAUSE_S if missing else SETTLED_S)
        missing += _let_go_of_refused(crowd)
    sys.stdout.write("open\n")
    sys.stdout.flush()
    sys.stdin.read()
    answered = [key.data.recv(4096) for key, _ in crowd.select(0)]
    wrong = [head for head in answered if b"text/event-stream" not in head]
    if wrong:
        sys.stderr.write(f"{len(wrong)} of {count} were answered: {wrong[0]!r}\n")
    return 1 if wrong else 0


def _let_go_of_refused(crowd: selectors.DefaultSelector) -> int:
    """Return how many there were; what else was answered stays to be judged at the end."""
    refused = [key.data for key, _ in crowd.select(0) if key.data.recv(len(REFUSED), socket.MSG_PEEK) == REFUSED]
    for connection in refused:
        crowd.unregister(connection)
        connection.close()
    return len(refused)


def request_of(path: str, authorization: str) -> bytes:
    """Return what each client sends."""
    head = f"Host: bench\r\nAuthorization: {authorization}\r\n"
    if path.endswith("/claims"):
        head += f"Content-Type: application/json\r\nContent-Length: {len(WAIT)}\r\n"
        return f"POST {path} HTTP/1.1\r\n{head}\r\n{WAIT}".encode()
    return f"GET {path} HTTP/1.1\r\n{head}Accept: text/event-stream\r\n\r\n".encode()


if __name__ == "__main__":
    sys.exit(main())
