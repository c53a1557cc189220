"""Reading over many deletions in bounded steps.

What was deleted by id leaves a marker that every read from before it must step over, a hundred thousand in one
bucket at the worst: on a busy server that is more than a read may take.  So one in some hundred deletions also puts
a *post* beside its message, a row of its own kind.  A read that fails is done again from post to post.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from zlib import crc32

from common.clock import Clock
from common.identifiers import MessageId, id_after
from storage_node.store.cql.buckets import Buckets, Place, place_of
from storage_node.store.cql.session import Call, CqlSession
from storage_node.store.cql.statements import LIFETIMES, Level
from storage_node.store.errors import StoreFailedError
from storage_node.store.interface import LogAddress

DELETIONS_PER_POST: Final = 512
"""About; which ids have one, every node computes from the id."""
POSTS_PER_STEP: Final = 8
POSTS_MAX: Final = 2_000
REMEMBERED_S: Final = 600.0
"""How long a bucket is read in steps at once, after a read of it failed."""
REMEMBERED_MAX: Final = 1_000

Row = tuple[Any, ...]


class Steps:
    """Reads ranges of a bucket, in one step or, where that failed, in several."""

    def __init__(self, session: CqlSession, clock: Clock, buckets: Buckets) -> None:
        self._session = session
        self._clock = clock
        self._buckets = buckets
        self._slow: dict[Place, tuple[float, list[MessageId]]] = {}

    def posts(self, log: LogAddress, bucket: int, deleted: Sequence[MessageId]) -> list[Call]:
        """Return what to write beside these deletions."""
        name, ttl_s = f"insert_post_{LIFETIMES[log.lifetime]}", self._buckets.fence_ttl_s(log, bucket)
        return [(name, (*place_of(log, bucket), each, ttl_s)) for each in deleted if has_post(each)]

    async def read(
        self,
        name: str,
        log: LogAddress,
        bucket: int,
        *,
        low: MessageId,
        high: MessageId,
        limit: int,
        descending: bool = False,
        level: Level = Level.QUORUM,
    ) -> list[Row]:
        """Return up to ``limit`` rows of a statement that takes a range and a limit, in its order.

        Raises:
            StoreFailedError: it can't be read, not even in steps.
        """
        place = place_of(log, bucket)

        async def from_post_to_post(posts: Sequence[MessageId]) -> list[Row]:
            rows: list[Row] = []
            for first, last in _steps(posts, low, high, descending=descending):
                rows += await self._session.read(name, *place, first, last, limit - len(rows), level=level)
                if len(rows) >= limit:
                    break
            return rows

        known = self._known_posts(place)
        try:
            return await from_post_to_post(known)
        except StoreFailedError:
            posts = await self._find_posts(log, place)
            if _within(posts, low, high) == _within(known, low, high):
                raise
        return await from_post_to_post(posts)

    def _known_posts(self, place: Place) -> list[MessageId]:
        failed_s, posts = self._slow.get(place, (float("-inf"), []))
        return posts if self._clock.monotonic_s() - failed_s < REMEMBERED_S else []

    async def _find_posts(self, log: LogAddress, place: Place) -> list[MessageId]:
        rows = await self._session.read(f"list_posts_{LIFETIMES[log.lifetime]}", *place, POSTS_MAX)
        posts = [row[0] for row in rows]
        self._slow.pop(place, None)
        if len(self._slow) >= REMEMBERED_MAX:
            del self._slow[next(iter(self._slow))]
        if posts:
            self._slow[place] = self._clock.monotonic_s(), posts
        return posts


def has_post(message_id: MessageId) -> bool:
    """Is a post put up where this message is deleted?"""
    return crc32(message_id) % DELETIONS_PER_POST == 0


def _within(posts: Sequence[MessageId], low: MessageId, high: MessageId) -> list[MessageId]:
    return [post for post in posts if low <= post < high]


def _steps(
    posts: Sequence[MessageId], low: MessageId, high: MessageId, *, descending: bool
) -> list[tuple[MessageId, MessageId]]:
    """Cut a range behind every few posts, in the order of the walk."""
    ends = [*_within(posts, low, high)[POSTS_PER_STEP - 1 :: POSTS_PER_STEP], high]
    steps = list(zip([low, *[id_after(end) for end in ends[:-1]]], ends, strict=True))
    return steps[::-1] if descending else steps
