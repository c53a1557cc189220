"""Backed assertions: what counts, and each way in which one does not."""

from __future__ import annotations

import itertools
import json

import pytest

from api.auth.browserid import VerifiedAssertion
from api.auth.encoding import encode
from api.auth.errors import AuthCode, AuthError
from api.auth.issuers import Issuers
from common.identity_settings import BrowserIdSettings
from common.protocol.failures import Retry
from tests.support.browserid import (
    AUDIENCE,
    NOW_MS,
    Json,
    RsaSigner,
    assertion,
    backed_assertion,
    certificate,
    issuers_of,
    signed_token,
    signer,
    verifier,
)

EMAIL = "ann.lee+queuey@mail.example.org"
DOMAIN = "mail.example.org"
USER, ISSUER = signer(EMAIL), signer(DOMAIN)
GOOD_CERTIFICATE = certificate(EMAIL, USER, ISSUER, issuer_name=DOMAIN)
GOOD_ASSERTION = assertion(USER)
HEADER = encode(b'{"alg": "RS256"}')
SKEW_MS = 60_000


def _verify(text: str, *, now_ms: int = NOW_MS, settings: BrowserIdSettings | None = None) -> VerifiedAssertion:
    return verifier(settings).verify(text, now_ms=now_ms)


def _refusal(text: str, *, now_ms: int = NOW_MS, settings: BrowserIdSettings | None = None) -> AuthCode:
    with pytest.raises(AuthError) as caught:
        _verify(text, now_ms=now_ms, settings=settings)
    assert caught.value.field == "InvalidBrowserID"
    assert caught.value.retry is Retry.NO
    return caught.value.code


def _with_assertion(**changes: object) -> str:
    payload: Json = {"exp": NOW_MS + 120_000, "aud": AUDIENCE} | changes
    return f"{GOOD_CERTIFICATE}~{signed_token(payload, USER)}"


def _with_certificate(**changes: object) -> str:
    return f"{certificate(EMAIL, USER, ISSUER, issuer_name=DOMAIN, more=changes)}~{GOOD_ASSERTION}"


@pytest.mark.parametrize("algorithm", ["RS256", "DS256", "DS128"])
def test_a_good_assertion_names_its_user(algorithm: str) -> None:
    """The e-mail address of the certificate, its issuer, and when the first of both ends."""
    found = verifier(algorithm=algorithm).verify(backed_assertion(EMAIL, algorithm=algorithm), now_ms=NOW_MS)
    assert (found.email, found.issuer, found.expires_ms) == (EMAIL, DOMAIN, NOW_MS + 120_000)


def test_the_users_and_the_issuers_key_may_be_of_different_kinds() -> None:
    """Each token's algorithm belongs to the key that signed it."""
    user = signer(EMAIL, "DS256")
    text = f"{certificate(EMAIL, user, ISSUER, issuer_name=DOMAIN)}~{assertion(user)}"
    assert _verify(text).email == EMAIL


def test_the_domain_is_compared_in_lower_case_and_the_local_part_as_it_is() -> None:
    """The address comes back in its canonical form."""
    text = f"{certificate('Ann.Lee@Mail.Example.ORG', USER, ISSUER, issuer_name='MAIL.example.org')}~{GOOD_ASSERTION}"
    assert _verify(text).email == "Ann.Lee@mail.example.org"


@pytest.mark.parametrize("audience", ["https://queue.example.org:443", "https://QUEUE.example.org/"])
def test_one_origin_may_be_written_in_several_ways(audience: str) -> None:
    """Default port, letter case and a closing slash do not make another origin."""
    assert _verify(_with_assertion(aud=audience)).email == EMAIL


# --- size and shape ---------------------------------------------------------------------------------------


def test_an_oversized_assertion_is_refused() -> None:
    """Nothing is decoded of more than 8,192 characters."""
    assert _refusal(backed_assertion(EMAIL) + "A" * 8_192) is AuthCode.BROWSERID_TOO_LARGE


