"""The catalogue: queues by name, with the age of what is known of them.

A row is remembered for less than D/2 and a bounded number of them: this is what an append rests on.  *No* is only
ever said from a row read after the request came in.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NamedTuple, TypeVar
from weakref import WeakValueDictionary

import msgspec
import structlog

from common.clock import Clock
from common.guarantees import Consistency, Guarantee, LogKind, Ordering, QueueType
from common.identifiers import TICKS_PER_SECOND, QueueId
from common.limits import (
    LATE_WINDOW_MS,
    LEASE_MS_DEFAULT,
    MAX_IN_FLIGHT_DEFAULT,
    QUEUE_ROWS_KEPT_MAX,
    TTL_S_DEFAULT,
)
from common.protocol.failures import Code, refuse
from common.protocol.operations import QueueInfo, QueueSettings
from common.settings import ApplicationSettings
from storage_node.store.errors import StoreError
from storage_node.store.interface import QueueRow, Store

ROW_AGE_S_MAX: Final = LATE_WINDOW_MS / 2 / 1000
CHANGE_TRIES_MAX: Final = 10
HOUR_S: Final = 3_600
WEEK_S: Final = 7 * 24 * HOUR_S
_SECOND_BYTES: Final = 4

_T = TypeVar("_T")
_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class _Known(NamedTuple):
    row: QueueRow
    read_s: float
    """Monotonic seconds just before the read was sent."""


class Queues:
    """Create, change, delete and find queues; remembers a bounded number of rows, each for less than D/2."""

    def __init__(
        self, store: Store, *, clock: Clock, rng: random.Random, applications: Mapping[str, ApplicationSettings]
    ) -> None:
        self._store = store
        self._clock = clock
        self._rng = rng
        self._applications = applications
        self.on_given_up: Callable[[QueueId], None] = _nobody
        """Called when this node has deleted or emptied the queue of this internal id."""
        self.on_reading: Callable[[str, str], None] = _no_one
        """Called with application and name as a row is about to be read."""
        self._known: dict[tuple[str, str], _Known] = {}
        self._changes: dict[tuple[str, str], int] = {}
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        self._reads: dict[tuple[str, str], int] = {}

    @property
    def remembered(self) -> int:
        """How many rows are in memory."""
        return len(self._known)

    # finding

    def known(self, application: str, name: str, *, for_s: float = 0.0) -> QueueRow | None:
        """Return the row if one is remembered that is young enough, and is so for ``for_s`` more; asks nobody."""
        known = self._known.get((application, name))
        if known is None or self._clock.monotonic_s() - known.read_s >= ROW_AGE_S_MAX - for_s:
            return None
        return known.row

    async def find(self, application: str, name: str, *, fresh: bool = False) -> QueueRow:
        """Return the queue's row, at most D/2 old; ``fresh``: read after this call began.

        Raises:
            FailureError: ``QUEUE_NOT_FOUND``, always from a fresh read.
        """
        row = None if fresh else self.known(application, name)
        if row is None:
            row = await self.read(application, name)
        if row is None:
            raise refuse(Code.QUEUE_NOT_FOUND, "InvalidQueueName", "There is no queue of this name.")
        return row

    async def read(self, application: str, name: str) -> QueueRow | None:
        """Read the row now, and remember it unless this node changed it meanwhile."""
        key = (application, name)
        self.on_reading(application, name)
        began_s = self._clock.monotonic_s()
        self._reads[key] = self._reads.get(key, 0) + 1
        changes = self._changes.get(key, 0)
        try:
            row = await self._store.read_queue(application, name)
            if self._changes.get(key, 0) == changes:
                self._keep(key, row, began_s)
        finally:
            self._end_read(key)
        return row

    def is_fresh(self, row: QueueRow) -> bool:
        """Is it known, by a read less than D/2 old, that this is the queue of its name?"""
        known = self.known(row.application, row.name)
        return known is not None and known.queue_id == row.queue_id

    async def stands(self, row: QueueRow, *, for_s: float = 0.0) -> bool:
        """Is this still the queue of its name (same internal id), by knowledge not yet D/2 old ``for_s`` from now?"""
        known = self.known(row.application, row.name, for_s=for_s)
        if known is not None and known.queue_id == row.queue_id:
            return True
        now = await self.read(row.application, row.name)
        return now is not None and now.queue_id == row.queue_id

    async def page(self, application: str, *, offset: str | None, limit: int) -> tuple[list[QueueRow], str | None]:
        """Return a page of rows in a stable order, and where the next begins."""
        return await self._store.list_queues(application, offset=offset, limit=limit)

    # changing

    async def create(self, application: str, name: str, settings: QueueSettings) -> QueueRow:
        """Create, or change what was sent of an existing queue; its number of partitions never shrinks."""
        async with self._lock(application, name):
            return await self._changing(application, name, self._create(application, name, settings))

    async def update(self, application: str, name: str, settings: QueueSettings) -> QueueRow:
        """Change what was sent.

        Raises:
            FailureError: ``INVALID_UPDATE`` for fewer partitions or another kind of log.
        """
        async with self._lock(application, name):
            return await self._changing(application, name, self._update(application, name, settings))

    async def delete(self, application: str, name: str) -> None:
        """Delete at once; the data go in the background."""
        async with self._lock(application, name):
            await self._changing(application, name, self._delete(application, name))

    async def purge(self, application: str, name: str) -> None:
        """Give the queue a new internal id, and wait until no node appends under the old one."""
        async with self._lock(application, name):
            await self._changing(application, name, self._purge(application, name))
        await self._outlive_memories()

    async def _create(self, application: str, name: str, settings: QueueSettings) -> QueueRow:
        row = self._new_row(application, name, settings)
        for _ in range(CHANGE_TRIES_MAX):
            standing = await self._store.insert_queue(row)
            if standing is None:
                await self._outlive_namesake(application, name)
                return row
            changed = _changed(standing, settings, may_shrink=True)
            if await self._replaced(standing, changed):
                return changed
        raise _contended()

    async def _update(self, application: str, name: str, settings: QueueSettings) -> QueueRow:
        for _ in range(CHANGE_TRIES_MAX):
            standing = await self._standing(application, name)
            changed = _changed(standing, settings, may_shrink=False)
            if await self._replaced(standing, changed):
                return changed
        raise _contended()

    async def _delete(self, application: str, name: str) -> None:
        for _ in range(CHANGE_TRIES_MAX):
            standing = await self._standing(application, name)
            if await self._store.remove_queue(standing):
                self.on_given_up(standing.queue_id)
                return
        raise _contended()

    async def _purge(self, application: str, name: str) -> QueueRow:
        for _ in range(CHANGE_TRIES_MAX):
            standing = await self._standing(application, name)
            changed = msgspec.structs.replace(standing, queue_id=self._new_id(), version=standing.version + 1)
            if await self._store.replace_queue(changed, standing.version):
                self.on_given_up(standing.queue_id)
                await self._forget(standing)
                return changed
        raise _contended()

    async def _forget(self, emptied: QueueRow) -> None:
        """Give up the data of an id that no queue has any more: the purge is done, whatever becomes of this."""
        try:
            await self._store.forget_data(emptied)
        except StoreError as error:
            _log.warning("purged_data_left", application=emptied.application, queue=emptied.name, error=str(error))

    async def _standing(self, application: str, name: str) -> QueueRow:
        return await self.find(application, name, fresh=True)

    async def _replaced(self, standing: QueueRow, changed: QueueRow) -> bool:
        return changed is standing or await self._store.replace_queue(changed, standing.version)

    async def _outlive_namesake(self, application: str, name: str) -> None:
        if self._store.capabilities.several_nodes and await self._store.recently_removed(application, name):
            await self._outlive_memories()

    async def _outlive_memories(self) -> None:
        """Wait until no node can still hold what it read before now."""
        if self._store.capabilities.several_nodes:
            await asyncio.sleep(ROW_AGE_S_MAX)

    # memory

    async def _changing(self, application: str, name: str, change: Awaitable[_T]) -> _T:
        """Run a change of one name; what was read before it ends is not remembered after it."""
        key = (application, name)
        began_s = self._clock.monotonic_s()
        row: object = None
        try:
            row = result = await change
            return result
        finally:
            self._known.pop(key, None)
            if key in self._reads:
                self._changes[key] = self._changes.get(key, 0) + 1
            self._keep(key, row if isinstance(row, QueueRow) else None, began_s)

    def _end_read(self, key: tuple[str, str]) -> None:
        left = self._reads[key] - 1
        if left:
            self._reads[key] = left
        else:
            del self._reads[key]
            self._changes.pop(key, None)

    def _keep(self, key: tuple[str, str], row: QueueRow | None, read_s: float) -> None:
        known = self._known
        before = known.pop(key, None)
        if row is None:
            return
        if before is not None and before.read_s > read_s:
            known[key] = before
            return
        known[key] = _Known(row, read_s)
        oldest = next(iter(known))
        while len(known) > QUEUE_ROWS_KEPT_MAX or read_s - known[oldest].read_s >= ROW_AGE_S_MAX:
            del known[oldest]
            oldest = next(iter(known))

    def _lock(self, application: str, name: str) -> asyncio.Lock:
        key = (application, name)
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = asyncio.Lock()
        return lock

    # rows

    def _new_id(self) -> QueueId:
        """Begin with the second, so that a store that sorts by id has the queues made together side by side."""
        second = self._clock.now_ticks() // TICKS_PER_SECOND % (1 << 8 * _SECOND_BYTES)
        return QueueId(second.to_bytes(_SECOND_BYTES, "big") + self._rng.randbytes(16 - _SECOND_BYTES))

    def _new_row(self, application: str, name: str, settings: QueueSettings) -> QueueRow:
        promised = self._applications.get(application)
        if promised is None:
            raise refuse(Code.UNAVAILABLE, "application", "The storage node does not know this application.", 1_000)
        ordering = settings.ordering or Ordering.NONE
        _refuse_unordered(promised.guarantee, ordering)
        ttl_s = settings.ttl_s or TTL_S_DEFAULT
        partitions = settings.partitions or 1
        return QueueRow(
            application=application,
            name=name,
            queue_id=self._new_id(),
            version=1,
            created_ticks=self._clock.now_ticks(),
            guarantee=promised.guarantee,
            log=self._log_kind(promised, settings, ordering),
            lifetime=lifetime_of(ttl_s),
            partitions=partitions,
            partitions_at_creation=partitions,
            type=settings.type or QueueType.USER,
            consistency=settings.consistency or Consistency.STRONG,
            principles=settings.principles or None,
            ttl_s=ttl_s,
            delay_ms=settings.delay_ms or 0,
            lease_ms=settings.lease_ms or LEASE_MS_DEFAULT,
            max_deliveries=settings.max_deliveries or 0,
            dead_letter_queue=_other_queue(name, settings.dead_letter_queue or ""),
            ordering=ordering,
            max_in_flight=settings.max_in_flight or MAX_IN_FLIGHT_DEFAULT,
        )

    def _log_kind(self, promised: ApplicationSettings, settings: QueueSettings, ordering: Ordering) -> LogKind:
        if not self._store.capabilities.plain_logs or ordering is Ordering.STRICT:
            return LogKind.FENCED
        if promised.guarantee is Guarantee.EXACTLY_ONCE or LogKind.FENCED in (settings.log, promised.log):
            return LogKind.FENCED
        return LogKind.PLAIN


def _nobody(_queue_id: QueueId) -> None:
    """Nobody waits for messages of queues."""


def _no_one(_application: str, _name: str) -> None:
    """Nobody reads ahead."""


def lifetime_of(ttl_s: int) -> int:
    """Return which message table a queue's log lives in, by its default TTL at creation."""
    if ttl_s <= HOUR_S:
        return 0
    return 1 if ttl_s <= WEEK_S else 2


