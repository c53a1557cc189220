"""The form of an export: what is written is read again, and anything else is refused by one error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.records import (
    BadExportError,
    DeliveryRecord,
    End,
    GroupRecord,
    Header,
    LastRecord,
    MessageRecord,
    QueueEnd,
    Record,
    Revocation,
    decode_records,
    encode_record,
)
from common.identifiers import MessageId
from storage_node.store.interface import DeliveryRow, GroupRow, Lane, RevocationRow, StoredMessage

ids = st.binary(min_size=16, max_size=16).map(MessageId)
names = st.text(max_size=20)
numbers = st.integers(0, 1 << 62)
messages = st.builds(
    StoredMessage,
    message_id=ids,
    body=st.binary(max_size=200),
    content_type=st.none() | names,
    attributes=st.dictionaries(names, names, max_size=3),
    expires_ticks=numbers,
)
groups = st.builds(
    GroupRow,
    group=names,
    created_ticks=numbers,
    start=names,
    ends=st.dictionaries(st.integers(1, 200), ids, max_size=3),
)
rows = st.builds(DeliveryRow, version=st.binary(max_size=16), state=st.binary(max_size=200))
lanes = st.sampled_from(Lane)
records: st.SearchStrategy[Record] = st.one_of(
    st.builds(MessageRecord, partition=numbers, lane=lanes, message=messages),
    st.builds(LastRecord, partition=numbers, lane=lanes, last=ids),
    st.builds(GroupRecord, row=groups),
    st.builds(DeliveryRecord, partition=numbers, group=names, row=rows),
    st.builds(QueueEnd, messages=numbers),
    st.builds(Revocation, application=names, row=st.builds(RevocationRow, names, numbers, numbers)),
)
END = End(queues=0, messages=0)


@given(st.lists(records, max_size=8))
def test_what_is_written_is_read_again(middle: list[Record]) -> None:
    """Every record, in its order, one a line."""
    whole = [Header(), *middle, END]
    lines = [encode_record(record) for record in whole]
    assert all(line.count(b"\n") == 1 for line in lines)
    assert [record for record, _ in decode_records(lines)] == whole


@given(st.lists(records, min_size=1, max_size=4), st.data())
def test_what_is_cut_off_is_refused(middle: list[Record], data: st.DataObject) -> None:
    """Wherever it ends."""
    text = b"".join(map(encode_record, [Header(), *middle, END]))
    cut = text[: data.draw(st.integers(0, len(text) - 2))]
    with pytest.raises(BadExportError):
        list(decode_records(cut.splitlines(keepends=True)))


@given(st.lists(st.binary(max_size=60), max_size=4))
def test_any_bytes_are_refused_by_one_error(lines: list[bytes]) -> None:
    """Nothing else is raised."""
    with pytest.raises(BadExportError):
        list(decode_records(lines))


def test_another_format_is_named() -> None:
    """A later version's file says so."""
    with pytest.raises(BadExportError, match="format is 2"):
        list(decode_records([encode_record(Header(format=2)), encode_record(END)]))
