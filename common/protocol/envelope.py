"""What travels around an operation: one ZeroMQ frame per message, one msgpack array per frame.

::

    request   front end -> node
      0  version      int          1; another version is answered with a failure, never guessed at
      1  request id   int          0 .. 2^64 - 1, unique per connection
      2  operation    str          a key of ``operations.OPERATIONS``
      3  sent         int, ms      monotonic clock of the sender, any origin; compared within one connection only
      4  budget       int, ms      how long from ``sent`` an answer is of use
      5  log id       str          the HTTP request's id, for logs; may be empty
      6  traceparent  str          W3C trace context; may be empty
      7  body         array        the operation's fields in their order

    answer    node -> front end
      0  version      int          1
      1  request id   int          the request's; 0 is no answer to anything (a sign of life)
      2  ok           bool
      3  payload      array        the fields of ``Operation.Reply``, or of ``Failure``

A whole frame is at most ``limits.FRAME_BYTES_MAX`` bytes.  Elements after the known ones are ignored, at every
level; fields that are missing at an array's end take their defaults where they have one.

The deadline is no wall-clock time: clocks of two machines may differ and may step, and a request must be refused
only when it really waited.  ``sent`` shows how long it did (see ``storage_node.peers``).
"""

from __future__ import annotations

from typing import Final

import msgspec

from common.protocol.operations import Operation

PROTOCOL_VERSION: Final = 1
NO_REQUEST: Final = 0
"""The request id that no request has."""
REQUEST_ID_MAX: Final = (1 << 64) - 1


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """An operation on its way to a node."""

    request_id: int
    operation: Operation
    sent_ms: int
    budget_ms: int
    log_id: str = ""
    traceparent: str = ""


class RequestContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a handler in the node may know of a request besides the operation."""

    deadline_s: float
    """Monotonic seconds of the node's clock: after it nobody waits for the answer any more."""
    log_id: str = ""
    """The HTTP request's id, for logs."""
    traceparent: str = ""


class Answer(msgspec.Struct, frozen=True):
    """A node's answer whose payload has no type yet: which one, only the request tells."""

    request_id: int
    ok: bool
    payload: object
