"""Fenced appends: all or nothing, above ``last``, not into a closed bucket, and once per key."""

from __future__ import annotations

import pytest

from common.identifiers import HIGHEST, LOWEST, first_id_at, make_id
from storage_node.store.errors import StoreFailedError
from storage_node.store.interface import (
    Applied,
    Behind,
    Closed,
    Fence,
    KeyPresent,
    Lane,
    LogKey,
    NoBucket,
    Store,
    StoredMessage,
)
from tests.support.store_calls import (
    HOUR_TICKS,
    LOW,
    STRONG,
    append,
    fresh_log,
    ids_from,
    list_all,
    message,
    now,
    open_log,
)


async def test_an_append_is_read_back_exactly_as_sent(store: Store) -> None:
    """Body, content type, attributes and expiry come back; any bytes are kept."""
    log, moment = fresh_log(), now()
    bucket = await open_log(store, log)
    one, two, three = ids_from(moment, 3)
    rows = [
        StoredMessage(one, bytes(range(256)), "image/png", {"a": "1", "ü": "\u2028 \x00"}, moment + HOUR_TICKS),
        StoredMessage(two, b"", None, {}, moment + 2 * HOUR_TICKS),
        StoredMessage(three, b"x" * 100_000, "text/plain", {}, moment + HOUR_TICKS),
    ]
    assert await append(store, log, bucket, rows) == Applied()
    found = await list_all(store, log, bucket)
    assert [row._replace(written_ticks=0) for row in found] == rows


async def test_last_becomes_the_highest_id(store: Store) -> None:
    """The fence follows the batch."""
    log = fresh_log()
    bucket = await open_log(store, log)
    ids = ids_from(now(), 5)
    await append(store, log, bucket, [message(each) for each in ids])
    assert await store.read_fence(log, bucket) == Fence(ids[-1], False, None)


@pytest.mark.parametrize("behind", [0, 1, 1000])
async def test_an_append_at_or_below_last_stores_nothing(store: Store, behind: int) -> None:
    """The answer names ``last``, and no message of the batch is there, not even those above it."""
    log, moment = fresh_log(), now()
    bucket = await open_log(store, log)
    last = make_id(moment, LOW)
    await append(store, log, bucket, [message(last)])
    late = [message(make_id(moment - behind, LOW)), message(make_id(moment + 1, LOW))]
    assert await append(store, log, bucket, late) == Behind(last)
    assert [row.message_id for row in await list_all(store, log, bucket)] == [last]


async def test_logs_are_apart(store: Store) -> None:
    """Another partition, lane or queue has a fence of its own."""
    log = fresh_log()
    others = [log._replace(partition=2), log._replace(lane=Lane.DELAYED), fresh_log()]
    ids = ids_from(now(), 5)
    await append(store, log, await open_log(store, log), [message(ids[4])])
    for other, message_id in zip(others, ids, strict=False):
        bucket = await open_log(store, other)
        assert await append(store, other, bucket, [message(message_id)]) == Applied()
        assert [row.message_id for row in await list_all(store, other, bucket)] == [message_id]


async def test_a_key_stores_once(store: Store) -> None:
    """The second append of a key stores nothing and is told the first one's id."""
    log = fresh_log()
    bucket = await open_log(store, log)
    one, two, three = ids_from(now(), 3)
    keys = [LogKey(b"key", one), LogKey(b"other", two)]
    assert await append(store, log, bucket, [message(one), message(two)], keys=keys) == Applied()
    again = await append(store, log, bucket, [message(three)], keys=[LogKey(b"key", three)])
    assert again == KeyPresent({b"key": one})
    assert [row.message_id for row in await list_all(store, log, bucket)] == [one, two]
    assert await store.read_fence(log, bucket) == Fence(two, False, None)


async def test_only_present_keys_are_named(store: Store) -> None:
    """Of a batch of keys the answer names those that are there, and the new ones are not made."""
    log = fresh_log()
    bucket = await open_log(store, log)
    one, two, three, four = ids_from(now(), 4)
    await append(store, log, bucket, [message(one)], keys=[LogKey(b"old", one)])
    mixed = [LogKey(b"new", two), LogKey(b"old", three)]
    assert await append(store, log, bucket, [message(two), message(three)], keys=mixed) == KeyPresent({b"old": one})
    assert await append(store, log, bucket, [message(four)], keys=[LogKey(b"new", four)]) == Applied()


