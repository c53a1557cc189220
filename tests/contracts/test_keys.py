"""Keys of plain logs: confirmed once and for all, or moved to another id, or given up; never two of these."""

from __future__ import annotations

import asyncio

import pytest

from common.identifiers import MessageId
from storage_node.store.errors import StoreFailedError
from storage_node.store.interface import (
    GIVEN_UP,
    AppendAnswer,
    Applied,
    KeyPresent,
    KeyState,
    LogAddress,
    LogKey,
    Store,
)
from tests.support.store_calls import HOUR_TICKS, STRONG, fresh_log, ids_from, list_all, message, now, open_log

KEY = b"kkey"


async def keyed(
    store: Store, log: LogAddress, bucket: int, message_id: MessageId, replaces: MessageId | None = None
) -> AppendAnswer:
    """Append one message under the key, as a plain log does."""
    key = LogKey(KEY, message_id, replaces)
    return await store.append_fenced(
        log, bucket, [message(message_id)], keys=[key], fenced=False, consistency=STRONG, advance=False
    )


async def confirm(store: Store, log: LogAddress, bucket: int, *message_ids: MessageId, key: bytes = KEY) -> bool:
    """Confirm the key once for each id."""
    keys = [LogKey(key, message_id) for message_id in message_ids]
    return await store.confirm_keys(log, bucket, keys, expires_ticks=now() + HOUR_TICKS)


async def give_up(store: Store, log: LogAddress, bucket: int, replaces: MessageId | None = None) -> bool:
    """Give the key up."""
    key = LogKey(KEY, GIVEN_UP, replaces)
    return await store.give_up_key(log, bucket, key, expires_ticks=now() + HOUR_TICKS)


async def state_of(store: Store, log: LogAddress, bucket: int) -> KeyState | None:
    """Read the key."""
    return (await store.read_keys(log, bucket, [KEY])).get(KEY)


async def stored(store: Store, log: LogAddress, bucket: int) -> list[MessageId]:
    """Return the ids of the log."""
    return [row.message_id for row in await list_all(store, log, bucket)]


REAL_NODES = (pytest.mark.cassandra, pytest.mark.timeout(400))
plain_logs = pytest.mark.parametrize(
    "store",
    [*(pytest.param(name, marks=REAL_NODES) for name in ("cassandra", "cassandra_of_three")), "memory_cluster"],
    indirect=True,
)
fenced_logs_only = pytest.mark.parametrize("store", ["memory", "sqlite"], indirect=True)


async def test_keys_are_read_as_they_stand(store: Store) -> None:
    """Those that are there, with their ids; no others; also more than fit one statement."""
    log = fresh_log()
    bucket = await open_log(store, log)
    ids = ids_from(now(), 150)
    keys = [LogKey(b"key %d" % number, each) for number, each in enumerate(ids)]
    assert await store.read_keys(log, bucket, [KEY]) == {}
    await store.append_fenced(log, bucket, [message(each) for each in ids], keys=keys, consistency=STRONG)
    found = await store.read_keys(log, bucket, [KEY, *(key.key for key in keys)])
    assert found == {key.key: KeyState(key.message_id, False) for key in keys}


@fenced_logs_only
async def test_a_store_of_fenced_logs_refuses_what_only_plain_logs_need(store: Store) -> None:
    """It confirms, moves and gives up nothing, and says so."""
    assert not store.capabilities.plain_logs
    log = fresh_log()
    bucket = await open_log(store, log)
    one, two = ids_from(now(), 2)
    for call in (
        keyed(store, log, bucket, two, one),
        confirm(store, log, bucket, one),
        give_up(store, log, bucket),
    ):
        with pytest.raises(StoreFailedError):
            await call
    assert await state_of(store, log, bucket) is None


@plain_logs
async def test_a_confirmed_key_keeps_its_id(store: Store) -> None:
    """Confirming twice is the same as once; afterwards the key neither moves nor is given up."""
    log = fresh_log()
    bucket = await open_log(store, log)
    one, two = ids_from(now(), 2)
    assert await keyed(store, log, bucket, one) == Applied()
    assert await confirm(store, log, bucket, one)
    assert await confirm(store, log, bucket, one)
    assert await keyed(store, log, bucket, two) == KeyPresent({KEY: one}, frozenset({KEY}))
    assert await keyed(store, log, bucket, two, one) == KeyPresent({KEY: one}, frozenset({KEY}))
    assert not await give_up(store, log, bucket, one)
    assert not await give_up(store, log, bucket)
    assert await state_of(store, log, bucket) == KeyState(one, True)
    assert await stored(store, log, bucket) == [one]


