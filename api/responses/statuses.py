"""The one table that says which failure is which HTTP status; the documentation is generated from it."""

from __future__ import annotations

from typing import Final, NamedTuple

from common.protocol.failures import RETRY_OF, Code, Retry


class Meaning(NamedTuple):
    """A failure's status and when it is answered."""

    status: int
    when: str


MEANINGS: Final[dict[Code, Meaning]] = {
    Code.INVALID_REQUEST: Meaning(
        400, "a field is missing, malformed or out of its bounds; every wrong field is named"
    ),
    Code.INVALID_PARAMETER: Meaning(400, "the body is not the JSON that the call takes"),
    Code.INVALID_UPDATE: Meaning(400, "the change would lose something, such as fewer partitions"),
    Code.INVALID_MESSAGE_ID: Meaning(400, "a list of message ids is malformed or too long"),
    Code.BAD_RECEIPT: Meaning(400, "a receipt that this service did not make for this queue"),
    Code.INVALID_APPLICATION_KEY: Meaning(401, "an application key that is not known"),
    Code.INVALID_CREDENTIALS: Meaning(401, "another credential that does not hold"),
    Code.ACCESS_DENIED: Meaning(403, "the caller may not do this, or did not say who it is"),
    Code.QUEUE_NOT_FOUND: Meaning(404, "the queue does not exist"),
    Code.GROUP_NOT_FOUND: Meaning(404, "the consumer group does not exist"),
    Code.NOT_FOUND: Meaning(404, "the application or the path does not exist"),
    Code.METHOD_NOT_ALLOWED: Meaning(405, "the resource has no such method; Allow names those it has"),
    Code.NOT_LEASED: Meaning(409, "under at_most_once nothing is leased, so nothing can be settled"),
    Code.BODY_TOO_LARGE: Meaning(413, "a body, a batch or the request is larger than its limit"),
    Code.IDEMPOTENCY_CONFLICT: Meaning(422, "the same Idempotency-Key was used with another body"),
    Code.TOO_MANY_IN_FLIGHT: Meaning(429, "nothing can be claimed before earlier claims are settled"),
    Code.QUOTA_EXCEEDED: Meaning(429, "the caller is over its rate or quota"),
    Code.INTERNAL: Meaning(500, "a defect of the service; the text is an id to find it by in the logs"),
    Code.OVERLOADED: Meaning(503, "too much is under way; nothing was done"),
    Code.UNAVAILABLE: Meaning(503, "no storage node could take the request; nothing was done"),
    Code.STORE_UNAVAILABLE: Meaning(503, "the store does not answer; nothing was done"),
    Code.STORE_FULL: Meaning(503, "the store has no room; nothing was done"),
    Code.CLOCK_UNSURE: Meaning(503, "a storage node is not sure enough of its clock; nothing was done"),
    Code.OUTCOME_UNKNOWN: Meaning(503, "it may or may not have been done; the guarantee says what a retry means"),
    Code.MOVED: Meaning(503, "the queue is being handed over to another node; nothing was done"),
}
"""Every code has its line."""

RETRY_AFTER_S_DEFAULT: Final = 1
"""Seconds in ``Retry-After`` where a failure that passes names no time."""


def status_of(code: Code) -> int:
    """Return the HTTP status of a failure."""
    return MEANINGS[code].status


def table() -> str:
    """Return the documentation's table in Markdown."""
    lines = ["| Status | `code` | `retry` | When |", "|---|---|---|---|"]
    ordered = sorted(MEANINGS.items(), key=lambda entry: entry[1].status)
    lines += [
        f"| {meaning.status} | `{code}` | `{RETRY_OF.get(code, Retry.NO)}` | {meaning.when} |"
        for code, meaning in ordered
    ]
    return "\n".join(lines) + "\n"
