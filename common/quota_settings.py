"""``[applications.NAME.quotas]``: how much of the service one application may use; 0 means as much as there is."""

from __future__ import annotations

from typing import Annotated

import msgspec

from common.limits import BODY_BYTES_CEILING

Bound = Annotated[int, msgspec.Meta(ge=0, le=1 << 50)]


class QuotaSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The bounds of one application; each is refused under its name."""

    requests_per_second: Bound = 0
    """Requests per second over one machine's front ends; each worker admits its share, a second's worth at once."""
    bytes_per_second: Bound = 0
    """Bytes of request bodies per second, shared like the requests."""
    message_bytes: Annotated[int, msgspec.Meta(ge=0, le=BODY_BYTES_CEILING)] = 0
    """Bytes of one message body; larger ones are 413, waiting would not help."""
    queues: Bound = 0
    """Queues."""
    stored_bytes: Bound = 0
    """Bytes of stored message bodies.  SQLite: measured once a minute, counted up in between.  Cassandra: counted
    up by all nodes from when it is set, seconds late; what is deleted counts until it would have expired."""
    in_flight: Bound = 0
    """Requests under way at one storage node, long polls included."""
