"""Property tests of v1's ``principles`` field."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.limits import PRINCIPALS_MAX
from common.principals import (
    BadPrincipalError,
    application_principal,
    domain_of,
    parse_email,
    parse_principal,
    parse_principals,
    user_principal,
)

WORDS = st.text(string.ascii_letters + string.digits + "!#$%&'*+/=?^_`{|}~-", min_size=1, max_size=12)
LOCAL_PARTS = st.lists(WORDS, min_size=1, max_size=4).map(".".join).filter(lambda text: len(text) <= 64)
LABELS = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9-]{0,10}[A-Za-z0-9])?", fullmatch=True)
DOMAINS = st.lists(LABELS, min_size=2, max_size=5).map(".".join)
EMAILS = st.builds("{}@{}".format, LOCAL_PARTS, DOMAINS)
APPLICATIONS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.~-]{0,20}", fullmatch=True)
PRINCIPALS = st.one_of(EMAILS.map("bid:{}".format), APPLICATIONS.map("app:{}".format))


def _read(text: str) -> tuple[tuple[str, ...], str]:
    try:
        return parse_principals(text), ""
    except BadPrincipalError as error:
        return (), error.part


@given(EMAILS)
def test_every_real_address_is_taken_and_keeps_its_local_part(email: str) -> None:
    """Dots, plus signs, dashes and sub-domains are ordinary; only the domain's letter case is lost."""
    canonical = parse_email(email)
    local_part, _, domain = email.rpartition("@")
    assert canonical == f"{local_part}@{domain.lower()}"
    assert domain_of(canonical) == domain.lower()


@given(st.lists(PRINCIPALS, min_size=1, max_size=10), st.sampled_from(["", " ", "\t", "  "]))
def test_a_list_is_its_members_in_order_each_once(principals: list[str], blank: str) -> None:
    """Reading a joined list gives the canonical form of each member, in order, without repetitions."""
    text = ",".join(blank + principal + blank for principal in principals)
    assert parse_principals(text) == tuple(dict.fromkeys(map(parse_principal, principals)))


@given(st.lists(PRINCIPALS, min_size=1, max_size=10))
def test_reading_is_idempotent(principals: list[str]) -> None:
    """What was read once reads as itself."""
    once = parse_principals(",".join(principals))
    assert parse_principals(",".join(once)) == once


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_by_one_named_error(text: str) -> None:
    """Any text gives canonical principals or BadPrincipalError, which names a part of that text."""
    principals, part = _read(text)
    assert part in text
    assert all(parse_principal(principal) == principal for principal in principals)


@given(EMAILS, EMAILS)
def test_two_users_are_equal_only_if_their_canonical_addresses_are(one: str, other: str) -> None:
    """Comparison is comparison of texts: nothing beside the domain's letter case is folded."""
    same = one.rpartition("@")[0] == other.rpartition("@")[0] and domain_of(one.lower()) == domain_of(other.lower())
    assert (user_principal(one) == user_principal(other)) == same


@given(EMAILS, st.sampled_from('\x00\n\r ,;"\\()<>[]:é@'))
def test_an_address_with_a_foreign_character_is_refused(email: str, character: str) -> None:
    """Blanks, separators, quotes, control characters, letters beyond ASCII and a second ``@`` are no address."""
    for text in (character + email, email + character, email.replace("@", character + "@", 1)):
        with pytest.raises(BadPrincipalError):
            parse_email(text)


@pytest.mark.parametrize(
    "email",
    [
        "ann@example.org",
        "ann.lee@mail.example.co.uk",
        "ann+queuey@example.org",
        "ann-marie_o'neil@sub-domain.example.org",
        "a@b.c",
        "x@xn--bcher-kva.example",
    ],
)
def test_addresses_that_v1_refused_are_taken(email: str) -> None:
    """What 0.8's narrow pattern could not name can be listed now."""
    assert parse_principals(f"app:web,bid:{email}") == ("app:web", f"bid:{email}")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", ""),
        ("app:web,", ""),
        ("app:web,,bid:a@b.org", ""),
        ("app:web,web", "web"),
        ("app:", "app:"),
        ("app:a b", "app:a b"),
        ("bid:ann", "bid:ann"),
        ("bid:ann@localhost", "bid:ann@localhost"),
        ("bid:@example.org", "bid:@example.org"),
        ("bid:.ann@example.org", "bid:.ann@example.org"),
        ("bid:ann..lee@example.org", "bid:ann..lee@example.org"),
        ("bid:ann@-example.org", "bid:ann@-example.org"),
        ("bid:ann@example.org.", "bid:ann@example.org."),
        ("bid:ann@ex\u0430mple.org", "bid:ann@ex\u0430mple.org"),
        ("BID:ann@example.org", "BID:ann@example.org"),
        ("app:web\n", "app:web\n"),
        ("bid:" + "a" * 65 + "@example.org", "bid:" + "a" * 65 + "@example.org"),
    ],
)
def test_the_refusal_names_the_bad_part(text: str, part: str) -> None:
    """A list is refused as a whole, and the error says which entry is at fault."""
    with pytest.raises(BadPrincipalError) as caught:
        parse_principals(text)
    assert caught.value.part == part[:80]


def test_a_list_that_is_too_long_is_refused() -> None:
    """Both the number of entries and the length of the field are bounded."""
    assert len(parse_principals(",".join(f"app:a{i}" for i in range(PRINCIPALS_MAX)))) == PRINCIPALS_MAX
    with pytest.raises(BadPrincipalError):
        parse_principals(",".join(f"app:a{i}" for i in range(PRINCIPALS_MAX + 1)))
    with pytest.raises(BadPrincipalError):
        parse_principals("app:" + "a" * 5_000)


def test_applications_keep_their_letter_case() -> None:
    """``app:Web`` and ``app:web`` are two applications."""
    assert parse_principals("app:Web,app:web") == ("app:Web", "app:web")
    assert application_principal("my-app.v2") == parse_principal("app:my-app.v2")
