"""Splitting the ``Authorization`` header."""

from __future__ import annotations

import time

import pytest

from api.auth.credentials import Scheme, parse_authorization
from api.auth.errors import AuthCode, AuthError


def test_credentials_are_joined_by_semicolons() -> None:
    """Each part is a credential of its own, in order."""
    found = parse_authorization("Application one; BrowserID a~b;Bearer x.y.z ; Link q1.k.p.m")
    assert [(credential.scheme, credential.value) for credential in found] == [
        (Scheme.APPLICATION, "one"),
        (Scheme.BROWSERID, "a~b"),
        (Scheme.BEARER, "x.y.z"),
        (Scheme.LINK, "q1.k.p.m"),
    ]


@pytest.mark.parametrize("header", ["", ";", "Basic dXNlcg==", "application key", "Application", "browserid x"])
def test_unrecognised_parts_are_ignored(header: str) -> None:
    """As in v1: a scheme that is not ours, or in other letters, is no credential."""
    assert parse_authorization(header) == ()


def test_bearer_is_known_in_any_letters() -> None:
    """That word belongs to HTTP, where letter case does not count."""
    assert [credential.scheme for credential in parse_authorization("bearer x;BEARER y")] == [Scheme.BEARER] * 2


@pytest.mark.parametrize("header", ["Application " + "x" * 20_000, "Application x;" * 9])
def test_a_header_out_of_bounds_is_refused(header: str) -> None:
    """Neither length nor number of credentials is unbounded."""
    with pytest.raises(AuthError) as caught:
        parse_authorization(header)
    assert caught.value.code is AuthCode.MALFORMED_AUTHORIZATION
    assert caught.value.field == "InvalidAuthorization"


def test_a_header_of_separators_costs_nothing() -> None:
    """As many empty parts as fit are still one credential, read in one pass."""
    started_s = time.monotonic()
    (credential,) = parse_authorization("Application x" + ";" * 16_000)
    assert len(credential.tail) == 16_000
    assert time.monotonic() - started_s < 0.5
