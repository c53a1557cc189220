"""What a follower has handed out already and a resume may repeat."""

from __future__ import annotations

from collections.abc import Iterator

from queuey_client.values import Message, Page


class Seen:
    """Drops repeats: ids later than the last ``complete_until`` of their partition are remembered, no others."""

    def __init__(self) -> None:
        self._ids: dict[int, set[str]] = {}

    def new(self, page: Page) -> Iterator[Message]:
        """Yield the messages of a page that were not yielded before."""
        for message in page.messages:
            ids = self._ids.setdefault(message.partition, set())
            if message.message_id not in ids:
                ids.add(message.message_id)
                yield message
        for partition, until in page.complete_until.items():
            kept = self._ids.get(partition, set())
            self._ids[partition] = {text for text in kept if time_of(text) >= time_of(until)}


def time_of(message_id: str) -> str:
    """Return the time of a version-1 UUID's hex as text that sorts by time."""
    return message_id[13:16] + message_id[8:12] + message_id[:8]
