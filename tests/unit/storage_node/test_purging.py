"""A purge is done once the queue has another internal id, whatever becomes of the data of the old one."""

from __future__ import annotations

import asyncio
from pathlib import Path

from common.clock import SYSTEM_CLOCK
from storage_node.store.errors import StoreOverloadedError
from storage_node.store.interface import QueueRow
from storage_node.store.sqlite.store import SqliteStore, _open_connections
from tests.support.log_node import LogNode, bodies


class BusyAfterwards(SqliteStore):
    """Has too much to do to give data up."""

    async def forget_data(self, row: QueueRow) -> None:
        raise StoreOverloadedError("too many requests are waiting for the store")


def test_a_purge_whose_data_could_not_be_given_up_is_done(tmp_path: Path) -> None:
    """Told as refused it would be made again, and take what was published since."""

    async def scenario() -> None:
        store = BusyAfterwards(_open_connections(tmp_path / "queuey.sqlite3"), SYSTEM_CLOCK)
        node = LogNode(store)
        queue = await node.queue()
        await node.publish(queue, b"before")
        await node.queues.purge(queue.application, queue.name)
        emptied = await node.queues.find(queue.application, queue.name, fresh=True)
        assert emptied.queue_id != queue.queue_id
        await node.publish(emptied, b"after")
        assert bodies(await node.read(emptied)) == [b"after"]
        await node.logs.close()
        await store.close()

    asyncio.run(scenario())
