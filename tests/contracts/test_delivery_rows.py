"""Delivery rows, groups and idempotency keys: one winner each."""

from __future__ import annotations

import asyncio
import os

from storage_node.store.interface import DeliveryRow, GroupRow, KeyRow, Lane, Store
from tests.support.store_calls import HOUR_TICKS, fresh_id, fresh_name, ids_from, now, swap_surely


def row_of(state: bytes) -> DeliveryRow:
    """Return a row with a version of its own."""
    return DeliveryRow(os.urandom(16), state)


async def test_there_is_no_row_before_the_first_swap(store: Store) -> None:
    """Reading gives nothing, and a swap that expects a row is refused."""
    queue_id = fresh_id()
    assert await store.read_delivery(queue_id, 1, "group") is None
    assert not await store.swap_delivery(queue_id, 1, "group", expected=os.urandom(16), row=row_of(b"x"))
    assert await store.read_delivery(queue_id, 1, "group") is None


async def test_a_swap_needs_the_version_that_stands(store: Store) -> None:
    """Each applied swap makes the earlier version useless."""
    queue_id = fresh_id()
    one, two = row_of(b"one"), row_of(bytes(200_000))
    assert await store.swap_delivery(queue_id, 1, "group", expected=None, row=one)
    assert not await store.swap_delivery(queue_id, 1, "group", expected=None, row=two)
    assert await store.swap_delivery(queue_id, 1, "group", expected=one.version, row=two)
    assert not await store.swap_delivery(queue_id, 1, "group", expected=one.version, row=row_of(b"three"))
    assert await store.read_delivery(queue_id, 1, "group") == two


async def test_rows_of_other_groups_partitions_and_queues_are_apart(store: Store) -> None:
    """The three together name the row."""
    queue_id = fresh_id()
    places = [(queue_id, 1, "a"), (queue_id, 2, "a"), (queue_id, 1, "b"), (fresh_id(), 1, "a")]
    rows = [row_of(str(n).encode()) for n in range(4)]
    for place, row in zip(places, rows, strict=True):
        assert await store.swap_delivery(*place, expected=None, row=row)
    assert [await store.read_delivery(*place) for place in places] == rows


async def test_of_many_swappers_one_wins_per_version(store: Store) -> None:
    """All swap from the same version: exactly one is applied, and its row is the one that stands."""
    queue_id = fresh_id()
    expected: bytes | None = None
    for _ in range(5):
        rows = [row_of(str(n).encode()) for n in range(8)]
        answers = await asyncio.gather(
            *[swap_surely(store, queue_id, "g", expected=expected, row=row) for row in rows]
        )
        assert answers.count(True) == 1
        winner = rows[answers.index(True)]
        assert await store.read_delivery(queue_id, 1, "g") == winner
        expected = winner.version


async def test_counting_by_swaps_loses_nothing(store: Store) -> None:
    """Concurrent read-and-swap loops add up."""
    queue_id = fresh_id()

    async def add(times: int) -> None:
        while times:
            standing = await store.read_delivery(queue_id, 1, "g")
            count = 0 if standing is None else int(standing.state)
            expected = None if standing is None else standing.version
            times -= await swap_surely(store, queue_id, "g", expected=expected, row=row_of(b"%d" % (count + 1)))

    await asyncio.gather(*[add(5) for _ in range(4)])
    standing = await store.read_delivery(queue_id, 1, "g")
    assert standing is not None
    assert standing.state == b"20"


async def test_a_group_is_created_once(store: Store) -> None:
    """The second creation is shown the first row, with everything in it."""
    queue_id, (end,) = fresh_id(), ids_from(now(), 1)
    first = GroupRow("workers", now(), "end", {1: end, 200: end})
    assert await store.insert_group(queue_id, first) is None
    assert await store.insert_group(queue_id, GroupRow("workers", now() + 5, "start", {})) == first
    assert await store.list_groups(queue_id) == [first]


async def test_groups_are_listed_by_name_within_their_queue(store: Store) -> None:
    """Each queue has its own."""
    queue_id, other_id = fresh_id(), fresh_id()
    rows = [GroupRow(name, now(), "start", {}) for name in ("c", "a", "b")]
    for row in rows:
        await store.insert_group(queue_id, row)
    await store.insert_group(other_id, rows[0])
    assert [row.group for row in await store.list_groups(queue_id)] == ["a", "b", "c"]
    assert await store.list_groups(other_id) == [rows[0]]
    assert await store.list_groups(fresh_id()) == []


async def test_of_many_creations_of_a_group_one_wins(store: Store) -> None:
    """All others are shown the winner."""
    queue_id = fresh_id()
    rows = [GroupRow("raced", now() + n, "at", {}) for n in range(8)]
    answers = await asyncio.gather(*[store.insert_group(queue_id, row) for row in rows])
    winners = [row for row, answer in zip(rows, answers, strict=True) if answer is None]
    assert len(winners) == 1
    assert [answer for answer in answers if answer is not None] == winners * 7


async def test_an_idempotency_key_is_created_once(store: Store) -> None:
    """Later attempts are told where the message is."""
    queue_id, ends = fresh_id(), now() + HOUR_TICKS
    first = KeyRow(3, Lane.DELAYED, now(), os.urandom(32))
    assert await store.insert_key(queue_id, "a key", first, expires_ticks=ends) is None
    assert await store.insert_key(queue_id, "a key", KeyRow(1, Lane.LIVE, 0, b""), expires_ticks=ends) == first
    assert await store.insert_key(fresh_id(), "a key", KeyRow(1, Lane.LIVE, 0, b""), expires_ticks=ends) is None


async def test_of_many_creations_of_a_key_one_wins(store: Store) -> None:
    """All others are shown the winner."""
    queue_id, ends = fresh_id(), now() + HOUR_TICKS
    rows = [KeyRow(n, Lane.LIVE, 0, bytes([n])) for n in range(8)]
    calls = [store.insert_key(queue_id, "raced", row, expires_ticks=ends) for row in rows]
    answers = await asyncio.gather(*calls)
    winners = [row for row, answer in zip(rows, answers, strict=True) if answer is None]
    assert len(winners) == 1
    assert [answer for answer in answers if answer is not None] == winners * 7


async def test_a_key_is_moved_only_from_the_bucket_it_points_to(store: Store) -> None:
    """Of two that move it, one does."""
    queue_id, moment, key = fresh_id(), now(), fresh_name("key")
    ends = moment + HOUR_TICKS
    first = KeyRow(1, Lane.LIVE, moment, b"digest")
    moved = first._replace(bucket=moment + 1)
    assert not await store.move_key(queue_id, key, moved, expected_bucket=moment, expires_ticks=ends)
    await store.insert_key(queue_id, key, first, expires_ticks=ends)
    assert await store.move_key(queue_id, key, moved, expected_bucket=moment, expires_ticks=ends)
    assert not await store.move_key(queue_id, key, first, expected_bucket=moment, expires_ticks=ends)
    assert await store.insert_key(queue_id, key, first, expires_ticks=ends) == moved
