"""What is the embedded store's own: its file, its lock, its threads, a full disk and its erasing on disk."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from common import limits
from common.identifiers import LOWEST, MessageId
from storage_node.store.errors import StoreFailedError, StoreFullError, StoreOverloadedError, StoreUnknownError
from storage_node.store.interface import Applied, Behind, Closed, Fence, KeyPresent, Lane, LogKey, MemberRow, QueueRow
from storage_node.store.sqlite import SqliteStore, open_sqlite_store
from storage_node.store.sqlite.database import APPLICATION_ID, migrate, migrations
from storage_node.store.sqlite.erasing import ROWS_PER_STEP_MAX
from storage_node.store.sqlite.faults import translate
from tests.support.clock import ManualClock
from tests.support.store_calls import (
    HOUR_TICKS,
    STRONG,
    append,
    fresh_log,
    fresh_name,
    ids_from,
    list_all,
    message,
    now,
    queue_row,
)

ROWS_OF_A_NEW_LOG = 4
"""The log, its fence, its first message and the line that finds it."""


def with_store(path: Path, scenario: Callable[[SqliteStore], Awaitable[None]]) -> None:
    """Open the file's store, run the scenario, close."""

    async def run() -> None:
        store = await open_sqlite_store(path)
        try:
            await scenario(store)
        finally:
            await store.close()

    asyncio.run(run())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "queuey.sqlite3"


def rows_in(path: Path, table: str) -> int:
    """Count a table's rows with another program's eyes."""
    with sqlite3.connect(path) as connection:
        count = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    connection.close()
    return int(count)


def bytes_of(path: Path) -> int:
    """Return the file's size."""
    return path.stat().st_size


# the file


def test_the_files_are_readable_by_their_owner_only(path: Path) -> None:
    """The database and all its side files have mode 0600 while it is in use."""

    async def scenario(store: SqliteStore) -> None:
        await append(store, fresh_log(), 0, [message(each) for each in ids_from(now(), 1)])
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
        assert f"{path.name}-wal" in modes
        assert set(modes.values()) == {0o600}

    with_store(path, scenario)


def test_commits_are_made_for_power_loss(path: Path) -> None:
    """The writer runs with a write-ahead log and a full sync at each commit."""

    async def scenario(store: SqliteStore) -> None:
        def pragmas(session: object) -> tuple[str, int]:
            connection = session.connection  # type: ignore[attr-defined]
            return (
                connection.execute("PRAGMA journal_mode").fetchone()[0],
                connection.execute("PRAGMA synchronous").fetchone()[0],
            )

        assert await store._write(pragmas) == ("wal", 2)

    with_store(path, scenario)


def test_two_nodes_never_share_a_file(path: Path) -> None:
    """The second is refused with the file's name, and may have it once the first has closed."""

    async def scenario(_: SqliteStore) -> None:
        with pytest.raises(StoreFailedError, match=r"queuey\.sqlite3 is in use by another storage node"):
            await open_sqlite_store(path)

    with_store(path, scenario)
    with_store(path, lambda store: store.ping())


@pytest.mark.parametrize(
    "content", [b"not a database, but long enough to be looked at" * 50, b"SQLite format 3\0" * 500]
)
def test_a_damaged_file_is_refused_at_start(path: Path, content: bytes) -> None:
    """The error names the file; the file is left as it is, and not locked."""
    path.parent.mkdir()
    path.write_bytes(content)
    for _ in range(2):
        with pytest.raises(StoreFailedError, match=r"queuey\.sqlite3 cannot be used"):
            with_store(path, lambda store: store.ping())
    assert path.read_bytes() == content


def test_another_programs_database_is_refused(path: Path) -> None:
    """Nothing is written into it."""
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    with pytest.raises(StoreFailedError, match="not a store of this service"):
        with_store(path, lambda store: store.ping())
    assert rows_in(path, "sqlite_schema") == 1


def test_a_newer_schema_is_refused(path: Path) -> None:
    """An older program does not touch what it does not know."""
    with_store(path, lambda store: store.ping())
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    with pytest.raises(StoreFailedError, match="schema 999"):
        with_store(path, lambda store: store.ping())


