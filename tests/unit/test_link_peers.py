"""How old a request is, judged without comparing two machines' clocks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from storage_node.peers import OFFSET_WINDOW_MS, OffsetFilter


@given(st.integers(-(10**12), 10**12), st.lists(st.integers(0, 4_000), min_size=1, max_size=20))
def test_waiting_shows_whatever_the_clocks_say(skew_ms: int, gaps_ms: list[int]) -> None:
    """With a steady flow nothing seems late, however far apart the clocks are; what really waited does."""
    offsets, now_ms = OffsetFilter(), 1_000_000
    for gap_ms in gaps_ms:
        now_ms += gap_ms
        assert offsets.waited_ms(now_ms + skew_ms - 3, now_ms) == 0
    frozen_ms = 9_000
    assert offsets.waited_ms(now_ms + skew_ms - 3, now_ms + frozen_ms) == frozen_ms


def test_a_suspended_front_end_is_believed_again_soon() -> None:
    """After its clock stood still everything seems late, for little longer than two windows."""
    offsets, now_ms = OffsetFilter(), 1_000_000
    offsets.waited_ms(now_ms, now_ms)
    waited = []
    for second in range(13):
        now_ms = 1_000_000 + second * 1_000
        waited.append(offsets.waited_ms(now_ms - 2_500, now_ms))
    assert waited[1] == 2_500
    assert waited[2 * OFFSET_WINDOW_MS // 1_000 + 2] == 0


def test_the_first_request_of_a_connection_is_taken_as_fresh() -> None:
    """There is nothing to compare it with."""
    assert OffsetFilter().waited_ms(5, 10) == 0
    assert OffsetFilter().waited_ms(-(10**9), 10**9) == 0
