"""Counting what a store asks of Cassandra, by the driver's own account: every request that it begins."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from cassandra.query import BatchStatement

from storage_node.store.cql import CassandraStore
from storage_node.store.cql.statements import Kind


class Operations:
    """Requests by statement, while they are counted."""

    def __init__(self, names: dict[bytes, tuple[str, Kind]]) -> None:
        self._names = names
        self.by_statement: Counter[str] = Counter()
        self.by_kind: Counter[Kind] = Counter()
        self.requests: list[Any] = []
        """The driver's own objects, in the order of their beginning."""
        self.seconds = 0.0
        """How long it took, once the block has ended."""

    @property
    def total(self) -> int:
        """All requests."""
        return self.by_statement.total()

    @property
    def reads(self) -> int:
        """Requests that changed nothing."""
        return self.by_kind[Kind.READ] + self.by_kind[Kind.SERIAL]

    @property
    def writes(self) -> int:
        """Requests that changed something, a batch being one."""
        return self.total - self.reads

    def note(self, request: Any) -> None:
        """Count a request, called by the driver as it begins."""
        query, is_batch = request.query, isinstance(request.query, BatchStatement)
        query_id = query._statements_and_parameters[0][1] if is_batch else query.prepared_statement.query_id
        name, kind = self._names[query_id]
        self.by_statement[f"batch of {name}" if is_batch else name] += 1
        self.by_kind[kind] += 1
        self.requests.append(request)


@contextlib.contextmanager
def counted(store: CassandraStore) -> Iterator[Operations]:
    """Count the store's requests in this block."""
    connection = store._session.connection
    prepared = connection._prepared.items()
    operations = Operations({each.statement.query_id: (name, each.kind) for name, each in prepared})
    connection._session.add_request_init_listener(operations.note)
    begun_s = time.monotonic()
    try:
        yield operations
    finally:
        operations.seconds = time.monotonic() - begun_s
        connection._session.remove_request_init_listener(operations.note)