def test_a_folder_that_cannot_be_made_is_an_error_of_the_store(tmp_path: Path) -> None:
    """The reason is the system's."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreFailedError, match="cannot be opened"):
        with_store(tmp_path / "file" / "queuey.sqlite3", lambda store: store.ping())


def test_the_schema_is_the_sum_of_its_numbered_steps(path: Path) -> None:
    """Steps are numbered without a gap, the file carries the last number, and applying them again does nothing."""
    with_store(path, lambda store: store.ping())
    steps = migrations()
    assert [number for number, _ in steps] == list(range(1, len(steps) + 1))
    summed = sqlite3.connect(":memory:", isolation_level=None)
    migrate(summed)
    migrate(summed)
    opened = sqlite3.connect(path)
    query = "SELECT name, sql FROM sqlite_schema ORDER BY name"
    assert opened.execute(query).fetchall() == summed.execute(query).fetchall()
    assert opened.execute("PRAGMA user_version").fetchone() == (len(steps),)
    opened.close()
    summed.close()


def test_a_file_of_the_first_schema_is_brought_up_to_date(path: Path) -> None:
    """Queues, messages, fences and keys of a file that an earlier version wrote are found as they were."""
    row, ids = queue_row("app", "old"), ids_from(now(), 4)
    log = fresh_log()._replace(queue_id=row.queue_id)
    write_first_schema(path, row, ids)

    async def scenario(store: SqliteStore) -> None:
        assert await store.read_queue("app", "old") == row
        assert await store.list_queues("app", offset=None, limit=10) == ([row], None)
        assert [each.message_id for each in await list_all(store, log, 0)] == ids[:2]
        assert await store.read_fence(log, 0) == Fence(ids[1], False, None)
        assert await append(store, log, 0, [message(ids[2])], keys=[LogKey(b"key", ids[2])]) == KeyPresent(
            {b"key": ids[0]}
        )
        assert await append(store, log, 0, [message(ids[1])]) == Behind(ids[1])
        assert await append(store, log, 0, [message(ids[3])]) == Applied()
        assert await append(store, log._replace(partition=2), 0, [message(ids[3])]) == Closed(9)
        assert await store.remove_queue(row)
        while await store.erase_step(now_ticks=now()):
            pass

    with_store(path, scenario)
    emptied = ("queue", "log", "log_line", "message", "log_key")
    assert [rows_in(path, table) for table in emptied] == [0] * len(emptied)


def write_first_schema(path: Path, row: QueueRow, ids: list[MessageId]) -> None:
    """Write a queue with two messages and a closed second partition as schema 1 had them."""
    path.parent.mkdir()
    connection = sqlite3.connect(path, isolation_level=None)
    number, text = migrations()[0]
    connection.executescript(
        f"{text};PRAGMA application_id = {APPLICATION_ID};PRAGMA user_version = {number};"
        "UPDATE log_counter SET value = 2;"
    )
    insert = "INSERT INTO queue VALUES (?, ?, ?, ?)"
    connection.execute(insert, (row.application, row.name, row.version, msgspec.json.encode(row)))
    for partition, fence in ((1, (ids[1], 0, None)), (2, (ids[0], 1, 9))):
        values = (row.queue_id, partition, 0, 0, partition, 0, *fence)
        connection.execute("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
    for message_id in reversed(ids[:2]):
        values = (None, 1, message_id, now() + HOUR_TICKS, 0, None, None, b"body")
        connection.execute("INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
    connection.execute("INSERT INTO log_key VALUES (1, x'6b6579', ?, ?)", (ids[0], now() + HOUR_TICKS))
    connection.close()


def test_a_message_that_was_written_over_leaves_nothing_behind(path: Path) -> None:
    """Two rows of one id are one message: the later; what the earlier left goes when it expires."""
    log, (one,), ends = fresh_log(Lane.DELAYED), ids_from(now(), 1), now() + HOUR_TICKS

    async def scenario(store: SqliteStore) -> None:
        for body, more in ((b"first", 0), (b"second", 1)):
            row = message(one, body, expires_ticks=ends + more)
            await store.append_fenced(log, 0, [row], consistency=STRONG, advance=False)
        await store.erase_step(now_ticks=ends)
        assert [row.body for row in await list_all(store, log, 0)] == [b"second"]
        await store.put_message(log, 0, message(one, b"third", expires_ticks=ends + 2), now_ticks=now())
        await store.erase_step(now_ticks=ends + 1)
        assert [row.body for row in await list_all(store, log, 0)] == [b"third"]
        await store.erase_step(now_ticks=ends + 2)

    with_store(path, scenario)
    assert [rows_in(path, table) for table in ("message", "log_line")] == [0, 1]


def test_everything_is_there_after_a_restart(path: Path) -> None:
    """Messages, the fence and the keys outlive the process that wrote them."""
    log, ids = fresh_log(), ids_from(now(), 3)

    async def write(store: SqliteStore) -> None:
        await append(store, log, 0, [message(each) for each in ids[:2]], keys=[LogKey(b"key", ids[0])])

    async def read(store: SqliteStore) -> None:
        assert [row.message_id for row in await list_all(store, log, 0)] == ids[:2]
        assert await append(store, log, 0, [message(ids[1])]) != Applied()
        assert await append(store, log, 0, [message(ids[2])], keys=[LogKey(b"key", ids[2])]) != Applied()
        assert await append(store, fresh_log(), 0, [message(ids[2])]) == Applied()

    with_store(path, write)
    with_store(path, read)


# the group


def test_requests_that_wait_share_a_commit(path: Path) -> None:
    """Many callers at once cost few transactions."""

    async def scenario(store: SqliteStore) -> None:
        before = await store._write(lambda session: session.connection.total_changes)
        logs = [fresh_log() for _ in range(200)]
        (one,) = ids_from(now(), 1)
        answers = await asyncio.gather(*[append(store, log, 0, [message(one)]) for log in logs])
        assert answers == [Applied()] * 200
        counters = await store._write(lambda session: session.connection.total_changes)
        counter_updates = counters - before - 200 * ROWS_OF_A_NEW_LOG
        assert 1 <= counter_updates <= 20, "one change of the log counter per commit that made logs"

    with_store(path, scenario)


def test_a_request_that_fails_spoils_no_other_of_its_group(path: Path) -> None:
    """Its neighbours are stored; it alone hears of an error, which is the store's."""
    log = fresh_log()

    async def scenario(store: SqliteStore) -> None:
        ids = ids_from(now(), 21)
        bad = message(ids[10])._replace(expires_ticks=1 << 70)
        rows = [*[message(each) for each in ids[:10]], bad, *[message(each) for each in ids[11:]]]
        answers = await asyncio.gather(
            *[append(store, log, 0, [row]) for row in rows],
            return_exceptions=True,
        )
        assert isinstance(answers[10], StoreFailedError)
        assert [answer for n, answer in enumerate(answers) if n != 10] == [Applied()] * 20
        assert [row.message_id for row in await list_all(store, log, 0)] == [*ids[:10], *ids[11:]]

    with_store(path, scenario)


