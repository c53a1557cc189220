"""Receipts: what a claim gives out and an ack brings back, opaque to clients and made only here.

::

    MAC 16 | version 1 | message id 16 | token 6 | lane 1 | partition 2 | delivery 2 | epoch 4 | end, ms 8 | group

in base64url without padding, at most 200 characters.  The MAC is keyed with the queue's internal id, which never
leaves the service: a receipt of another queue, or of this name's earlier life, is none here.
"""

from __future__ import annotations

import binascii
import hmac
import struct
from functools import lru_cache
from hashlib import blake2b
from typing import Final

import msgspec

from common import limits
from common.identifiers import TICKS_PER_MS, MessageId, QueueId
from common.protocol.failures import Code, FailureError, refuse
from storage_node.delivery.state import Lease
from storage_node.store.interface import Lane

VERSION: Final = 1
_HEAD: Final = struct.Struct(">B16s6sBHHIQ")
_MAC_BYTES: Final = 16
_DELIVERIES_MAX: Final = 0xFFFF
_QUEUES_KEPT_MAX: Final = 1_000
_LANES: Final = tuple(Lane)
_TO_URL: Final = bytes.maketrans(b"+/", b"-_")
_FROM_URL: Final = bytes.maketrans(b"-_", b"+/")
_PADDING: Final = ("", "===", "==", "=")


class Receipt(msgspec.Struct, frozen=True):
    """A lease and where it is."""

    lease: Lease
    partition: int
    group: str


def write_receipt(queue_id: QueueId, receipt: Receipt) -> str:
    """Return the text for a client."""
    lease = receipt.lease
    head = _HEAD.pack(
        VERSION,
        lease.message_id,
        lease.token,
        lease.lane,
        receipt.partition,
        min(lease.delivery, _DELIVERIES_MAX),
        lease.epoch,
        lease.until_ticks // TICKS_PER_MS,
    )
    told = head + receipt.group.encode()
    data = binascii.b2a_base64(_mac(queue_id, told) + told, newline=False)
    return data.translate(_TO_URL).rstrip(b"=").decode()


def read_receipt(queue_id: QueueId, text: str) -> Receipt:
    """Read what ``write_receipt`` wrote for this queue.

    Raises:
        FailureError: ``BAD_RECEIPT``, for every other text.
    """
    told = _told(queue_id, text)
    if told is None or told[0] != VERSION:
        raise bad_receipt()
    _, message_id, token, lane, partition, delivery, epoch, until_ms = _HEAD.unpack_from(told)
    lease = Lease(MessageId(message_id), _LANES[lane], token, delivery, epoch, until_ms * TICKS_PER_MS)
    return Receipt(lease, partition, told[_HEAD.size :].decode())


def _told(queue_id: QueueId, text: str) -> bytes | None:
    if len(text) > limits.RECEIPT_CHARS_MAX or not text.isascii():
        return None
    try:
        sent = (text + _PADDING[len(text) % 4]).encode().translate(_FROM_URL)
        data = binascii.a2b_base64(sent, strict_mode=True)
    except ValueError:
        return None
    mac, told = data[:_MAC_BYTES], data[_MAC_BYTES:]
    if len(told) < _HEAD.size or not hmac.compare_digest(mac, _mac(queue_id, told)):
        return None
    return told


def bad_receipt() -> FailureError:
    """Make the refusal of a text that is no receipt of this queue."""
    return refuse(Code.BAD_RECEIPT, "receipts", "A receipt was not made by this service for this queue.")


def _mac(queue_id: QueueId, told: bytes) -> bytes:
    keyed = _keyed(queue_id).copy()
    keyed.update(told)
    return keyed.digest()


@lru_cache(maxsize=_QUEUES_KEPT_MAX)
def _keyed(queue_id: QueueId) -> blake2b:
    """Return the hash that has taken in a queue's key: a copy of it costs less than another one."""
    return blake2b(digest_size=_MAC_BYTES, key=queue_id, person=b"queuey-receipt")