async def test_a_large_batch_of_keys_is_judged_whole(store: Store) -> None:
    """More keys than fit one statement are all looked at."""
    log = fresh_log()
    bucket = await open_log(store, log)
    ids = ids_from(now(), 251)
    keys = [LogKey(f"key {n}".encode(), each) for n, each in enumerate(ids[:250])]
    assert await append(store, log, bucket, [message(each) for each in ids[:250]], keys=keys) == Applied()
    again = await append(store, log, bucket, [message(ids[250])], keys=[*keys, LogKey(b"new", ids[250])])
    assert again == KeyPresent({key.key: key.message_id for key in keys})
    assert len(await list_all(store, log, bucket)) == 250


async def test_a_retry_with_the_same_ids_and_keys_learns_that_it_was_stored(store: Store) -> None:
    """A batch whose answer was lost is sent again unchanged: the keys win over ``last``."""
    log = fresh_log()
    bucket = await open_log(store, log)
    (one,) = ids_from(now(), 1)
    assert await append(store, log, bucket, [message(one)], keys=[LogKey(b"key", one)]) == Applied()
    assert await append(store, log, bucket, [message(one)], keys=[LogKey(b"key", one)]) == KeyPresent({b"key": one})


async def test_keys_of_another_log_do_not_count(store: Store) -> None:
    """A key row belongs to its log."""
    one_log, other_log = fresh_log(), fresh_log()
    (one,) = ids_from(now(), 1)
    for log in (one_log, other_log):
        bucket = await open_log(store, log)
        assert await append(store, log, bucket, [message(one)], keys=[LogKey(b"key", one)]) == Applied()


async def test_a_keyed_append_without_a_fence_leaves_last_alone(store: Store) -> None:
    """``fenced=False``: below ``last`` is no obstacle, ``last`` does not move, the key still stores once."""
    log = fresh_log()
    bucket = await open_log(store, log)
    one, two, three = ids_from(now(), 3)
    await append(store, log, bucket, [message(two)])
    for message_id, expected in ((one, Applied()), (three, KeyPresent({b"key": one}))):
        answer = await store.append_fenced(
            log,
            bucket,
            [message(message_id)],
            keys=[LogKey(b"key", message_id)],
            fenced=False,
            consistency=STRONG,
        )
        assert answer == expected
    assert await store.read_fence(log, bucket) == Fence(two, False, None)
    assert [row.message_id for row in await list_all(store, log, bucket)] == [one, two]


async def test_the_delayed_lane_appends_in_any_order_above_its_horizon(store: Store) -> None:
    """``advance=False`` looks at ``last`` and does not move it; only ``raise_last`` does, and never back."""
    log, moment = fresh_log(Lane.DELAYED), now()
    bucket = await open_log(store, log)
    for ticks in (moment + 30, moment + 20):
        answer = await store.append_fenced(
            log, bucket, [message(make_id(ticks, LOW))], consistency=STRONG, advance=False
        )
        assert answer == Applied()
    horizon = first_id_at(moment + 25)
    assert await store.raise_last(log, bucket, last=horizon) == Fence(horizon, False, None)
    assert await store.raise_last(log, bucket, last=first_id_at(moment + 5)) == Fence(horizon, False, None)
    late = message(make_id(moment + 10, LOW))
    assert await store.append_fenced(log, bucket, [late], consistency=STRONG, advance=False) == Behind(horizon)
    assert len(await list_all(store, log, bucket)) == 2


