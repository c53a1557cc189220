"""The memory of verified tokens."""

from __future__ import annotations

from api.auth.verified_tokens import VerifiedTokens
from common.limits import TOKEN_REMEMBERED_MS_MAX
from tests.support.browserid import NOW_MS


def test_a_token_is_remembered_until_it_ends() -> None:
    """Never a millisecond longer."""
    tokens = VerifiedTokens()
    tokens.remember("token", "bid:a@b.org", expires_ms=NOW_MS + 1_000, now_ms=NOW_MS)
    assert tokens.principal_or_none("token", now_ms=NOW_MS + 999) == "bid:a@b.org"
    assert tokens.principal_or_none("token", now_ms=NOW_MS + 1_000) is None
    assert len(tokens) == 0


def test_a_long_token_is_verified_again_after_five_minutes() -> None:
    """A key that its issuer withdrew stops counting."""
    tokens = VerifiedTokens()
    tokens.remember("token", "bid:a@b.org", expires_ms=NOW_MS + 86_400_000, now_ms=NOW_MS)
    assert tokens.principal_or_none("token", now_ms=NOW_MS + TOKEN_REMEMBERED_MS_MAX - 1) is not None
    assert tokens.principal_or_none("token", now_ms=NOW_MS + TOKEN_REMEMBERED_MS_MAX) is None


def test_an_unknown_token_is_not_remembered() -> None:
    """Also one that is no encodable text."""
    assert VerifiedTokens().principal_or_none("\ud800", now_ms=NOW_MS) is None


def test_the_least_recently_used_token_makes_room() -> None:
    """The memory is bounded."""
    tokens = VerifiedTokens(entries_max=2)
    for name in ("one", "two"):
        tokens.remember(name, name, expires_ms=NOW_MS + 1_000, now_ms=NOW_MS)
    tokens.principal_or_none("one", now_ms=NOW_MS)
    tokens.remember("three", "three", expires_ms=NOW_MS + 1_000, now_ms=NOW_MS)
    assert [tokens.principal_or_none(name, now_ms=NOW_MS) for name in ("one", "two", "three")] == [
        "one",
        None,
        "three",
    ]


def test_no_token_is_in_memory() -> None:
    """Hashes are kept, under a key of the process."""
    tokens = VerifiedTokens()
    tokens.remember("s3cr3t-token", "bid:a@b.org", expires_ms=NOW_MS + 1_000, now_ms=NOW_MS)
    assert "s3cr3t" not in repr(vars(tokens))