def queue_info(row: QueueRow, count: int | None = None) -> QueueInfo:
    """Return the queue as clients see it."""
    return QueueInfo(
        application=row.application,
        queue=row.name,
        partitions=row.partitions,
        type=row.type,
        consistency=row.consistency,
        principles=row.principles,
        created_ticks=row.created_ticks,
        guarantee=row.guarantee,
        log=row.log,
        ttl_s=row.ttl_s,
        delay_ms=row.delay_ms,
        lease_ms=row.lease_ms,
        max_deliveries=row.max_deliveries,
        dead_letter_queue=row.dead_letter_queue,
        ordering=row.ordering,
        max_in_flight=row.max_in_flight,
        count=count,
    )


_SETTABLE: Final = (
    "type",
    "consistency",
    "ttl_s",
    "delay_ms",
    "lease_ms",
    "max_deliveries",
    "dead_letter_queue",
    "ordering",
    "max_in_flight",
)


def _changed(row: QueueRow, settings: QueueSettings, *, may_shrink: bool) -> QueueRow:
    """Return the row with what was sent; the row itself when nothing changes."""
    changes: dict[str, object] = {
        name: value
        for name in _SETTABLE
        if (value := getattr(settings, name)) is not None and value != getattr(row, name)
    }
    if settings.principles is not None and (settings.principles or None) != row.principles:
        changes["principles"] = settings.principles or None
    partitions = _partitions(row, settings, may_shrink=may_shrink)
    if partitions != row.partitions:
        changes["partitions"] = partitions
    if not changes:
        return row
    changed = msgspec.structs.replace(row, version=row.version + 1, **changes)
    _refuse_impossible(row, changed)
    return changed


