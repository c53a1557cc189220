"""Steps over deletions: what is remembered of a bucket must not keep it from being read."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from common.identifiers import HIGHEST, LOWEST, MessageId, QueueId
from storage_node.store.cql.buckets import Buckets
from storage_node.store.cql.session import CqlSession
from storage_node.store.cql.steps import POSTS_PER_STEP, Row, Steps
from storage_node.store.errors import StoreFailedError
from storage_node.store.interface import Lane, LogAddress
from tests.support.clock import ManualClock

LOG = LogAddress(QueueId(bytes(16)), 1, Lane.LIVE, 0)


def _id(number: int) -> MessageId:
    return MessageId(number.to_bytes(8, "big") + bytes(8))


class Deletions:
    """A bucket of deletions with a post for each: a read over more than a step of them takes too long."""

    def __init__(self) -> None:
        self.posts: list[MessageId] = []
        self.asked_for_posts = 0

    def grow(self, steps: int) -> None:
        self.posts = [_id(number) for number in range(1, len(self.posts) + steps * POSTS_PER_STEP + 1)]

    async def read(self, name: str, *values: object, level: object = None) -> list[Row]:
        del level
        if name.startswith("list_posts"):
            self.asked_for_posts += 1
            return [(post,) for post in self.posts]
        low, high = cast("tuple[MessageId, MessageId]", values[4:6])
        if sum(low <= post <= high for post in self.posts) > POSTS_PER_STEP:
            raise StoreFailedError("too many deletions")
        return []


def _steps(session: object) -> Steps:
    clock = ManualClock()
    store = cast("CqlSession", session)
    return Steps(store, clock, Buckets(store, clock))


def test_what_was_deleted_since_a_bucket_was_found_slow_is_stepped_over_too() -> None:
    """The posts are read again where the steps that are known fail."""
    bucket = Deletions()

    async def scene() -> None:
        steps = _steps(bucket)
        for _ in range(3):
            bucket.grow(steps=4)
            assert await steps.read("list_up_hour", LOG, 0, low=LOWEST, high=HIGHEST, limit=10) == []

    asyncio.run(scene())


def test_a_read_that_fails_for_another_reason_fails_soon() -> None:
    """Where the posts are those that were known, reading again would change nothing."""

    class Down(Deletions):
        async def read(self, name: str, *values: object, level: object = None) -> list[Row]:
            if name.startswith("list_posts"):
                return await super().read(name, *values)
            raise StoreFailedError("down")

    bucket = Down()

    async def scene() -> None:
        bucket.grow(steps=2)
        steps = _steps(bucket)
        for _ in range(2):
            with pytest.raises(StoreFailedError):
                await steps.read("list_up_hour", LOG, 0, low=LOWEST, high=HIGHEST, limit=10)
        assert bucket.asked_for_posts == 2

    asyncio.run(scene())