@pytest.mark.parametrize("text", [GOOD_ASSERTION, f"~{GOOD_ASSERTION}", ""], ids=["alone", "empty", "nothing"])
def test_an_assertion_stripped_of_its_certificate_is_refused(text: str) -> None:
    """An assertion alone proves nothing."""
    assert _refusal(text) is AuthCode.BROWSERID_STRIPPED_CHAIN


def test_a_chain_of_two_certificates_is_refused() -> None:
    """Exactly one certificate: no implementation ever defined what more would mean."""
    assert _refusal(f"{GOOD_CERTIFICATE}~{GOOD_CERTIFICATE}~{GOOD_ASSERTION}") is AuthCode.BROWSERID_CHAIN_TOO_LONG


@pytest.mark.parametrize(
    "text",
    [
        "a~b",
        "a.b.c~d.e.f",
        f"{GOOD_CERTIFICATE}~",
        f"{GOOD_CERTIFICATE}~{GOOD_ASSERTION}.",
        f"{GOOD_CERTIFICATE}~{GOOD_ASSERTION}=",
        f"{GOOD_CERTIFICATE}~ {GOOD_ASSERTION}",
        f"{GOOD_CERTIFICATE}~é{GOOD_ASSERTION}",
        f"{GOOD_CERTIFICATE}~{GOOD_ASSERTION.rpartition('.')[0]}",
        f"{GOOD_CERTIFICATE}~{encode(b'[]')}.{encode(b'{}')}.{encode(b'x')}",
        f"{GOOD_CERTIFICATE}~{HEADER}.{encode(b'[' * 5_000)}.{encode(b'x')}",
        f"{GOOD_CERTIFICATE}~{HEADER}.{encode(bytes([0xFF]))}.{encode(b'x')}",
        _with_assertion(exp="soon"),
        _with_assertion(exp=-1),
        _with_assertion(exp=10**30),
        _with_assertion(aud=[AUDIENCE]),
        _with_assertion(aud=None),
        _with_certificate(principal="ann"),
        _with_certificate(principal={}),
        _with_certificate(iss=7),
        _with_certificate(exp=None),
    ],
    ids=map(str, itertools.count()),
)
def test_what_is_no_assertion_is_refused(text: str) -> None:
    """Other shapes, padding, foreign characters and missing or mistyped members are malformed."""
    assert _refusal(text) is AuthCode.BROWSERID_MALFORMED


def test_a_text_with_stray_bits_is_refused() -> None:
    """One signed text has one encoding: bits that base64 would drop are not ignored."""
    token, _, signature = GOOD_ASSERTION.rpartition(".")
    bent = signature[:-1] + chr(ord(signature[-1]) + 1)
    assert _refusal(f"{GOOD_CERTIFICATE}~{token}.{bent}") is AuthCode.BROWSERID_MALFORMED


# --- audience and time ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "audience",
    [
        "https://other.example.org",
        "http://queue.example.org",
        "https://queue.example.org:8443",
        "https://queue.example.org/path",
        "https://queue.example.org.evil.org",
        "https://queue.example.org@evil.org",
        "queue.example.org",
        "https://queue.example.org#",
        "",
    ],
)
def test_an_assertion_for_another_audience_is_refused(audience: str) -> None:
    """What was signed for one site can't be replayed at another."""
    assert _refusal(_with_assertion(aud=audience)) is AuthCode.BROWSERID_WRONG_AUDIENCE


def test_an_assertion_counts_until_it_ends_and_for_the_clock_skew_after() -> None:
    """The last good millisecond is the one before expiry plus skew."""
    ends_ms = NOW_MS + 120_000
    text = backed_assertion(EMAIL, expires_ms=ends_ms)
    assert _verify(text, now_ms=ends_ms + SKEW_MS - 1).email == EMAIL
    assert _refusal(text, now_ms=ends_ms + SKEW_MS) is AuthCode.BROWSERID_EXPIRED


