"""Random calls on a store and on the naive model give the same answers."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from common.identifiers import MessageId, make_id
from storage_node.store.interface import Closed, DeliveryRow, Fence, LogKey, Store, StoredMessage
from storage_node.store.sqlite import open_sqlite_store
from tests.support.clock import START_TICKS
from tests.support.store_calls import LOW, STRONG, fresh_log, queue_row
from tests.support.stores import MemoryStore

T = TypeVar("T")

INSTANTS = 12
ids = st.integers(0, INSTANTS).map(lambda n: make_id(START_TICKS + n, LOW))
keys = st.sampled_from([b"k1", b"k2", b"k3"])
moments = st.integers(0, INSTANTS).map(lambda n: START_TICKS + 1000 + n)
bodies = st.binary(max_size=20)
batches = st.lists(st.tuples(ids, bodies, moments), min_size=1, max_size=4, unique_by=lambda each: each[0]).map(
    sorted
)
partitions = st.integers(1, 2)
names = st.sampled_from(["a", "b", "c"])
versions = st.integers(0, 3)


class StoreMachine(RuleBasedStateMachine):
    """Each rule makes the same call on both and compares the answers."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.store: Store = self.runner.run(_open(Path(self.folder.name) / "queuey.sqlite3"))
        self.model: Store = MemoryStore()
        self.log = fresh_log()

    def teardown(self) -> None:
        self.runner.run(self.store.close())
        self.runner.close()
        self.folder.cleanup()

    def same(self, call: Callable[[Store], Awaitable[T]]) -> T:
        """Make the call on both; return the answer that both gave."""

        async def both() -> tuple[T, T]:
            return await call(self.store), await call(self.model)

        answer, expected = self.runner.run(both())
        assert answer == expected
        return answer

    @initialize()
    def make_queues(self) -> None:
        self.rows = {name: queue_row("app", name, version=0) for name in ("a", "b", "c")}

    @rule(partition=partitions, batch=batches, named=st.lists(keys, max_size=2, unique=True), fenced=st.booleans())
    def append(
        self, partition: int, batch: list[tuple[MessageId, bytes, int]], named: list[bytes], *, fenced: bool
    ) -> None:
        log = self.log._replace(partition=partition)
        rows = [StoredMessage(message_id, body, None, {}, expires) for message_id, body, expires in batch]
        log_keys = [LogKey(key, rows[0].message_id) for key in named]
        self.same(lambda store: store.append_fenced(log, 0, rows, keys=log_keys, fenced=fenced, consistency=STRONG))

    @rule(partition=partitions, batch=batches)
    def append_several_at_once(self, partition: int, batch: list[tuple[MessageId, bytes, int]]) -> None:
        """One group commit of several requests is worth the same requests one after another."""
        log = self.log._replace(partition=partition)
        rows = [StoredMessage(message_id, body, None, {}, expires) for message_id, body, expires in reversed(batch)]

        async def append_all(store: Store) -> list[object]:
            calls = [
                store.append_fenced(
                    log, 0, [row], keys=[LogKey(row.body, row.message_id)], consistency=STRONG, advance=False
                )
                for row in rows
            ]
            return list(await asyncio.gather(*calls))

        self.same(append_all)

    @rule(partition=partitions, last=ids)
    def raise_last(self, partition: int, last: MessageId) -> None:
        log = self.log._replace(partition=partition)
        self.same(lambda store: store.raise_last(log, 0, last=last))

    @rule(partition=partitions, last=ids)
    def close_bucket(self, partition: int, last: MessageId) -> None:
        log = self.log._replace(partition=partition)
        self.same(lambda store: store.close_bucket(log, 0, last=last, next_bucket=5))

    @rule(partition=partitions, message_id=ids, body=bodies, expires=moments)
    def put(self, partition: int, message_id: MessageId, body: bytes, expires: int) -> None:
        log = self.log._replace(partition=partition)
        row = StoredMessage(message_id, body, "text/plain", {"a": "b"}, expires, 7)
        self.same(lambda store: store.put_message(log, 0, row, now_ticks=START_TICKS))

    @rule(partition=partitions, doomed=st.lists(ids, max_size=3))
    def delete(self, partition: int, doomed: list[MessageId]) -> None:
        log = self.log._replace(partition=partition)
        self.same(lambda store: store.delete_messages(log, 0, doomed, written_ticks=9, now_ticks=START_TICKS))

    @rule(partition=partitions, low=ids, high=ids, limit=st.integers(1, 5), moment=moments, descending=st.booleans())
    def list_messages(
        self, partition: int, low: MessageId, high: MessageId, limit: int, moment: int, *, descending: bool
    ) -> None:
        log = self.log._replace(partition=partition)
        self.same(
            lambda store: store.list_messages(
                log, 0, low=low, high=high, limit=limit, descending=descending, now_ticks=moment
            )
        )
        self.same(lambda store: store.count_messages(log, 0, low=low, limit=limit, now_ticks=moment))

    @rule(partition=partitions)
    def read_fence(self, partition: int) -> None:
        log = self.log._replace(partition=partition)

        async def fence_or_fresh(store: Store) -> Fence:
            return await store.read_fence(log, 0) or Fence(MessageId(bytes(16)), False, None)

        self.same(fence_or_fresh)

    @rule(moment=moments)
    def erase_expired(self, moment: int) -> None:
        async def erase(store: Store) -> None:
            while await store.erase_step(now_ticks=moment):
                pass

        self.same(erase)

    @rule(expected=st.sampled_from([None, b"v1", b"v2"]), version=st.sampled_from([b"v1", b"v2"]), state=bodies)
    def swap(self, expected: bytes | None, version: bytes, state: bytes) -> None:
        row = DeliveryRow(version, state)
        self.same(lambda store: store.swap_delivery(self.log.queue_id, 1, "g", expected=expected, row=row))
        self.same(lambda store: store.read_delivery(self.log.queue_id, 1, "g"))

    @rule(name=names)
    def insert_queue(self, name: str) -> None:
        self.same(lambda store: store.insert_queue(self.rows[name]))

    @rule(name=names)
    def remove_queue(self, name: str) -> None:
        self.same(lambda store: store.remove_queue(self.rows[name]))

    @rule(offset=st.none() | names, limit=st.integers(1, 3))
    def list_queues(self, offset: str | None, limit: int) -> None:
        self.same(lambda store: store.list_queues("app", offset=offset, limit=limit))


async def _open(path: Path) -> Store:
    return await open_sqlite_store(path)


@pytest.mark.timeout(120)
def test_the_embedded_store_answers_like_the_model() -> None:
    """Any sequence of calls gets the answers of the naive implementation of the contract."""
    run_state_machine_as_test(
        StoreMachine,
        settings=settings(
            max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def test_the_model_can_close_a_bucket() -> None:
    """The machine reaches closed buckets: the rule that closes is not vacuous."""

    async def scenario() -> None:
        model, log = MemoryStore(), fresh_log()
        (last,) = [make_id(START_TICKS, LOW)]
        rows = [StoredMessage(last, b"", None, {}, START_TICKS + 5)]
        await model.append_fenced(log, 0, rows, consistency=STRONG)
        await model.close_bucket(log, 0, last=last, next_bucket=5)
        assert await model.append_fenced(log, 0, rows, consistency=STRONG) == Closed(5)

    asyncio.run(scenario())
