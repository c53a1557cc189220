"""How far a long command has come."""

from __future__ import annotations

import io

from cli.progress import Progress


class Terminal(io.StringIO):
    """A stream that a person looks at."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_a_bar_that_fills() -> None:
    """In one line, ended once."""
    stream = Terminal()
    progress = Progress("pages", total=4, stream=stream)
    progress.add(2)
    progress.set(4, 4)
    progress.end()
    shown = stream.getvalue()
    assert "[###############...............] 2/4 pages" in shown
    assert shown.endswith("[##############################] 4/4 pages\n")
    assert shown.count("\n") == 1


def test_what_is_quick_says_nothing_into_a_log() -> None:
    """A line only now and then."""
    stream = io.StringIO()
    progress = Progress("messages", stream=stream)
    progress.add(10)
    progress.end()
    assert stream.getvalue() == ""


def test_a_total_of_nothing_is_no_bar() -> None:
    """Only how many."""
    stream = Terminal()
    progress = Progress("messages", stream=stream)
    progress.add(1)
    progress.end()
    assert stream.getvalue().endswith("1 messages\n")