@plain_logs
async def test_an_unconfirmed_key_moves_with_its_message(store: Store) -> None:
    """The old message goes as the new one comes; the old id can't be confirmed any more, nor moved again."""
    log = fresh_log()
    bucket = await open_log(store, log)
    one, two, three = ids_from(now(), 3)
    await keyed(store, log, bucket, one)
    assert await keyed(store, log, bucket, two, one) == Applied()
    assert await stored(store, log, bucket) == [two]
    assert not await confirm(store, log, bucket, one)
    assert await keyed(store, log, bucket, three, one) == KeyPresent({KEY: two})
    assert await stored(store, log, bucket) == [two]
    assert await confirm(store, log, bucket, two)
    assert await state_of(store, log, bucket) == KeyState(two, True)


@plain_logs
async def test_a_key_that_is_not_there_is_not_moved(store: Store) -> None:
    """Nothing is stored, and no key stands in the way."""
    log = fresh_log()
    bucket = await open_log(store, log)
    one, two = ids_from(now(), 2)
    assert await keyed(store, log, bucket, two, one) == KeyPresent({})
    assert not await confirm(store, log, bucket, one)
    assert not await give_up(store, log, bucket, one)
    assert await stored(store, log, bucket) == []


@plain_logs
@pytest.mark.parametrize("is_there", [False, True])
async def test_a_key_that_is_given_up_takes_nothing_more(store: Store, is_there: bool) -> None:
    """Its message goes, later appends and confirmations are refused."""
    log = fresh_log()
    bucket = await open_log(store, log)
    one, two = ids_from(now(), 2)
    if is_there:
        await keyed(store, log, bucket, one)
    assert await give_up(store, log, bucket, one if is_there else None)
    assert await state_of(store, log, bucket) == KeyState(GIVEN_UP, False)
    assert await keyed(store, log, bucket, two) == KeyPresent({KEY: GIVEN_UP})
    assert not await confirm(store, log, bucket, one)
    assert await stored(store, log, bucket) == []


@plain_logs
async def test_keys_are_confirmed_together_or_not_at_all(store: Store) -> None:
    """One key that has moved meanwhile leaves the others of its batch as they were."""
    log = fresh_log()
    bucket = await open_log(store, log)
    ids = ids_from(now(), 3)
    keys = [LogKey(b"a", ids[0]), LogKey(b"b", ids[1])]
    rows = [message(each) for each in ids[:2]]
    await store.append_fenced(log, bucket, rows, keys=keys, fenced=False, consistency=STRONG, advance=False)
    moved = [LogKey(b"b", ids[2], ids[1])]
    await store.append_fenced(
        log, bucket, [message(ids[2])], keys=moved, fenced=False, consistency=STRONG, advance=False
    )
    assert not await store.confirm_keys(log, bucket, keys, expires_ticks=now() + HOUR_TICKS)
    assert (await store.read_keys(log, bucket, [b"a"]))[b"a"] == KeyState(ids[0], False)
    keys[1] = LogKey(b"b", ids[2])
    assert await store.confirm_keys(log, bucket, keys, expires_ticks=now() + HOUR_TICKS)


@plain_logs
async def test_a_batch_mixes_new_keys_with_moved_ones(store: Store) -> None:
    """Each by its own condition; where one fails nothing of the batch is stored."""
    log = fresh_log()
    bucket = await open_log(store, log)
    old, new, moved, other = ids_from(now(), 4)
    await keyed(store, log, bucket, old)
    for expected in (Applied(), KeyPresent({KEY: moved, b"new": new})):
        answer = await store.append_fenced(
            log,
            bucket,
            [message(new), message(moved)],
            keys=[LogKey(b"new", new), LogKey(KEY, moved, old)],
            fenced=False,
            consistency=STRONG,
            advance=False,
        )
        assert answer == expected
    assert await stored(store, log, bucket) == [new, moved]
    assert other not in await stored(store, log, bucket)


@plain_logs
async def test_confirm_and_move_exclude_each_other(store: Store) -> None:
    """Of the two at the same moment exactly one happens, and the message is there once."""
    log = fresh_log()
    bucket = await open_log(store, log)
    for _ in range(5):
        log = fresh_log()
        bucket = await open_log(store, log)
        one, two = ids_from(now(), 2)
        await keyed(store, log, bucket, one)
        confirmed, moved = await asyncio.gather(confirm(store, log, bucket, one), keyed(store, log, bucket, two, one))
        assert confirmed == (moved != Applied())
        assert await stored(store, log, bucket) == ([one] if confirmed else [two])
