"""Who may do what, against the contract's table written out naively."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from common.guarantees import Consistency, Guarantee, LogKind, Ordering, QueueType
from common.identifiers import QueueId
from common.protocol.operations import Caller, LinkGrant
from storage_node.access import LINK_OPERATION, Revoked, Right, is_allowed, is_granted, revoked_of
from storage_node.store.interface import QueueRow, RevocationRow

OWNER = "app:notes"
PRINCIPALS = (OWNER, "app:other", "bid:ann@example.com", "bid:bob@example.com")
CALLERS = st.lists(st.sampled_from(PRINCIPALS), unique=True).map(lambda names: Caller(principals=tuple(names)))
LISTS = st.one_of(st.none(), st.lists(st.sampled_from(PRINCIPALS), min_size=1, unique=True).map(",".join))
RIGHTS = st.sampled_from(Right)


def row(principles: str | None, kind: QueueType, name: str = "inbox") -> QueueRow:
    return QueueRow(
        application="notes",
        name=name,
        queue_id=QueueId(bytes(16)),
        version=1,
        created_ticks=0,
        guarantee=Guarantee.AT_LEAST_ONCE,
        log=LogKind.FENCED,
        lifetime=1,
        partitions=1,
        partitions_at_creation=1,
        type=kind,
        consistency=Consistency.STRONG,
        principles=principles,
        ttl_s=60,
        delay_ms=0,
        lease_ms=30_000,
        max_deliveries=0,
        dead_letter_queue="",
        ordering=Ordering.NONE,
        max_in_flight=1_000,
    )


def link(operations: tuple[str, ...], queue: str = "in", *, prefix: bool = True, epoch: int = 3) -> LinkGrant:
    return LinkGrant(link_id="l1", epoch=epoch, operations=operations, queue=queue, prefix=prefix, expires_ms=1_000)


@given(RIGHTS, CALLERS, LISTS, st.sampled_from(QueueType))
def test_principals_are_allowed_what_the_table_says(
    right: Right, caller: Caller, principles: str | None, kind: QueueType
) -> None:
    owner = OWNER in caller.principals
    listed = principles is not None and any(name in principles.split(",") for name in caller.principals)
    wanted = {
        Right.OWN: owner,
        Right.PUBLISH: owner,
        Right.READ: kind is QueueType.PUBLIC or (owner if principles is None else listed),
        Right.DELETE: owner if principles is None else listed,
        Right.CLAIM: owner if principles is None else listed,
    }
    assert is_allowed(right, caller, row(principles, kind)) is wanted[right]


@given(RIGHTS, LISTS, st.sampled_from(QueueType), st.sets(st.sampled_from(("read", "publish", "claim", "delete"))))
def test_a_link_grants_what_it_names_and_never_more_than_the_application_has(
    right: Right, principles: str | None, kind: QueueType, operations: set[str]
) -> None:
    queue = row(principles, kind)
    granted = is_granted(right, link(tuple(operations)), queue, now_ms=1, revoked=Revoked())
    named = LINK_OPERATION.get(right) in operations
    assert granted is (named and is_allowed(right, Caller(principals=(OWNER,)), queue))


def test_a_link_ends_with_its_time_its_epoch_and_its_revocation() -> None:
    queue = row(None, QueueType.USER)
    grant = link(("read",))

    def granted(*, now_ms: int = 1, revoked: Revoked = Revoked()) -> bool:  # noqa: B008 - an immutable value
        return is_granted(Right.READ, grant, queue, now_ms=now_ms, revoked=revoked)

    assert granted(now_ms=999)
    assert not granted(now_ms=1_000)
    assert not granted(revoked=Revoked(links=frozenset({"l1"})))
    assert granted(revoked=Revoked(epoch=3))
    assert not granted(revoked=Revoked(epoch=4))


def test_a_link_reaches_only_the_queues_it_names() -> None:
    inbox = row(None, QueueType.USER)
    for scope, prefix, wanted in (
        ("in", True, True),
        ("in", False, False),
        ("inbox", False, True),
        ("x", True, False),
    ):
        grant = link(("read",), scope, prefix=prefix)
        assert is_granted(Right.READ, grant, inbox, now_ms=1, revoked=Revoked()) is wanted


def test_revocations_are_summed_up() -> None:
    rows = [RevocationRow("a", 0, 9), RevocationRow("", 4, 9), RevocationRow("", 7, 9)]
    assert revoked_of(rows) == Revoked(frozenset({"a"}), 7)
