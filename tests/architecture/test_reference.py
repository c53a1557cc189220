"""The reference is what the code says."""

from __future__ import annotations

from pathlib import Path

from cli.reference import reference
from common import limits

REFERENCE = Path(__file__).parents[2] / "docs" / "reference.md"


def test_the_reference_is_generated_from_the_code() -> None:
    """After a change: ``make docs``."""
    assert REFERENCE.read_text() == reference()


def test_every_limit_says_what_it_bounds() -> None:
    """The docstring under a limit is its text in the reference."""
    lines = REFERENCE.read_text().splitlines()
    for name in (name for name in vars(limits) if name.isupper()):
        (line,) = [line for line in lines if line.startswith(f"| `{name}` |")]
        assert line.split("|")[3].strip(), name
