"""Which data centre serves an application, as the configuration says it."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from common.clock import SYSTEM_CLOCK
from common.homes import home_problems, is_home
from common.protocol.envelope import RequestContext
from common.protocol.failures import Code, FailureError
from common.protocol.operations import ListMembers, ListQueues, Members
from common.settings import ApplicationSettings, Settings, StoreSettings
from storage_node.dispatch import DeliveryOperations, Dispatch
from tests.support.log_node import NOTES, LogNode
from tests.support.stores import MemoryStore


def settings(home: str, *, quorum: str = "local", backend: str = "cassandra") -> Settings:
    store = StoreSettings(
        backend=backend,  # type: ignore[arg-type]
        quorum=quorum,  # type: ignore[arg-type]
        local_dc="dc1",
        replication={"dc1": 3, "dc2": 3},
    )
    return Settings(store=store, applications={"notes": ApplicationSettings(home_dc=home)})


@pytest.mark.parametrize(
    ("configured", "reason"),
    [
        (settings("dc1"), None),
        (settings("dc2"), None),
        (settings(""), "is missing"),
        (settings("dc9"), "no data centre"),
        (settings("", quorum="global"), None),
        (settings("dc1", quorum="global"), "means nothing"),
        (settings("dc1", backend="sqlite"), "means nothing"),
    ],
)
def test_a_home_is_named_where_and_only_where_quorums_are_local(configured: Settings, reason: str | None) -> None:
    """A home that means nothing, or none where one is needed, stops the start."""
    found = list(home_problems(configured))
    assert [key for key, _ in found] == ([] if reason is None else ["applications.notes.home_dc"])
    assert reason is None or reason in found[0][1]
    assert [
        (problem.key, problem.reason) for problem in configured.contradictions() if "home" in problem.key
    ] == found


def test_every_node_is_at_home_where_quorums_are_global() -> None:
    """Otherwise those of the application's own data centre; none is for an application that is not known."""
    assert is_home(settings("", quorum="global"), "notes")
    assert is_home(settings("", quorum="global"), "other")
    assert is_home(settings("dc1"), "notes")
    assert not is_home(settings("dc2"), "notes")
    assert not is_home(settings("dc1"), "other")


def test_a_node_that_is_not_at_home_moves_calls_on() -> None:
    """Before it asks its store; what belongs to no application it answers."""

    async def test() -> None:
        store = MemoryStore()
        node = LogNode(store)
        dispatch = Dispatch(
            store,
            node.queues,
            node.logs,
            cast("DeliveryOperations", None),
            members=nobody,
            clock=SYSTEM_CLOCK,
            is_home=lambda application: application == "other",
        )
        context = RequestContext(deadline_s=SYSTEM_CLOCK.monotonic_s() + 5, log_id="", traceparent="")
        wanted = ListQueues(application="notes", caller=NOTES, offset=None, limit=1, include_count=False)
        with pytest.raises(FailureError) as caught:
            await dispatch(wanted, context)
        assert caught.value.failure.code is Code.MOVED
        assert await dispatch(ListMembers(), context) == Members(members=())
        await node.logs.close()

    asyncio.run(test())


async def nobody() -> Members:
    return Members(members=())