def test_a_caller_that_went_away_disturbs_nobody(path: Path) -> None:
    """A cancelled call may be stored or not; the calls beside it are answered."""

    async def scenario(store: SqliteStore) -> None:
        (one,) = ids_from(now(), 1)
        calls = [asyncio.ensure_future(append(store, fresh_log(), 0, [message(one)])) for _ in range(10)]
        await asyncio.sleep(0)
        calls[3].cancel()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(answers.pop(3), asyncio.CancelledError)
        assert answers == [Applied()] * 9

    with_store(path, scenario)


def test_too_many_waiting_requests_are_refused_at_once(path: Path) -> None:
    """Beyond the bound a call fails certainly; those within it are done, and then there is room again."""

    async def scenario(store: SqliteStore) -> None:
        (one,) = ids_from(now(), 1)
        calls = [append(store, fresh_log(), 0, [message(one)]) for _ in range(limits.STORE_WAITING_MAX + 5)]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, StoreOverloadedError)]
        assert len(refused) == 5
        assert answers.count(Applied()) == limits.STORE_WAITING_MAX
        assert await append(store, fresh_log(), 0, [message(one)]) == Applied()

    with_store(path, scenario)


def test_too_many_waiting_bytes_are_refused_at_once(path: Path) -> None:
    """The bound on bytes holds too, and one request alone is never too large."""

    async def scenario(store: SqliteStore) -> None:
        (one,) = ids_from(now(), 1)
        large = message(one, bytes(limits.STORE_WAITING_BYTES_MAX // 4 + 1))
        calls = [append(store, fresh_log(), 0, [large]) for _ in range(4)]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert answers[:3] == [Applied()] * 3
        assert isinstance(answers[3], StoreOverloadedError)

    with_store(path, scenario)


def test_closing_finishes_what_was_queued_and_refuses_the_rest(path: Path) -> None:
    """No call is left without an answer."""
    log = fresh_log()

    async def scenario() -> None:
        store = await open_sqlite_store(path)
        (one,) = ids_from(now(), 1)
        queued = asyncio.ensure_future(append(store, log, 0, [message(one)]))
        await asyncio.sleep(0)
        await store.close()
        assert await queued == Applied()
        with pytest.raises(StoreFailedError, match="closed"):
            await store.ping()
        with pytest.raises(StoreFailedError, match="closed"):
            await append(store, log, 0, [message(one)])
        await store.close()

    asyncio.run(scenario())
    with_store(path, lambda store: store.ping())


def test_commits_reach_the_file_before_the_log_is_full(path: Path) -> None:
    """What was committed is moved beside the writer, so that the writer finds little to move in the end."""

    async def scenario(store: SqliteStore) -> None:
        before = bytes_of(path)
        (one,) = ids_from(now(), 1)
        await append(store, fresh_log(), 0, [message(one, bytes(1 << 20))])
        until_s = time.monotonic() + 30
        while bytes_of(path) < before + (1 << 20):
            assert time.monotonic() < until_s, "nothing was moved"
            await asyncio.sleep(0.05)

    with_store(path, scenario)


# a full disk


def test_a_full_disk_refuses_writes_and_serves_reads(path: Path) -> None:
    """The error says full, nothing of the refused append is there, and writes go on once there is room."""
    log = fresh_log()

    async def scenario(store: SqliteStore) -> None:
        one, two, three = ids_from(now(), 3)
        await append(store, log, 0, [message(one)])
        await store._write(lambda session: session.connection.execute("PRAGMA max_page_count = 40").fetchall())
        with pytest.raises(StoreFullError):
            await append(store, log, 0, [message(two, bytes(1 << 20))])
        assert [row.message_id for row in await list_all(store, log, 0)] == [one]
        answers = await asyncio.gather(
            append(store, log, 0, [message(two)]),
            append(store, fresh_log(), 0, [message(two, bytes(1 << 20))]),
            append(store, log, 0, [message(three)]),
            return_exceptions=True,
        )
        assert [type(answer) for answer in answers] == [Applied, StoreFullError, Applied]
        await store._write(lambda session: session.connection.execute("PRAGMA max_page_count = 100000").fetchall())
        assert await append(store, fresh_log(), 0, [message(two, bytes(1 << 20))]) == Applied()

    with_store(path, scenario)


def test_a_commit_that_fails_on_the_device_is_unknown() -> None:
    """A statement's failure is certain, a commit's is not, except for want of space or of the lock."""

    def error(code: int) -> sqlite3.OperationalError:
        made = sqlite3.OperationalError("planned")
        made.sqlite_errorcode = code
        return made

    sync_failed = error(sqlite3.SQLITE_IOERR_FSYNC)
    assert type(translate(sync_failed)) is StoreFailedError
    assert type(translate(sync_failed, at_commit=True)) is StoreUnknownError
    assert type(translate(error(sqlite3.SQLITE_FULL), at_commit=True)) is StoreFullError
    assert type(translate(error(sqlite3.SQLITE_BUSY), at_commit=True)) is StoreFailedError
    known = StoreFullError("known")
    assert translate(known) is known


# erasing


def test_expired_rows_leave_the_disk_in_bounded_steps(path: Path) -> None:
    """Messages and keys go, a bounded number a step; a restart in between loses nothing of it."""
    log = fresh_log()
    count = 2 * ROWS_PER_STEP_MAX + 10

    async def write(store: SqliteStore) -> None:
        ids = ids_from(now(), count)
        ends = now() + HOUR_TICKS
        keys = [LogKey(each, each) for each in ids[:5]]
        await append(store, log, 0, [message(each, expires_ticks=ends) for each in ids], keys=keys)
        assert await store.erase_step(now_ticks=ends) == 1

    async def go_on(store: SqliteStore) -> None:
        assert await store.erase_step(now_ticks=now() + 2 * HOUR_TICKS) == 1
        assert await store.erase_step(now_ticks=now() + 2 * HOUR_TICKS) == 0

    with_store(path, write)
    assert rows_in(path, "message") == count - ROWS_PER_STEP_MAX
    with_store(path, go_on)
    assert [rows_in(path, table) for table in ("message", "log_key", "log")] == [0, 0, 1]


def test_a_removed_queue_leaves_the_disk_in_bounded_steps(path: Path) -> None:
    """All its rows go, over a restart too, and the list of what is given up is empty in the end."""
    row = queue_row(fresh_name("app"), "doomed")
    log = fresh_log()._replace(queue_id=row.queue_id)

    async def write(store: SqliteStore) -> None:
        await store.insert_queue(row)
        await append(store, log, 0, [message(each) for each in ids_from(now(), ROWS_PER_STEP_MAX + 10)])
        assert await store.remove_queue(row)
        assert await store.erase_step(now_ticks=now()) == 1

    async def go_on(store: SqliteStore) -> None:
        while await store.erase_step(now_ticks=now()):
            pass
        assert await store.count_messages(log, 0, low=LOWEST, limit=10, now_ticks=0) == 0

    with_store(path, write)
    with_store(path, go_on)
    assert [rows_in(path, table) for table in ("message", "log", "queue", "forgotten")] == [0, 0, 0, 0]


# the register


def test_a_silent_members_entry_ends(path: Path) -> None:
    """Entries live for the seconds they were written with, by the node's own monotonic time."""

    async def scenario() -> None:
        clock = ManualClock()
        store = await open_sqlite_store(path, clock=clock)
        await store.write_member(MemberRow("a", "tcp://", "up", 0, "1", 0, 0, ""), ttl_s=10)
        clock.advance(ms=9_999)
        assert len(await store.list_members()) == 1
        clock.advance(ms=1)
        assert await store.list_members() == []
        await store.close()

    asyncio.run(scenario())
