"""The calls as values: what to send, how to read the answer, and whether it may be sent again.  No I/O."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Generic, TypeAlias, TypeVar
from urllib.parse import quote

from queuey_client.values import Claim, Json, Message, NewMessage, Page, Published, Settled

T = TypeVar("T")

ANSWER_S = 15.0
"""Seconds to wait for an answer, beside the time that the call itself may wait: the service gives up after 10 s."""


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One call.  ``repeatable``: doing it twice does it once."""

    method: str
    path: str
    read: Callable[[Any], T]
    query: Mapping[str, str] = field(default_factory=dict)
    json: Mapping[str, Json] | None = None
    repeatable: bool = True
    wait_s: float = 0.0


def _nothing(_: Any) -> None:
    return None


NewMessages: TypeAlias = NewMessage | str | bytes | Sequence[NewMessage | str | bytes]
"""One message, or several."""
Receipts: TypeAlias = str | Sequence[str]
"""One receipt, or several."""


def queue_path(application: str, queue: str) -> str:
    """Return the path of a queue."""
    return f"/v1/{quote(application, safe='')}/{quote(queue, safe='')}"


def create(application: str, queue: str, options: Mapping[str, Json]) -> Call[Mapping[str, Json]]:
    """Create a queue, or change what is given of an existing one."""
    path = f"/v1/{quote(application, safe='')}"
    return Call("POST", path, dict, json={"queue_name": queue, **options})


def delete(path: str) -> Call[None]:
    """Delete the queue.  Repeated it would say 404, or delete a queue made meanwhile: so it is not."""
    return Call("DELETE", path, _nothing, repeatable=False)


def publish(path: str, messages: NewMessages) -> Call[tuple[Published, ...]]:
    """Publish; every message gets its key here, once, before the first attempt."""
    several = (messages,) if isinstance(messages, (NewMessage, str, bytes)) else messages
    items: list[Json] = [(one if isinstance(one, NewMessage) else NewMessage(one)).to_json() for one in several]
    return Call("POST", path, lambda answer: tuple(map(_published, answer["messages"])), json={"messages": items})


def read(path: str, options: Mapping[str, object], *, wait: float = 0.0) -> Call[Page]:
    """Read a page; ``wait`` in seconds holds it open until there is something."""
    query = {name: _query_text(value) for name, value in options.items() if value is not None}
    if wait:
        query["wait"] = str(wait)
    return Call("GET", path, _page, query=query, wait_s=wait)


def claim(
    path: str,
    *,
    limit: int,
    lease: float | None,
    wait: float,
    group: str,
    partitions: Sequence[int] | None,
    claim_id: str | None,
) -> Call[tuple[Claim, ...]]:
    """Claim; the ``claim_id``, made here where none is given, is what makes it repeatable."""
    json: dict[str, Json] = {"limit": limit, "wait": wait, "group": group, "claim_id": claim_id or uuid.uuid4().hex}
    if lease is not None:
        json["lease"] = lease
    if partitions is not None:
        json["partitions"] = list(partitions)
    return Call("POST", f"{path}/claims", lambda answer: tuple(map(_claim, answer["claims"])), json=json, wait_s=wait)


def ack(path: str, receipts: Receipts) -> Call[tuple[Settled, ...]]:
    """Settle; repeated it says so again."""
    return Call("POST", f"{path}/acks", _settled_all, json={"receipts": _listed(receipts)})


def release(path: str, receipts: Receipts, delay: float) -> Call[tuple[Settled, ...]]:
    """Give back."""
    json: dict[str, Json] = {"receipts": _listed(receipts), "delay": delay}
    return Call("POST", f"{path}/releases", _settled_all, json=json, repeatable=False)


def extend(path: str, receipts: Receipts, lease: float | None) -> Call[tuple[Settled, ...]]:
    """Hold longer."""
    sent = [receipts] if isinstance(receipts, str) else list(receipts)
    json: dict[str, Json] = {"receipts": _listed(sent)}
    if lease is not None:
        json["lease"] = lease
    return Call("POST", f"{path}/extensions", lambda answer: _extended_all(sent, answer), json=json, repeatable=False)


def ask(path: str, receipt: str) -> Call[Settled]:
    """Ask whether an ack counted."""
    return Call(
        "GET", f"{path}/acks/{quote(receipt, safe='')}", lambda answer: _settled({"receipt": receipt, **answer})
    )


def _listed(receipts: Receipts) -> list[Json]:
    return [receipts] if isinstance(receipts, str) else list(receipts)


def _query_text(value: object) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(map(str, value))
    return str(value)


def _published(item: Mapping[str, Any]) -> Published:
    return Published(item["key"], item["partition"], Decimal(item["timestamp"]))


def _message(item: Mapping[str, Any]) -> Message:
    body = item["body"]
    return Message(
        message_id=item["message_id"],
        partition=item["partition"],
        timestamp=Decimal(item["timestamp"]),
        body=base64.b64decode(body) if item.get("encoding") == "base64" else body.encode(),
        content_type=item.get("content_type"),
        attributes=item.get("attributes") or {},
    )


def _page(answer: Mapping[str, Any]) -> Page:
    complete = {int(partition): text for partition, text in (answer.get("complete_until") or {}).items()}
    return Page(tuple(map(_message, answer["messages"])), answer["next"], complete)


def _claim(item: Mapping[str, Any]) -> Claim:
    until = item.get("lease_until")
    return Claim(_message(item), item["deliveries"], item.get("receipt"), None if until is None else Decimal(until))


def _settled(item: Mapping[str, Any]) -> Settled:
    until = item.get("lease_until")
    return Settled(item["receipt"], item["outcome"], None, None if until is None else Decimal(until))


def _extended_all(receipts: Sequence[str], answer: Mapping[str, Any]) -> tuple[Settled, ...]:
    """The service answers an extension with the receipt to use from now on."""
    settled = zip(receipts, map(_settled, answer["results"]), strict=True)
    return tuple(replace(one, receipt=sent, new_receipt=one.receipt) for sent, one in settled)


def _settled_all(answer: Mapping[str, Any]) -> tuple[Settled, ...]:
    return tuple(map(_settled, answer["results"]))
