"""The life of a message: its table and its drawing."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage_node.delivery.lifecycle import NEXT, Event, IllegalMoveError, Stage, after, drawing

README = Path(__file__).parents[3] / "storage_node" / "README.md"


def test_the_drawing_in_the_readme_is_the_table() -> None:
    """What a reader sees is what the code does."""
    assert f"```mermaid\n{drawing()}\n```" in README.read_text()


def test_every_stage_can_be_reached_and_every_event_happens() -> None:
    """The table has no dead words."""
    assert set(NEXT.values()) | {Stage.NEW} == set(Stage)
    assert {event for _, event in NEXT} == set(Event)


def test_a_step_that_the_table_does_not_have_is_refused() -> None:
    """A settled message is never leased."""
    with pytest.raises(IllegalMoveError):
        after(Stage.SETTLED, Event.CLAIM)
