"""Receipts: made here, for one queue, or refused."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.identifiers import QueueId, make_id
from common.limits import RECEIPT_CHARS_MAX
from common.protocol.failures import Code, FailureError
from storage_node.delivery.receipts import Receipt, read_receipt, write_receipt
from storage_node.delivery.state import Lease
from storage_node.store.interface import Lane
from tests.support.clock import START_TICKS

QUEUE = QueueId(b"0123456789abcdef")
LEASE = Lease(make_id(START_TICKS, b"writer-1"), Lane.DELAYED, b"token1", 7, 3, START_TICKS // 10_000 * 10_000)
RECEIPT = Receipt(LEASE, 200, "g" * 50)


def test_a_receipt_says_what_the_lease_was() -> None:
    """Everything that the row must know comes back; it is short and fits a URL."""
    text = write_receipt(QUEUE, RECEIPT)
    assert read_receipt(QUEUE, text) == RECEIPT
    assert re.fullmatch(r"[A-Za-z0-9_-]+", text)
    assert len(text) <= RECEIPT_CHARS_MAX


def test_a_receipt_of_another_queue_is_none_here() -> None:
    """The internal id is the key, so a queue made again under its name knows none of the old ones."""
    text = write_receipt(QueueId(b"another queue id"), RECEIPT)
    with pytest.raises(FailureError) as refusal:
        read_receipt(QUEUE, text)
    assert refusal.value.failure.code is Code.BAD_RECEIPT


@given(st.integers(0, 160), st.characters())
def test_a_bent_receipt_is_refused(at: int, character: str) -> None:
    """One changed character is noticed."""
    text = write_receipt(QUEUE, RECEIPT)
    at %= len(text) - 1
    bent = text[:at] + character + text[at + 1 :]
    if bent != text:
        with pytest.raises(FailureError):
            read_receipt(QUEUE, bent)


@given(st.text(max_size=250))
def test_any_text_is_refused_by_name(text: str) -> None:
    """Nothing but the named refusal is raised."""
    with pytest.raises(FailureError) as refusal:
        read_receipt(QUEUE, text)
    assert refusal.value.failure.code is Code.BAD_RECEIPT