def test_an_assertion_that_ends_too_far_ahead_is_refused() -> None:
    """Five minutes and the skew; a longer life would make a stolen one worth more."""
    latest_ms = NOW_MS + 300_000 + SKEW_MS
    assert _verify(backed_assertion(EMAIL, expires_ms=latest_ms)).email == EMAIL
    assert _refusal(backed_assertion(EMAIL, expires_ms=latest_ms + 1)) is AuthCode.BROWSERID_LIFETIME_TOO_LONG


def test_a_certificate_that_has_ended_is_refused() -> None:
    """A fresh assertion does not revive the key that signed it."""
    assert _verify(_with_certificate(exp=NOW_MS - SKEW_MS + 1)).email == EMAIL
    assert _refusal(_with_certificate(exp=NOW_MS - SKEW_MS)) is AuthCode.BROWSERID_CERTIFICATE_EXPIRED


def test_a_certificate_that_ends_too_far_ahead_is_refused() -> None:
    """A day and the skew: nothing can take a certificate back before it ends."""
    latest_ms = NOW_MS + 86_400_000 + SKEW_MS
    assert _verify(_with_certificate(exp=latest_ms)).email == EMAIL
    assert _refusal(_with_certificate(exp=latest_ms + 1)) is AuthCode.BROWSERID_CERTIFICATE_LIFETIME_TOO_LONG


@pytest.mark.parametrize("name", ["iat", "nbf"])
def test_what_begins_later_is_refused(name: str) -> None:
    """An issue or begin time ahead of now by more than the skew does not count, in either token."""
    early, late = NOW_MS + SKEW_MS, NOW_MS + SKEW_MS + 1
    assert _verify(_with_assertion(**{name: early})).email == EMAIL
    assert _refusal(_with_assertion(**{name: late})) is AuthCode.BROWSERID_NOT_YET_VALID
    assert _refusal(_with_certificate(**{name: late})) is AuthCode.BROWSERID_NOT_YET_VALID


# --- issuer -----------------------------------------------------------------------------------------------


def test_an_issuer_can_not_speak_for_another_domain() -> None:
    """A known issuer's certificate for somebody else's address is refused, however well signed."""
    text = backed_assertion("ann@other.org", issuer_name=DOMAIN)
    assert _refusal(text) is AuthCode.BROWSERID_WRONG_ISSUER


def test_an_unknown_issuer_is_refused() -> None:
    """A domain without a configured key, a document or a fallback has no users here."""
    assert _refusal(backed_assertion("ann@unknown.org")) is AuthCode.BROWSERID_WRONG_ISSUER


@pytest.mark.parametrize(
    "name", ["mail.example.org:443", "localhost", "", "mail.example.org.", "ma\u0131l.example.org"]
)
def test_an_issuer_is_a_plain_domain(name: str) -> None:
    """No port, no bare host, no look-alike: another text is another issuer, and none."""
    text = f"{certificate(EMAIL, USER, ISSUER, issuer_name=name)}~{GOOD_ASSERTION}"
    assert _refusal(text) is AuthCode.BROWSERID_WRONG_ISSUER


def test_a_parent_domain_does_not_speak_for_its_sub_domains() -> None:
    """Domains are equal or not; no suffix counts."""
    issuers = issuers_of("example.org")
    text = backed_assertion(EMAIL, issuer_name="example.org")
    with pytest.raises(AuthError) as caught:
        verifier(issuers=issuers).verify(text, now_ms=NOW_MS)
    assert caught.value.code is AuthCode.BROWSERID_WRONG_ISSUER


def test_a_fallback_issuer_speaks_for_domains_without_support() -> None:
    """The secondary of BrowserID: configured, and for addresses that no primary claims."""
    known = issuers_of("fallback.example.net", DOMAIN)
    keys = {"fallback.example.net": known.key_for("fallback.example.net", "fallback.example.net", now_ms=NOW_MS)}
    issuers = Issuers(keys, fallback_issuers=frozenset({"fallback.example.net"}))
    text = backed_assertion("ann@unsupported.org", issuer_name="fallback.example.net")
    assert verifier(issuers=issuers).verify(text, now_ms=NOW_MS).email == "ann@unsupported.org"


