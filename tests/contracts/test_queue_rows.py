"""Queue rows: created once, changed by version, listed to the end."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from storage_node.store.interface import Store
from tests.support.store_calls import fresh_id, fresh_name, queue_row


async def test_a_created_queue_is_read_back_whole(store: Store) -> None:
    """Every field of the row comes back, and the creation says that it created."""
    row = queue_row(fresh_name("app"), "a.queue:~1")
    assert await store.insert_queue(row) is None
    assert await store.read_queue(row.application, row.name) == row


async def test_a_queue_that_was_never_made_is_not_there(store: Store) -> None:
    """Reading an unknown name gives nothing."""
    assert await store.read_queue(fresh_name("app"), "nothing") is None


async def test_a_taken_name_answers_with_the_row_that_stands(store: Store) -> None:
    """A second creation changes nothing and returns the first row."""
    first = queue_row(fresh_name("app"), "taken")
    await store.insert_queue(first)
    assert await store.insert_queue(queue_row(first.application, "taken", ttl_s=5)) == first
    assert await store.read_queue(first.application, "taken") == first


async def test_applications_do_not_see_each_other(store: Store) -> None:
    """The same name in two applications is two queues."""
    one, other = queue_row(fresh_name("app"), "same"), queue_row(fresh_name("app"), "same")
    assert await store.insert_queue(one) is None
    assert await store.insert_queue(other) is None
    assert await store.read_queue(one.application, "same") == one
    assert (await store.list_queues(other.application, offset=None, limit=10))[0] == [other]


async def test_a_row_without_principles_keeps_none(store: Store) -> None:
    """An absent list of principals is not an empty one."""
    row = msgspec.structs.replace(queue_row(fresh_name("app"), "open"), principles=None)
    await store.insert_queue(row)
    assert await store.read_queue(row.application, row.name) == row


async def test_a_row_is_replaced_only_on_its_expected_version(store: Store) -> None:
    """The version is the condition; a stale one changes nothing."""
    row = queue_row(fresh_name("app"), "changing")
    await store.insert_queue(row)
    changed = msgspec.structs.replace(row, version=2, partitions=9, ttl_s=7)
    assert await store.replace_queue(changed, 1)
    assert not await store.replace_queue(msgspec.structs.replace(row, version=2, partitions=1), 1)
    assert await store.read_queue(row.application, row.name) == changed


async def test_a_purge_replaces_the_internal_id(store: Store) -> None:
    """A row may get another internal id by the same conditional change."""
    row = queue_row(fresh_name("app"), "purged")
    await store.insert_queue(row)
    purged = msgspec.structs.replace(row, version=2, queue_id=fresh_id())
    assert await store.replace_queue(purged, 1)
    assert await store.read_queue(row.application, row.name) == purged


async def test_a_queue_that_is_gone_cannot_be_replaced(store: Store) -> None:
    """A change never brings a removed row back."""
    row = queue_row(fresh_name("app"), "gone")
    await store.insert_queue(row)
    assert await store.remove_queue(row)
    assert not await store.replace_queue(msgspec.structs.replace(row, version=2), 1)
    assert await store.read_queue(row.application, row.name) is None


async def test_a_queue_is_removed_only_at_its_version_and_once(store: Store) -> None:
    """Removal is conditional, and the second one finds nothing."""
    row = queue_row(fresh_name("app"), "removed")
    await store.insert_queue(row)
    assert not await store.remove_queue(msgspec.structs.replace(row, version=7))
    assert await store.remove_queue(row)
    assert not await store.remove_queue(row)
    assert (await store.list_queues(row.application, offset=None, limit=10)) == ([], None)


async def test_a_removed_name_can_be_made_again(store: Store) -> None:
    """The name is free at once, with another internal id."""
    row = queue_row(fresh_name("app"), "again")
    await store.insert_queue(row)
    await store.remove_queue(row)
    other = queue_row(row.application, "again")
    assert await store.insert_queue(other) is None
    assert await store.read_queue(row.application, "again") == other


async def test_a_removal_is_remembered_for_other_nodes(store: Store) -> None:
    """Where nodes share the store, a name just removed is known as such; a fresh or standing one is not."""
    row = queue_row(fresh_name("app"), "removed")
    assert not await store.recently_removed(row.application, row.name)
    await store.insert_queue(row)
    assert not await store.recently_removed(row.application, row.name)
    await store.remove_queue(row)
    assert await store.recently_removed(row.application, row.name) == store.capabilities.several_nodes


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
async def test_paging_meets_each_queue_once(store: Store, limit: int) -> None:
    """Pages of any size, walked by the offsets given, hold every queue exactly once, in one stable order."""
    application = fresh_name("app")
    names = {"a", "B", "c.1", "c:2", "c~3", "d-4", "9"}
    for name in names:
        await store.insert_queue(queue_row(application, name))
    whole, end = await store.list_queues(application, offset=None, limit=100)
    assert end is None
    assert {row.name for row in whole} == names
    seen: list[str] = []
    offset: str | None = None
    while True:
        rows, offset = await store.list_queues(application, offset=offset, limit=limit)
        seen += [row.name for row in rows]
        assert len(rows) <= limit
        if offset is None:
            break
    assert seen == [row.name for row in whole]


async def test_an_offset_is_inclusive(store: Store) -> None:
    """A page begins with the queue that its offset names."""
    application = fresh_name("app")
    for name in ("a", "b", "c"):
        await store.insert_queue(queue_row(application, name))
    whole, _ = await store.list_queues(application, offset=None, limit=100)
    page, _ = await store.list_queues(application, offset=whole[1].name, limit=100)
    assert page == whole[1:]


async def test_of_many_creations_one_wins(store: Store) -> None:
    """Creations of one name at the same time: one makes the row, all others are shown it."""
    application = fresh_name("app")
    rows = [queue_row(application, "raced") for _ in range(12)]
    answers = await asyncio.gather(*[store.insert_queue(row) for row in rows])
    winners = [row for row, answer in zip(rows, answers, strict=True) if answer is None]
    assert len(winners) == 1
    assert [answer for answer in answers if answer is not None] == winners * 11


async def test_of_many_changes_one_wins_per_version(store: Store) -> None:
    """Changes from one version at the same time: exactly one is applied."""
    row = queue_row(fresh_name("app"), "raced")
    await store.insert_queue(row)
    changes = [msgspec.structs.replace(row, version=2, ttl_s=n) for n in range(12)]
    answers = await asyncio.gather(*[store.replace_queue(change, 1) for change in changes])
    assert answers.count(True) == 1
    assert await store.read_queue(row.application, row.name) == changes[answers.index(True)]
