"""What a store may raise: each says whether the outcome is known.

Nothing else leaves a store.  A conditional write that was *not applied* is no error: it is an answer.
"""

from __future__ import annotations


class StoreError(Exception):
    """The store could not do what was asked."""


class StoreFailedError(StoreError):
    """Certainly not done: refused, unreachable before sending, or not enough replicas to begin."""


class StoreOverloadedError(StoreFailedError):
    """Certainly not done: the store has too much to do."""


class StoreFullError(StoreFailedError):
    """Certainly not done: no space is left."""


class StoreUnknownError(StoreError):
    """It may have been done, or may still come to be done later."""