def test_a_fallback_issuer_does_not_speak_for_a_domain_that_speaks_for_itself() -> None:
    """A primary's users can't be claimed by the fallback."""
    known = issuers_of("fallback.example.net", DOMAIN)
    keys = {name: known.key_for(name, name, now_ms=NOW_MS) for name in ("fallback.example.net", DOMAIN)}
    issuers = Issuers(keys, fallback_issuers=frozenset({"fallback.example.net"}))
    text = backed_assertion(EMAIL, issuer_name="fallback.example.net")
    with pytest.raises(AuthError) as caught:
        verifier(issuers=issuers).verify(text, now_ms=NOW_MS)
    assert caught.value.code is AuthCode.BROWSERID_WRONG_ISSUER


@pytest.mark.parametrize(
    "email",
    [
        "",
        "ann",
        "ann@localhost",
        "ann@mail.example.org\n",
        "änn@mail.example.org",
        "a b@mail.example.org",
        "@mail.example.org",
    ],
)
def test_what_is_no_plain_address_is_refused(email: str) -> None:
    """An address that ``principles`` could not list names nobody."""
    text = f"{certificate(email, USER, ISSUER, issuer_name=DOMAIN)}~{GOOD_ASSERTION}"
    assert _refusal(text) is AuthCode.BROWSERID_BAD_EMAIL


# --- algorithm, keys, signatures --------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["none", "HS256", "RS64", "RS128", "ES256", "rs256", ""])
def test_an_algorithm_that_is_not_named_is_refused(algorithm: str) -> None:
    """Whatever a token calls its algorithm, only the configured names count."""
    bent = assertion(USER, algorithm=algorithm or " ")
    assert _refusal(f"{GOOD_CERTIFICATE}~{bent}") is AuthCode.BROWSERID_WRONG_ALGORITHM


def test_sha_1_counts_only_where_it_is_configured() -> None:
    """DS128 is off unless its name is in the settings."""
    text = backed_assertion(EMAIL, algorithm="DS128")
    assert _refusal(text, settings=BrowserIdSettings(audiences=(AUDIENCE,))) is AuthCode.BROWSERID_WRONG_ALGORITHM


@pytest.mark.parametrize("algorithm", ["DS256", "DS128"])
def test_a_token_can_not_choose_the_algorithm_of_a_key(algorithm: str) -> None:
    """An allowed algorithm that is not the key's own is refused before any arithmetic."""
    bent_assertion = f"{GOOD_CERTIFICATE}~{assertion(USER, algorithm=algorithm)}"
    assert _refusal(bent_assertion) is AuthCode.BROWSERID_WRONG_ALGORITHM
    bent_certificate = certificate(EMAIL, USER, ISSUER, issuer_name=DOMAIN, algorithm=algorithm)
    assert _refusal(f"{bent_certificate}~{GOOD_ASSERTION}") is AuthCode.BROWSERID_WRONG_ALGORITHM


@pytest.mark.parametrize(
    "key",
    [
        {},
        {"algorithm": "RS", "n": "x", "e": "3"},
        {"algorithm": "RS", "n": "9" * 5_000, "e": "3"},
        {"algorithm": "HS", "k": "secret"},
        {"algorithm": "RS", "n": USER.public["n"], "e": "1"},
        {"algorithm": "RS", "n": USER.public["n"], "e": "65536"},
        {**RsaSigner(1024).public},
        {**signer(EMAIL, "DS256").public, "y": "1"},
        {**signer(EMAIL, "DS256").public, "g": "1"},
        {**signer(EMAIL, "DS256").public, "y": "-5"},
        {**signer(EMAIL, "DS256").public, "q": signer(EMAIL, "DS128").public["q"]},
    ],
)
def test_a_weak_or_broken_user_key_is_refused(key: Json) -> None:
    """Small keys, trivial numbers and mixed sizes are no keys, also when an issuer certified them."""
    text = f"{certificate(EMAIL, USER, ISSUER, issuer_name=DOMAIN, more={'public-key': key})}~{GOOD_ASSERTION}"
    if len(text) > 8_192:
        assert _refusal(text) is AuthCode.BROWSERID_TOO_LARGE
    else:
        assert _refusal(text) is AuthCode.BROWSERID_BAD_KEY