async def test_a_closed_bucket_takes_nothing_more(store: Store) -> None:
    """Appends are sent to the next bucket, ``last`` stands still, and a second closing changes nothing."""
    log = fresh_log()
    bucket = await open_log(store, log)
    one, two, three = ids_from(now(), 3)
    await append(store, log, bucket, [message(one)], keys=[LogKey(b"key", one)])
    closed = await store.close_bucket(log, bucket, last=one, next_bucket=bucket + 10)
    assert closed == Fence(one, True, bucket + 10)
    assert await store.close_bucket(log, bucket, last=one, next_bucket=bucket + 20) == closed
    assert await append(store, log, bucket, [message(two)]) == Closed(bucket + 10)
    assert await append(store, log, bucket, [message(LOWEST)]) == Closed(bucket + 10)
    assert await store.raise_last(log, bucket, last=three) == closed
    assert await append(store, log, bucket, [message(two)], keys=[LogKey(b"key", two)]) == KeyPresent({b"key": one})
    assert await store.read_fence(log, bucket) == closed
    assert [row.message_id for row in await list_all(store, log, bucket)] == [one]


async def test_a_bucket_is_closed_only_on_the_expected_last(store: Store) -> None:
    """An append in between wins: the bucket stays open and the answer shows the new ``last``."""
    log = fresh_log()
    bucket = await open_log(store, log)
    one, two = ids_from(now(), 2)
    await append(store, log, bucket, [message(one)])
    await append(store, log, bucket, [message(two)])
    fence = await store.close_bucket(log, bucket, last=one, next_bucket=bucket + 10)
    assert fence == Fence(two, False, None)


async def test_opening_a_bucket_twice_changes_nothing(store: Store) -> None:
    """The first opening's ``last`` and announcement stand; appends begin above that ``last``."""
    log, moment = fresh_log(), now()
    bucket = moment if store.capabilities.buckets else 0
    one, two, three = ids_from(moment, 3)
    await store.open_bucket(log, bucket, last=two, now_ticks=moment)
    await store.open_bucket(log, bucket, last=one, now_ticks=moment + 5)
    assert await store.read_fence(log, bucket) == Fence(two, False, None)
    rows = await store.list_buckets(log)
    assert [row.bucket for row in rows] == [bucket]
    assert await append(store, log, bucket, [message(two)]) == Behind(two)
    assert await append(store, log, bucket, [message(three)]) == Applied()


async def test_a_log_that_nobody_wrote_is_empty(store: Store) -> None:
    """No buckets, no fence, no messages, and no error."""
    log = fresh_log()
    assert await store.list_buckets(log) == []
    assert await store.read_fence(log, 0) is None
    assert await list_all(store, log, 0) == []
    assert await store.count_messages(log, 0, low=LOWEST, limit=10, now_ticks=now()) == 0
    assert await store.read_messages(log, 0, [HIGHEST], now_ticks=now()) == []


async def test_a_bucket_that_was_not_opened(store: Store) -> None:
    """With buckets the append says so; without, bucket 0 comes into being with the append."""
    log = fresh_log()
    (one,) = ids_from(now(), 1)
    bucket = now() if store.capabilities.buckets else 0
    expected = NoBucket() if store.capabilities.buckets else Applied()
    assert await append(store, log, bucket, [message(one)]) == expected
    assert len(await list_all(store, log, bucket)) == (0 if store.capabilities.buckets else 1)


async def test_buckets_are_listed_in_order(store: Store) -> None:
    """The index is ascending; a store without buckets has at most bucket 0."""
    log, moment = fresh_log(), now()
    buckets = [moment + 2, moment, moment + 1] if store.capabilities.buckets else [0]
    for bucket in buckets:
        await store.open_bucket(log, bucket, last=LOWEST, now_ticks=moment)
    assert [row.bucket for row in await store.list_buckets(log)] == sorted(buckets)
    assert {row.announced_ticks for row in await store.list_buckets(log)} == {moment}


async def test_plain_appends_exist_where_they_are_declared(store: Store) -> None:
    """A store with plain logs takes rows in any order; one without refuses, and stores nothing."""
    log = fresh_log()
    bucket = await open_log(store, log)
    one, two = ids_from(now(), 2)
    if not store.capabilities.plain_logs:
        with pytest.raises(StoreFailedError):
            await store.append_plain(log, bucket, [message(one)], consistency=STRONG)
        assert await list_all(store, log, bucket) == []
        return
    await store.append_plain(log, bucket, [message(two)], consistency=STRONG)
    await store.append_plain(log, bucket, [message(one)], consistency=STRONG)
    assert [row.message_id for row in await list_all(store, log, bucket)] == [one, two]
