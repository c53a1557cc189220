"""What can go wrong, as data: the registry of failures that cross the link.

A failure answers three questions: whose fault (the code), whether to try again (``retry``), and whether the
outcome is known.  HTTP statuses are the front end's business (``api/responses.py``).
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Retry(StrEnum):
    """What the caller may do next."""

    NO = "no"
    """The same request can't succeed."""
    SAME = "same"
    """Nothing was done; the same request may be sent at once."""
    LATER = "later"
    """Nothing was done; the same request may succeed later."""
    UNKNOWN_OUTCOME = "unknown_outcome"
    """It may or may not have been done; the guarantee says what a retry means."""


class Code(StrEnum):
    """Stable, machine-readable; the value is what ``code`` says on HTTP."""

    INVALID_REQUEST = "invalid_request"
    INVALID_PARAMETER = "invalid_parameter"
    INVALID_UPDATE = "invalid_update"
    INVALID_MESSAGE_ID = "invalid_message_id"
    INVALID_APPLICATION_KEY = "invalid_application_key"
    INVALID_CREDENTIALS = "invalid_credentials"
    ACCESS_DENIED = "access_denied"
    QUEUE_NOT_FOUND = "queue_not_found"
    GROUP_NOT_FOUND = "group_not_found"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    BODY_TOO_LARGE = "body_too_large"
    BAD_RECEIPT = "bad_receipt"
    NOT_LEASED = "not_leased"
    IDEMPOTENCY_CONFLICT = "idempotency_conflict"
    TOO_MANY_IN_FLIGHT = "too_many_in_flight"
    QUOTA_EXCEEDED = "quota_exceeded"
    OVERLOADED = "overloaded"
    UNAVAILABLE = "unavailable"
    STORE_UNAVAILABLE = "store_unavailable"
    STORE_FULL = "store_full"
    CLOCK_UNSURE = "clock_unsure"
    OUTCOME_UNKNOWN = "outcome_unknown"
    MOVED = "moved"
    """Between node and front end only: go to another node, nothing was done."""
    INTERNAL = "internal"


RETRY_OF: dict[Code, Retry] = {
    Code.TOO_MANY_IN_FLIGHT: Retry.LATER,
    Code.QUOTA_EXCEEDED: Retry.LATER,
    Code.OVERLOADED: Retry.LATER,
    Code.UNAVAILABLE: Retry.LATER,
    Code.STORE_UNAVAILABLE: Retry.LATER,
    Code.STORE_FULL: Retry.LATER,
    Code.CLOCK_UNSURE: Retry.LATER,
    Code.OUTCOME_UNKNOWN: Retry.UNKNOWN_OUTCOME,
    Code.INTERNAL: Retry.UNKNOWN_OUTCOME,
    Code.MOVED: Retry.SAME,
}
"""What is not here is ``Retry.NO``: the request itself is at fault."""


class Failure(msgspec.Struct, frozen=True, array_like=True):
    """One refusal.  ``field`` is the key and ``text`` the value in v1's ``error_msg``; the text is no API."""

    code: Code
    field: str
    text: str
    retry_after_ms: int = 0
    more: dict[str, str] = {}
    """Further ``error_msg`` entries, when several fields are wrong at once."""

    @property
    def retry(self) -> Retry:
        """What the caller may do next."""
        return RETRY_OF.get(self.code, Retry.NO)


class FailureError(Exception):
    """Carries a failure up to where it is answered."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.code}: {failure.field}: {failure.text}")
        self.failure = failure


def refuse(code: Code, field: str, text: str, retry_after_ms: int = 0) -> FailureError:
    """Make the exception that refuses a request; ``raise refuse(...)`` reads well at the point of refusal."""
    return FailureError(Failure(code, field, text, retry_after_ms))