def test_a_certificate_that_its_issuer_did_not_sign_is_refused() -> None:
    """Anybody can write a certificate; only the issuer's signature makes it one."""
    forged = certificate(EMAIL, USER, signer("forger"), issuer_name=DOMAIN)
    assert _refusal(f"{forged}~{GOOD_ASSERTION}") is AuthCode.BROWSERID_BAD_CERTIFICATE_SIGNATURE


def test_an_assertion_that_the_certified_key_did_not_sign_is_refused() -> None:
    """A stolen certificate is worth nothing without its key."""
    assert _refusal(f"{GOOD_CERTIFICATE}~{assertion(signer('thief'))}") is AuthCode.BROWSERID_BAD_SIGNATURE


def test_the_payload_is_what_was_signed() -> None:
    """A signature does not carry over to another payload."""
    header, _, signature = GOOD_ASSERTION.split(".")
    payload = encode(json.dumps({"exp": NOW_MS + 1_000, "aud": AUDIENCE}).encode())
    assert _refusal(f"{GOOD_CERTIFICATE}~{header}.{payload}.{signature}") is AuthCode.BROWSERID_BAD_SIGNATURE


@pytest.mark.parametrize("algorithm", ["RS256", "DS256"])
@pytest.mark.parametrize("signature", [b"", b"\0", b"\0" * 64, b"\0" * 256, b"\xff" * 64, b"\xff" * 256, b"\0" * 257])
def test_degenerate_signatures_are_refused(algorithm: str, signature: bytes) -> None:
    """Zeroes, ones and wrong widths fit nothing."""
    whole = backed_assertion(EMAIL, algorithm=algorithm)
    text = f"{whole.rpartition('.')[0]}.{encode(signature)}"
    with pytest.raises(AuthError) as caught:
        verifier(algorithm=algorithm).verify(text, now_ms=NOW_MS)
    assert caught.value.code is AuthCode.BROWSERID_BAD_SIGNATURE


# --- replays and secrets ----------------------------------------------------------------------------------


def test_two_texts_of_one_signed_assertion_have_one_fingerprint() -> None:
    """Several DSA signatures fit one signed text; none of them makes it new."""
    user = signer(EMAIL, "DS256")
    backing = certificate(EMAIL, user, ISSUER, issuer_name=DOMAIN)
    one, other = assertion(user), assertion(user)
    assert one != other
    assert _verify(f"{backing}~{one}").fingerprint == _verify(f"{backing}~{other}").fingerprint


def test_two_assertions_have_two_fingerprints() -> None:
    """Another time or another user makes another assertion."""
    later = f"{GOOD_CERTIFICATE}~{assertion(USER, expires_ms=NOW_MS + 120_001)}"
    other_user = f"{certificate('bob@mail.example.org', USER, ISSUER, issuer_name=DOMAIN)}~{GOOD_ASSERTION}"
    texts = (f"{GOOD_CERTIFICATE}~{GOOD_ASSERTION}", later, other_user)
    assert len({_verify(text).fingerprint for text in texts}) == 3


def test_an_error_shows_nothing_of_the_assertion() -> None:
    """Refusals are constant texts."""
    text = f"{GOOD_CERTIFICATE}~{assertion(signer('thief'))}"
    with pytest.raises(AuthError) as caught:
        _verify(text)
    assert "ann" not in repr(caught.value) + str(caught.value)
    assert not any(part in repr(caught.value) for part in text.replace("~", ".").split("."))
