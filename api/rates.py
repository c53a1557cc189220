"""Quotas that a front-end process judges by itself: an application's rates, and the size of a message.

Each worker admits its share of a rate.  A bucket holds one second's worth, at least one request; what a request used
beyond that (bytes are known only once they came) is a debt that later ones wait for.
"""

from __future__ import annotations

from collections.abc import Mapping

from common.protocol.failures import Code, FailureError, refuse
from common.settings import ApplicationSettings


class Bucket:
    """A token bucket that may go into debt."""

    __slots__ = ("_full", "_level", "_per_s", "_seen_s")

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._full = max(1.0, per_s)
        self._level = self._full
        self._seen_s = 0.0

    def wait_s(self, now_s: float) -> float:
        """Return the seconds until something is admitted, 0 if it is now."""
        self._level = min(self._full, self._level + (now_s - self._seen_s) * self._per_s)
        self._seen_s = now_s
        return 0.0 if self._level >= 1 else (1 - self._level) / self._per_s

    def take(self, amount: float) -> None:
        """Use up so much."""
        self._level -= amount


class Rates:
    """The rates of all applications that have any, in one worker."""

    def __init__(self, applications: Mapping[str, ApplicationSettings], *, workers: int) -> None:
        self._applications = applications
        self._workers = workers
        self._requests = self._buckets({name: each.quotas.requests_per_second for name, each in applications.items()})
        self._bytes = self._buckets({name: each.quotas.bytes_per_second for name, each in applications.items()})

    def _buckets(self, rates: Mapping[str, int]) -> dict[str, Bucket]:
        return {name: Bucket(rate / self._workers) for name, rate in rates.items() if rate}

    def admit(self, application: str, now_s: float) -> None:
        """Count a request in.

        Raises:
            FailureError: ``QUOTA_EXCEEDED``, under the name of the quota, with the time to wait.
        """
        self.look(application, now_s)
        requests = self._requests.get(application)
        if requests is not None:
            requests.take(1)

    def look(self, application: str, now_s: float) -> None:
        """Return if a request would be admitted.

        Raises:
            FailureError: as ``admit`` does.
        """
        requests = self._requests.get(application)
        if requests is not None:
            _refuse_early("requests_per_second", requests.wait_s(now_s))
        size = self._bytes.get(application)
        if size is not None:
            _refuse_early("bytes_per_second", size.wait_s(now_s))

    def charge(self, application: str, size_bytes: int) -> None:
        """Count the bytes of a request's body."""
        bucket = self._bytes.get(application)
        if bucket is not None:
            bucket.take(size_bytes)

    def body_bytes_max(self, application: str, otherwise: int) -> int:
        """Return how many bytes a message of the application may have."""
        known = self._applications.get(application)
        own = known.quotas.message_bytes if known else 0
        return min(own, otherwise) if own else otherwise


def _refuse_early(name: str, wait_s: float) -> None:
    if wait_s > 0:
        raise _over(name, wait_s)


def _over(name: str, wait_s: float) -> FailureError:
    return refuse(Code.QUOTA_EXCEEDED, name, "the application is over this quota", max(1, int(wait_s * 1_000)))