def _partitions(row: QueueRow, settings: QueueSettings, *, may_shrink: bool) -> int:
    wanted = settings.partitions or row.partitions
    if may_shrink:
        return max(wanted, row.partitions)
    if wanted < row.partitions:
        raise refuse(Code.INVALID_UPDATE, "InvalidUpdate", f"The queue has {row.partitions} partitions already.")
    if settings.log is not None and settings.log is not row.log:
        raise refuse(Code.INVALID_UPDATE, "InvalidUpdate", "The kind of log is fixed when the queue is created.")
    return wanted


def _refuse_impossible(row: QueueRow, changed: QueueRow) -> None:
    _other_queue(changed.name, changed.dead_letter_queue)
    _refuse_unordered(changed.guarantee, changed.ordering)
    if changed.ordering is Ordering.STRICT and row.log is LogKind.PLAIN:
        raise refuse(Code.INVALID_UPDATE, "InvalidUpdate", "Strict ordering needs a fenced log from the beginning.")


def _refuse_unordered(guarantee: Guarantee, ordering: Ordering) -> None:
    if ordering is Ordering.STRICT and guarantee is Guarantee.AT_MOST_ONCE:
        raise refuse(
            Code.INVALID_PARAMETER, "ordering", "Nothing is leased under at_most_once, so nothing is strict."
        )


def _other_queue(name: str, dead_letter_queue: str) -> str:
    if dead_letter_queue == name:
        raise refuse(Code.INVALID_PARAMETER, "dead_letter_queue", "A queue can't be its own dead-letter queue.")
    return dead_letter_queue


def _contended() -> Exception:
    return refuse(Code.OVERLOADED, "queue", "Others change this queue all the time.", 1_000)
