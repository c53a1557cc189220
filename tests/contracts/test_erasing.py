"""Erasing: what was given up or has expired goes in bounded steps, and nothing else does."""

from __future__ import annotations

import os

from storage_node.store.interface import Applied, DeliveryRow, GroupRow, KeyRow, Lane, LogKey, Store
from tests.support.store_calls import (
    HOUR_TICKS,
    append,
    fresh_log,
    fresh_name,
    ids_from,
    list_all,
    message,
    now,
    open_log,
    queue_row,
)

STEPS_MAX = 1_000


async def erase_all(store: Store, now_ticks: int) -> None:
    """Step until nothing is left."""
    for _ in range(STEPS_MAX):
        if not await store.erase_step(now_ticks=now_ticks):
            return
    raise AssertionError("erasing does not end")


async def test_a_removed_queue_leaves_nothing_and_its_neighbour_everything(store: Store) -> None:
    """Messages, fences, delivery rows, groups and keys go with the internal id."""
    application = fresh_name("app")
    doomed, kept = queue_row(application, "doomed"), queue_row(application, "kept")
    ids = ids_from(now(), 30)
    places = {}
    for row in (doomed, kept):
        await store.insert_queue(row)
        for partition in (1, 2):
            log = fresh_log(partition=partition)._replace(queue_id=row.queue_id)
            bucket = await open_log(store, log)
            places[row.name, partition] = (log, bucket)
            await append(store, log, bucket, [message(each) for each in ids], keys=[LogKey(b"key", ids[0])])
            await store.swap_delivery(
                row.queue_id, partition, "g", expected=None, row=DeliveryRow(os.urandom(16), b"")
            )
        await store.insert_group(row.queue_id, GroupRow("g", now(), "start", {}))
        await store.insert_key(row.queue_id, "k", KeyRow(1, Lane.LIVE, 0, b""), expires_ticks=now() + HOUR_TICKS)
    assert await store.remove_queue(doomed)
    await erase_all(store, now())
    for partition in (1, 2):
        assert await list_all(store, *places["doomed", partition]) == []
        assert await store.read_delivery(doomed.queue_id, partition, "g") is None
        assert [row.message_id for row in await list_all(store, *places["kept", partition])] == ids
        assert await store.read_delivery(kept.queue_id, partition, "g") is not None
    assert await store.list_groups(doomed.queue_id) == []
    assert len(await store.list_groups(kept.queue_id)) == 1


async def test_forgotten_data_go_while_the_queue_stays(store: Store) -> None:
    """A purge gives up the old internal id only."""
    row = queue_row(fresh_name("app"), "purged")
    await store.insert_queue(row)
    log = fresh_log()._replace(queue_id=row.queue_id)
    bucket = await open_log(store, log)
    await append(store, log, bucket, [message(each) for each in ids_from(now(), 3)])
    await store.forget_data(row)
    await erase_all(store, now())
    assert await list_all(store, log, bucket) == []
    assert await store.read_queue(row.application, row.name) == row


async def test_erasing_leaves_live_messages_and_fences_alone(store: Store) -> None:
    """Only what expired at the given time goes; ``last`` stays for the next append."""
    log, moment = fresh_log(), now()
    bucket = await open_log(store, log)
    one, two, three = ids_from(moment, 3)
    ends = moment + HOUR_TICKS
    await append(store, log, bucket, [message(one, expires_ticks=ends + 1), message(two, expires_ticks=ends + 2)])
    await erase_all(store, moment)
    assert [row.message_id for row in await list_all(store, log, bucket)] == [one, two]
    await erase_all(store, ends + 1)
    assert [row.message_id for row in await list_all(store, log, bucket, now_ticks=ends + 1)] == [two]
    fence = await store.read_fence(log, bucket)
    assert fence is not None
    assert fence.last == two
    assert await append(store, log, bucket, [message(three)]) == Applied()
