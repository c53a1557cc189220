"""What the bench of a million queues rests on: how it fills a store, and how it judges."""

from __future__ import annotations

import asyncio
from pathlib import Path

from common.identifiers import HIGHEST, LOWEST
from storage_node.store.interface import Lane, LogAddress
from storage_node.store.sqlite import open_sqlite_store
from tests.bench.load import Sample
from tests.bench.million import Report, Resident, markdown, pair
from tests.bench.million_fill import fill, name_of
from tests.support.store_calls import now


def sample(rate: float) -> Sample:
    """Return a run of this rate."""
    return Sample(rate, rate, 1, 2, 300, 100, 10)


def report(ratio: float, growth_bytes: int) -> Report:
    """Return a report of two rounds."""
    loads = {"publish": pair([(sample(100), sample(100 * ratio)), (sample(300), sample(300 * ratio))])}
    few, many = Resident(100, 100), Resident(100, 100 + growth_bytes)
    return Report(queues=5, rounds=2, seconds=1, load_average=0, loads=loads, few_resident=few, many_resident=many)


def test_a_filled_store_holds_each_queue_with_one_message(tmp_path: Path) -> None:
    """Every number has a queue of its own name, and its log one live message."""
    path = tmp_path / "filled.sqlite3"

    async def look() -> None:
        await fill(path, "app", 300)
        store = await open_sqlite_store(path)
        rows, following = await store.list_queues("app", offset=None, limit=1_000)
        assert {row.name for row in rows} == {name_of(number) for number in range(300)}
        assert (len(rows), following) == (300, None)
        for row in rows:
            log = LogAddress(row.queue_id, 1, Lane.LIVE, row.lifetime)
            found = await store.list_messages(log, 0, low=LOWEST, high=HIGHEST, limit=9, now_ticks=now())
            assert len(found) == 1
        await store.close()

    asyncio.run(look())


def test_ratios_are_taken_round_by_round() -> None:
    """A machine that is three times as fast in the second round changes nothing."""
    assert report(0.9, 0).loads["publish"].ratio.median == 0.9


def test_a_report_says_what_was_met_and_what_was_missed() -> None:
    """Four fifths of the rate are met, less is missed; so is more than 5 MB of growth."""
    assert "| met |" in markdown(report(0.8, 0))
    assert "| missed |" in markdown(report(0.79, 0))
    assert "met)" in markdown(report(1, 5 << 20))
    assert "missed)" in markdown(report(1, (5 << 20) + 1))
