"""What walks through one lane of a log have shown, from a group's position upwards.

All parts of a window continue one walk: it began at or below position, and each further listing begins no higher
than where the walk can be trusted.  So position may move on the ground of it, up to ``sure``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

from common.identifiers import MessageId
from storage_node.delivery.lifecycle import Stage
from storage_node.delivery.state import State, stage_of
from storage_node.store.interface import Lane


class Window:
    """Ids above ``began``, ascending; those above ``sure`` may have others between them."""

    __slots__ = ("_next", "began", "ids", "known_until", "lane", "listed_s", "seen", "sure")

    def __init__(self, lane: Lane, began: MessageId) -> None:
        self.lane = lane
        self.began = began
        self.sure = began
        self.seen = began
        """The highest id that a listing reached."""
        self.known_until = began
        """Up to here the last listing from ``sure`` on showed all that was acknowledged before it began."""
        self.ids: list[MessageId] = []
        self.listed_s: float | None = None
        """Monotonic seconds when the last listing that moved ``sure`` began."""
        self._next = 0

    def merge(self, listed: Sequence[MessageId], *, low: MessageId, sure: MessageId) -> None:
        """Add a listing of the ids above ``low`` (exclusive) that can be trusted up to ``sure``."""
        cut = bisect_right(self.ids, low)
        tail = self.ids[cut:]
        if not tail:
            self.ids.extend(listed)
        elif listed:
            self.ids[cut:] = sorted({*tail, *listed})
            self._next = min(self._next, cut)
        if low <= self.sure:
            self.sure = max(self.sure, sure)
        self.seen = max(self.seen, self.sure, listed[-1] if listed else self.began)

    def fresh(self, state: State) -> Iterator[MessageId]:
        """Iterate over the new ones; what is settled or leased is stepped over once."""
        while self._next < len(self.ids) and self._is_old(state, self.ids[self._next]):
            self._next += 1
        for index in range(self._next, len(self.ids)):
            if not self._is_old(state, self.ids[index]):
                yield self.ids[index]

    def _is_old(self, state: State, message_id: MessageId) -> bool:
        return stage_of(state, self.lane, message_id) is not Stage.NEW

    def look_again(self) -> None:
        """Forget what was stepped over: the state is another."""
        self._next = 0

    def remove(self, gone: Iterable[MessageId]) -> None:
        """Take out what is no longer in the log."""
        missing = set(gone)
        self.ids = [message_id for message_id in self.ids if message_id not in missing]
        self._next = 0

    def last_within(self, count: int, low: MessageId) -> MessageId:
        """Return the highest of the first ``count`` ids above ``low``, or ``low``."""
        cut = bisect_right(self.ids, low)
        return self.ids[min(cut + count, len(self.ids)) - 1] if cut < len(self.ids) else low

    def above(self, position: MessageId) -> Iterator[MessageId]:
        """Iterate over the ids above position."""
        for index in range(bisect_right(self.ids, position), len(self.ids)):
            yield self.ids[index]

    def prune(self, position: MessageId) -> None:
        """Let go of what position has passed."""
        passed = bisect_right(self.ids, position)
        if passed:
            del self.ids[:passed]
            self._next = max(0, self._next - passed)
        self.began = max(self.began, position)
        self.sure = max(self.sure, position)
        self.seen = max(self.seen, position)
