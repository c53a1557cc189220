"""Property tests of everything that a request may bring to say who it is."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.auth.authenticate import Authenticator, BrowserIdDoor, Doors, LinkDoor, OidcDoor
from api.auth.browserid_keys import BadKeyError, parse_public_key
from api.auth.credentials import parse_authorization
from api.auth.encoding import BadEncodingError, decode, encode
from api.auth.errors import AuthError
from api.auth.key_sets import FileSource, KeySet, KeySetUnavailableError, parse_key_set
from api.auth.keys import KeyRing, key_digest
from api.auth.link_rates import LinkRates
from api.auth.links import Link, LinkVerifier, mint_link
from api.auth.oidc import OidcVerifier
from api.auth.verified_tokens import VerifiedTokens
from common.identity_settings import OidcIssuerSettings, is_https_url, origin_or_none
from tests.support.browserid import NOW_MS, backed_assertion, verifier
from tests.support.oidc import CLIENT, EMAIL, ISSUER, id_token, key_set, public_jwk

SECRET = b"0123456789abcdef0123456789abcdef"
VISIBLE = "".join(chr(code) for code in range(0x21, 0x7F))
KEYS = st.text(VISIBLE, min_size=1, max_size=200)
TOKEN_TEXT = st.text(string.ascii_letters + string.digits + "-_.~=; é", max_size=80)
PLAIN = st.text(string.ascii_letters + string.digits + "-", min_size=1, max_size=20)
LINKS = st.builds(
    Link,
    application=PLAIN,
    link_id=PLAIN,
    epoch=st.integers(0, 1 << 53),
    operations=st.permutations(["read", "publish", "claim", "delete"]).map(lambda order: tuple(order[:2])),
    queue=st.none(),
    prefix=PLAIN,
    expires_s=st.integers(NOW_MS // 1000 + 1, NOW_MS // 1000 + 86_400),
    body_bytes_max=st.none() | st.integers(1, 1 << 20),
    requests_per_minute=st.none() | st.integers(1, 1_000_000),
)


@pytest.fixture(scope="module")
def authenticator(tmp_path_factory: pytest.TempPathFactory) -> Authenticator:
    """One application with every door."""
    directory: Path = tmp_path_factory.mktemp("auth")
    (directory / "keys.json").write_bytes(key_set(public_jwk("k1")))
    issuer = OidcIssuerSettings(issuer=ISSUER, audiences=(CLIENT,), jwks_file="keys.json")
    doors = Doors(
        browserid=BrowserIdDoor(verifier(), None, VerifiedTokens()),
        oidc=OidcDoor(OidcVerifier([(issuer, KeySet(FileSource(directory / "keys.json")))]), VerifiedTokens()),
        links=LinkDoor(LinkVerifier("web", {"s1": SECRET}), LinkRates(1)),
    )
    return Authenticator(KeyRing({"web": (key_digest("sesame"),)}), {"web": doors})


@given(KEYS)
def test_every_key_reaches_its_application(key: str) -> None:
    """Any 1-200 visible ASCII characters: one line, digits only, any first and last letter, semicolons."""
    (credential,) = parse_authorization(f"Application {key}")
    assert KeyRing({"web": (key_digest(key),)}).principals_of(credential) == ("app:web",)


@given(KEYS, KEYS)
def test_another_key_never_does(key: str, other: str) -> None:
    """Unless it begins with the key and a semicolon, which v1 reads as two credentials."""
    (credential,) = parse_authorization(f"Application {other}")
    ring = KeyRing({"web": (key_digest(key),)})
    if other == key or other.startswith(key + ";"):
        assert ring.principals_of(credential) == ("app:web",)
    else:
        with pytest.raises(AuthError):
            ring.principals_of(credential)


@given(st.lists(st.text(VISIBLE.replace(";", ""), min_size=1, max_size=20), min_size=1, max_size=8, unique=True))
def test_joined_keys_give_all_their_applications(keys: list[str]) -> None:
    """In the order sent."""
    ring = KeyRing({f"a{number}": (key_digest(key),) for number, key in enumerate(keys)})
    credentials = parse_authorization(";".join(f"Application {key}" for key in keys))
    found = [ring.principals_of(credential) for credential in credentials]
    assert found == [(f"app:a{number}",) for number in range(len(keys))]


@settings(deadline=None)
@given(
    st.sampled_from(["", "Application ", "BrowserID ", "Bearer ", "Link ", "Link q1.s1.", "BrowserID a.b.c~"]),
    st.text(max_size=60) | TOKEN_TEXT,
    st.none() | st.text(max_size=20) | TOKEN_TEXT,
)
def test_any_header_gives_a_caller_or_one_named_error(
    authenticator: Authenticator, scheme: str, text: str, link: str | None
) -> None:
    """Whatever is sent: an AuthError, or a caller without principals (nobody guesses a credential)."""
    try:
        caller = authenticator.authenticate("web", authorization=scheme + text, link=link, now_ms=NOW_MS)
    except AuthError:
        return
    assert caller.principals == ()
    assert caller.link is None


@settings(deadline=None)
@given(st.data())
def test_a_changed_credential_never_names_anybody_else(authenticator: Authenticator, data: st.DataObject) -> None:
    """One character of a good assertion or ID token replaced: refused, or still the same user."""
    scheme, good = data.draw(st.sampled_from([("BrowserID", backed_assertion(EMAIL)), ("Bearer", id_token())]))
    position = data.draw(st.integers(0, len(good) - 1))
    bent = good[:position] + data.draw(st.sampled_from("AbZ09-_.~")) + good[position + 1 :]
    try:
        caller = authenticator.authenticate("web", authorization=f"{scheme} {bent}", now_ms=NOW_MS)
    except AuthError:
        assert bent != good
        return
    assert caller.principals == (f"bid:{EMAIL}",)
    assert bent == good


@given(LINKS)
def test_a_minted_link_comes_back_as_it_was(link: Link) -> None:
    """What the application signed is what the service reads."""
    token = mint_link(link, secret_name="s1", secret=SECRET)
    assert LinkVerifier(link.application, {"s1": SECRET}).verify(token, now_ms=NOW_MS) == link


@given(LINKS, st.data())
def test_a_changed_link_does_not_count(link: Link, data: st.DataObject) -> None:
    """Not one character of a token may change."""
    token = mint_link(link, secret_name="s1", secret=SECRET)
    position = data.draw(st.integers(0, len(token) - 1))
    character = data.draw(st.sampled_from("AbZ09-_.").filter(lambda found: found != token[position]))
    with pytest.raises(AuthError):
        LinkVerifier(link.application, {"s1": SECRET}).verify(
            token[:position] + character + token[position + 1 :], now_ms=NOW_MS
        )


@given(st.binary(max_size=200))
def test_base64url_comes_back_as_it_was(value: bytes) -> None:
    """Encoding and decoding are each other's inverse."""
    assert decode(encode(value)) == value


@given(st.text(string.ascii_letters + string.digits + "-_+/= \n", max_size=40))
def test_one_value_has_one_text(text: str) -> None:
    """What decodes at all encodes to exactly what it was decoded from."""
    try:
        value = decode(text)
    except BadEncodingError:
        return
    assert encode(value) == text


@given(st.binary(max_size=200))
def test_any_bytes_are_a_key_or_one_named_error(document: bytes) -> None:
    """Key files and documents of issuers are read without surprises."""
    for parse, error in ((parse_public_key, BadKeyError), (parse_key_set, KeySetUnavailableError)):
        with pytest.raises(error):
            parse(document)


@given(st.text(max_size=40))
def test_any_text_is_an_origin_or_none(text: str) -> None:
    """And an origin is its own origin."""
    origin = origin_or_none(text)
    assert origin is None or origin_or_none(origin) == origin
    assert is_https_url(text) in {True, False}
