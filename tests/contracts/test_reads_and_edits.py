"""Reading a log by range, by id and by count, and the edits that v1 allows."""

from __future__ import annotations

import pytest

from common.identifiers import HIGHEST, LOWEST, MessageId, id_after, make_id
from storage_node.store.interface import Fence, LogAddress, Store, StoredMessage
from tests.support.store_calls import HOUR_TICKS, LOW, append, fresh_log, ids_from, list_all, message, now, open_log


async def filled(store: Store, count: int) -> tuple[LogAddress, int, list[MessageId]]:
    """Return a log with messages of consecutive ids."""
    log = fresh_log()
    bucket = await open_log(store, log)
    ids = ids_from(now(), count)
    await append(store, log, bucket, [message(each, f"body {n}".encode()) for n, each in enumerate(ids)])
    return log, bucket, ids


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize(("first", "last"), [(0, 9), (3, 6), (5, 5), (6, 5)])
async def test_a_range_includes_both_ends(store: Store, first: int, last: int, *, descending: bool) -> None:
    """``low`` and ``high`` are part of the answer, in either direction."""
    log, bucket, ids = await filled(store, 10)
    found = await store.list_messages(
        log, bucket, low=ids[first], high=ids[last], limit=100, descending=descending, now_ticks=now()
    )
    expected = ids[first : last + 1]
    assert [row.message_id for row in found] == (expected[::-1] if descending else expected)


@pytest.mark.parametrize("descending", [False, True])
async def test_a_limit_cuts_from_the_side_where_reading_began(store: Store, *, descending: bool) -> None:
    """Ascending keeps the lowest, descending the highest."""
    log, bucket, ids = await filled(store, 10)
    found = await store.list_messages(
        log, bucket, low=LOWEST, high=HIGHEST, limit=3, descending=descending, now_ticks=now()
    )
    assert [row.message_id for row in found] == (ids[::-1] if descending else ids)[:3]


async def test_walking_by_id_meets_every_message_once(store: Store) -> None:
    """Pages that begin after the last id seen make up the whole log."""
    log, bucket, ids = await filled(store, 25)
    seen: list[MessageId] = []
    low = LOWEST
    while True:
        page = await store.list_messages(log, bucket, low=low, high=HIGHEST, limit=4, now_ticks=now())
        seen += [row.message_id for row in page]
        if len(page) < 4:
            break
        low = id_after(page[-1].message_id)
    assert seen == ids


async def test_ids_of_one_instant_are_ordered_by_their_low_bytes(store: Store) -> None:
    """The whole 16 bytes count, as unsigned bytes."""
    log, moment = fresh_log(), now()
    bucket = await open_log(store, log)
    ids = [make_id(moment, bytes([high]) + b"\x00" * 7) for high in (0x80, 0x9F, 0xBF)]
    await append(store, log, bucket, [message(each) for each in ids])
    assert [row.message_id for row in await list_all(store, log, bucket)] == ids
    assert [row.message_id for row in await list_all(store, log, bucket, low=ids[1])] == ids[1:]


async def test_bodies_can_be_left_out(store: Store) -> None:
    """Without bodies all else of the row is there."""
    log, bucket, ids = await filled(store, 3)
    whole = await list_all(store, log, bucket)
    bare = await store.list_messages(log, bucket, low=LOWEST, high=HIGHEST, limit=10, now_ticks=now(), bodies=False)
    assert bare == [row._replace(body=b"") for row in whole]
    assert [row.message_id for row in bare] == ids


async def test_messages_are_read_by_id(store: Store) -> None:
    """Those that are there come back once each, whatever order and however often they are asked for."""
    log, bucket, ids = await filled(store, 5)
    absent = make_id(now() + HOUR_TICKS, LOW)
    found = await store.read_messages(log, bucket, [ids[3], absent, ids[1], ids[3]], now_ticks=now())
    assert {row.message_id: row.body for row in found} == {ids[3]: b"body 3", ids[1]: b"body 1"}
    assert len(found) == 2
    assert await store.read_messages(log, bucket, [], now_ticks=now()) == []


async def test_more_ids_than_one_statement_takes_are_read(store: Store) -> None:
    """A whole claim's worth of ids is answered."""
    log, bucket, ids = await filled(store, 321)
    found = await store.read_messages(log, bucket, ids, now_ticks=now())
    assert sorted(row.message_id for row in found) == ids


@pytest.mark.parametrize(("first", "limit", "expected"), [(0, 100, 10), (4, 100, 6), (0, 7, 7), (9, 1, 1)])
async def test_a_count_begins_at_its_id_and_ends_at_its_limit(
    store: Store, first: int, limit: int, expected: int
) -> None:
    """``low`` is counted; no more than ``limit``."""
    log, bucket, ids = await filled(store, 10)
    assert await store.count_messages(log, bucket, low=ids[first], limit=limit, now_ticks=now()) == expected


