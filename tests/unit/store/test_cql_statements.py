"""The statements and steps as source: complete, marked as what they are, and without what a request must not do."""

from __future__ import annotations

from collections import Counter

import pytest

from common.clock import SYSTEM_CLOCK
from common.identifiers import TICKS_PER_SECOND, UUID_EPOCH_TICKS
from storage_node.store.cql.schema import load_steps
from storage_node.store.cql.statements import LIFETIMES, Kind, Level, Statement, load_statements
from storage_node.store.cql.times import TTL_S_CEILING, TTL_S_FLOOR, micros_of, ticks_of_micros, ttl_until

STATEMENTS = load_statements()


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda statement: statement.name)
def test_a_statement_is_what_its_head_says(statement: Statement) -> None:
    """Kind, table and consistency agree with the text; nothing filters or scans."""
    words = statement.text.split()
    assert (words[0] == "SELECT") == (statement.kind in (Kind.READ, Kind.SERIAL))
    assert (" IF " in statement.text) == (statement.kind is Kind.CONDITIONAL)
    assert (statement.level is Level.SERIAL) == (statement.kind is Kind.SERIAL)
    assert statement.table in words
    assert "FILTERING" not in statement.text
    assert "WHERE" in words or words[0] == "INSERT" or statement.table == "system.local"


def test_names_are_unique_and_each_lifetime_has_all_of_its_statements() -> None:
    """A statement over messages exists once for each table."""
    assert max(Counter(statement.name for statement in STATEMENTS).values()) == 1
    of_messages = Counter(statement.table for statement in STATEMENTS if statement.table.startswith("messages_"))
    assert set(of_messages) == {f"messages_{lifetime}" for lifetime in LIFETIMES}
    assert len(set(of_messages.values())) == 1


def test_every_head_line_was_understood() -> None:
    """A head that the parser passes over would be a statement that nobody prepares."""
    from importlib.resources import files

    source = files("storage_node.store.cql").joinpath("statements.cql").read_text()
    assert source.count("-- name:") == len(
        {statement.name.removesuffix(_lifetime(statement)) for statement in STATEMENTS}
    )


def _lifetime(statement: Statement) -> str:
    _, _, lifetime = statement.table.partition("messages_")
    return lifetime


def test_steps_hold_only_tables_that_may_be_made_twice() -> None:
    """A step that was cut off is applied again from its beginning."""
    steps = load_steps()
    assert steps
    assert all(text.startswith("CREATE TABLE IF NOT EXISTS ") for step in steps for text in step.statements)


def test_a_ttl_never_ends_before_the_time_it_is_for() -> None:
    """Rounded up, with a floor for what is past and the server's ceiling."""
    now = SYSTEM_CLOCK.now_ticks()
    for seconds in (1, 59, 3_600, 33_554_432):
        for more in (0, 1, TICKS_PER_SECOND - 1):
            assert ttl_until(now + seconds * TICKS_PER_SECOND + more, now) * TICKS_PER_SECOND >= seconds + more
    assert ttl_until(0, now) == TTL_S_FLOOR
    assert ttl_until(2 * now, now) == TTL_S_CEILING


def test_a_later_write_time_is_a_later_stamp() -> None:
    """Ticks become microseconds rounded up, and come back no earlier."""
    for ticks in (UUID_EPOCH_TICKS + 1, UUID_EPOCH_TICKS + 9, UUID_EPOCH_TICKS + 10):
        assert micros_of(ticks) == 1
        assert ticks_of_micros(micros_of(ticks)) >= ticks
