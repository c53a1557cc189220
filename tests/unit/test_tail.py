"""What ``queuey tail`` shows of pages that overlap."""

from __future__ import annotations

from cli.tail import SEEN_MAX, Key, unseen


def page(*places: tuple[int, str]) -> list[dict[str, object]]:
    """Return messages at these places."""
    return [{"partition": partition, "message_id": message_id} for partition, message_id in places]


def test_a_message_that_a_page_repeats_is_shown_once() -> None:
    """As a plain log repeats what is younger than its late window; the same id in another partition is another."""
    seen: dict[Key, None] = {}
    first, second = page((1, "a"), (1, "b")), page((1, "b"), (2, "b"), (1, "c"))
    assert list(unseen(first, seen)) == first
    assert list(unseen(second, seen)) == second[1:]
    assert list(unseen(second, seen)) == []


def test_what_is_remembered_is_bounded() -> None:
    """The oldest goes first."""
    seen: dict[Key, None] = dict.fromkeys((1, str(number)) for number in range(SEEN_MAX))
    assert list(unseen(page((2, "new")), seen)) == page((2, "new"))
    assert len(seen) == SEEN_MAX
    assert (1, "0") not in seen
