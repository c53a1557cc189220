"""Revocations, the register of nodes, and signs of life."""

from __future__ import annotations

from common.clock import SYSTEM_CLOCK, ticks_to_unix_ms
from storage_node.store.interface import MemberRow, RevocationRow, Store
from tests.support.store_calls import fresh_name


def now_ms() -> int:
    """Return Unix milliseconds."""
    return ticks_to_unix_ms(SYSTEM_CLOCK.now_ticks())


def member(member_id: str, *, state: str = "up") -> MemberRow:
    """Return a node's entry."""
    return MemberRow(member_id, "tcp://127.0.0.1:5570", state, now_ms(), "1.0", 3, 4, "key")


async def test_a_revocation_is_listed_until_it_expires(store: Store) -> None:
    """At its time it is gone from the list."""
    application, ends_ms = fresh_name("app"), now_ms() + 3_600_000
    rows = [RevocationRow("", 4, ends_ms + 1), RevocationRow("link", 0, ends_ms)]
    for row in rows:
        await store.revoke(application, row)
    assert sorted(await store.list_revocations(application, now_ms=ends_ms - 1)) == rows
    assert await store.list_revocations(application, now_ms=ends_ms) == rows[:1]
    assert await store.list_revocations(fresh_name("app"), now_ms=now_ms()) == []


async def test_revoking_again_keeps_one_row(store: Store) -> None:
    """The later and higher values stand."""
    application, ends_ms = fresh_name("app"), now_ms() + 3_600_000
    await store.revoke(application, RevocationRow("", 1, ends_ms))
    await store.revoke(application, RevocationRow("", 2, ends_ms + 5))
    assert await store.list_revocations(application, now_ms=now_ms()) == [RevocationRow("", 2, ends_ms + 5)]


async def test_a_member_is_listed_as_last_written_until_removed(store: Store) -> None:
    """A heartbeat replaces the entry."""
    one, other = member(fresh_name("node")), member(fresh_name("node"))
    await store.write_member(one, ttl_s=60)
    await store.write_member(other, ttl_s=60)
    draining = one._replace(state="draining", in_flight=9)
    await store.write_member(draining, ttl_s=60)
    listed = await store.list_members()
    assert {one.member_id, other.member_id} <= {row.member_id for row in listed}
    assert [row for row in listed if row.member_id == one.member_id] == [draining]
    await store.remove_member(one.member_id)
    await store.remove_member(one.member_id)
    assert one.member_id not in {row.member_id for row in await store.list_members()}


async def test_a_store_that_answers_can_be_pinged(store: Store) -> None:
    """A ping returns nothing and raises nothing."""
    await store.ping()
