"""What the driver may do by itself when an attempt fails: much less than its defaults.

Its default policy sends to the next host after a lost connection without looking at whether the statement may run
twice; a compare-and-set that ran twice reports its own first run as a conflict.
"""

from __future__ import annotations

from typing import Final

from cassandra.policies import RetryPolicy

RETRIES_MAX: Final = 2

Decision = tuple[int, None]
_RETHROW: Final[Decision] = (RetryPolicy.RETHROW, None)
_NEXT_HOST: Final[Decision] = (RetryPolicy.RETRY_NEXT_HOST, None)


class SendOnce(RetryPolicy):  # type: ignore[misc]
    """For conditional statements: whatever happens is the caller's to judge."""

    def on_read_timeout(self, *_: object, **__: object) -> Decision:
        """Tell the caller."""
        return _RETHROW

    def on_write_timeout(self, *_: object, **__: object) -> Decision:
        """Tell the caller."""
        return _RETHROW

    def on_unavailable(self, *_: object, **__: object) -> Decision:
        """Tell the caller."""
        return _RETHROW

    def on_request_error(self, *_: object, **__: object) -> Decision:
        """Tell the caller."""
        return _RETHROW


class RetryOnOtherHost(RetryPolicy):  # type: ignore[misc]
    """For idempotent statements: a host that is lost or refuses is left for another, a bounded number of times."""

    def on_read_timeout(self, *_: object, **__: object) -> Decision:
        """Tell the caller: the time is spent."""
        return _RETHROW

    def on_write_timeout(self, *_: object, **__: object) -> Decision:
        """Tell the caller: the time is spent."""
        return _RETHROW

    def on_unavailable(self, *_: object, retry_num: int = 0, **__: object) -> Decision:
        """Another coordinator may see more replicas, once."""
        return _NEXT_HOST if retry_num == 0 else _RETHROW

    def on_request_error(self, *_: object, retry_num: int = 0, **__: object) -> Decision:
        """Ask the next host."""
        return _NEXT_HOST if retry_num < RETRIES_MAX else _RETHROW