async def test_an_expired_message_is_in_no_read(store: Store) -> None:
    """At ``expires_ticks`` and after, no read returns or counts it; a tick before, all do."""
    log, moment = fresh_log(), now()
    bucket = await open_log(store, log)
    one, two = ids_from(moment, 2)
    ends = moment + HOUR_TICKS
    await append(store, log, bucket, [message(one, expires_ticks=ends), message(two, expires_ticks=2 * ends)])
    for moment_read, expected in ((ends - 1, [one, two]), (ends, [two])):
        listed = await list_all(store, log, bucket, now_ticks=moment_read)
        assert [row.message_id for row in listed] == expected
        by_id = await store.read_messages(log, bucket, [one, two], now_ticks=moment_read)
        assert sorted(row.message_id for row in by_id) == expected
        counted = await store.count_messages(log, bucket, low=LOWEST, limit=10, now_ticks=moment_read)
        assert counted == len(expected)


async def test_a_limit_counts_live_messages_only(store: Store) -> None:
    """Expired rows take no place in a page."""
    log, moment = fresh_log(), now()
    bucket = await open_log(store, log)
    ids = ids_from(moment, 10)
    ends = moment + HOUR_TICKS
    rows = [message(each, expires_ticks=ends if n < 6 else 2 * ends) for n, each in enumerate(ids)]
    await append(store, log, bucket, rows)
    page = await store.list_messages(log, bucket, low=LOWEST, high=HIGHEST, limit=3, now_ticks=ends)
    assert [row.message_id for row in page] == ids[6:9]


async def test_last_outlives_the_messages(store: Store) -> None:
    """Expiry and deletion never let an id below ``last`` in."""
    log, bucket, ids = await filled(store, 2)
    moment = now()
    await store.delete_messages(log, bucket, ids, written_ticks=moment, now_ticks=moment)
    assert await list_all(store, log, bucket) == []
    assert await store.read_fence(log, bucket) == Fence(ids[-1], False, None)


async def test_a_put_writes_the_whole_row_over_what_stands(store: Store) -> None:
    """Content type, attributes and expiry are the new ones; order and ``last`` stand."""
    log, bucket, ids = await filled(store, 3)
    before = (await store.read_messages(log, bucket, [ids[1]], now_ticks=now()))[0]
    written_ticks = max(now(), before.written_ticks + 10)
    edited = StoredMessage(ids[1], b"new", "text/x", {"k": "v"}, now() + 2 * HOUR_TICKS, written_ticks)
    await store.put_message(log, bucket, edited, now_ticks=now())
    found = await list_all(store, log, bucket)
    assert [row.message_id for row in found] == ids
    assert found[1]._replace(written_ticks=0) == edited._replace(written_ticks=0)
    assert found[1].written_ticks >= before.written_ticks
    assert await store.read_fence(log, bucket) == Fence(ids[-1], False, None)


async def test_a_put_of_a_new_id_below_last_is_stored_in_its_place(store: Store) -> None:
    """An upsert is no publish: ``last`` is neither condition nor result."""
    log, moment = fresh_log(), now()
    bucket = await open_log(store, log)
    one, two, three = ids_from(moment, 3)
    await append(store, log, bucket, [message(two)])
    for each in (one, three):
        await store.put_message(log, bucket, message(each)._replace(written_ticks=moment), now_ticks=moment)
    assert [row.message_id for row in await list_all(store, log, bucket)] == [one, two, three]
    assert await store.read_fence(log, bucket) == Fence(two, False, None)


async def test_deleting_removes_these_rows_only(store: Store) -> None:
    """Absent ids are no error; the others stay."""
    log, bucket, ids = await filled(store, 4)
    moment = now()
    doomed = [ids[0], ids[2], make_id(moment + HOUR_TICKS, LOW)]
    await store.delete_messages(log, bucket, doomed, written_ticks=moment, now_ticks=moment)
    assert [row.message_id for row in await list_all(store, log, bucket)] == [ids[1], ids[3]]


async def test_a_deleted_id_can_be_put_again(store: Store) -> None:
    """A later write stands over the deletion, whole."""
    log, bucket, ids = await filled(store, 1)
    moment = now()
    await store.delete_messages(log, bucket, ids, written_ticks=moment, now_ticks=moment)
    again = message(ids[0], b"again")._replace(written_ticks=moment + 10)
    await store.put_message(log, bucket, again, now_ticks=moment)
    assert [row.body for row in await list_all(store, log, bucket)] == [b"again"]


async def test_what_was_acknowledged_is_seen_by_the_next_read(store: Store) -> None:
    """Reading one's own writes, every time."""
    log = fresh_log()
    bucket = await open_log(store, log)
    for message_id in ids_from(now(), 50):
        await append(store, log, bucket, [message(message_id)])
        found = await store.read_messages(log, bucket, [message_id], now_ticks=now())
        assert [row.message_id for row in found] == [message_id]
