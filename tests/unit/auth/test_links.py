"""Capability links: minting them offline, and each way in which one does not count."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import pytest

from api.auth.encoding import encode
from api.auth.errors import AuthCode, AuthError
from api.auth.link_rates import LinkRates
from api.auth.links import BadLinkError, Link, LinkVerifier, mint_link, new_link_id, parse_link_secret
from common.limits import LINK_LIFETIME_S_MAX
from common.protocol.failures import Retry
from common.protocol.operations import LinkGrant
from tests.support.browserid import NOW_MS, Json

NOW_S = NOW_MS // 1000
SECRET = b"0123456789abcdef0123456789abcdef"
OTHER_SECRET = b"fedcba9876543210fedcba9876543210"
LINK = Link(application="web", link_id="l1", operations=("read",), queue="news", expires_s=NOW_S + 3_600)
MEMBERS: Json = {"app": "web", "id": "l1", "ops": ["read"], "queue": "news", "exp": NOW_S + 3_600}


def _by_hand(members: object, *, name: str = "s1", secret: bytes = SECRET, version: str = "q1") -> str:
    """Follow the documented recipe without this project's code."""
    payload = base64.urlsafe_b64encode(json.dumps(members, indent=1).encode()).decode().rstrip("=")
    signed = f"{version}.{name}.{payload}"
    mac = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
    return signed + "." + base64.urlsafe_b64encode(mac).decode().rstrip("=")


def _verifier() -> LinkVerifier:
    return LinkVerifier("web", {"s1": SECRET, "s2": OTHER_SECRET + b"\n"})


def _refusal(token: str, *, now_ms: int = NOW_MS) -> AuthCode:
    with pytest.raises(AuthError) as caught:
        _verifier().verify(token, now_ms=now_ms)
    assert caught.value.field == "InvalidLink"
    assert caught.value.retry is Retry.NO
    return caught.value.code


def test_a_link_minted_by_the_documented_recipe_counts() -> None:
    """Twelve lines in any language make one; order and spacing of the members are free."""
    link = _verifier().verify(_by_hand(MEMBERS), now_ms=NOW_MS)
    assert link == LINK
    assert link.grant() == LinkGrant(
        link_id="l1", epoch=0, operations=("read",), queue="news", prefix=False, expires_ms=(NOW_S + 3_600) * 1000
    )


def test_a_minted_link_grants_what_it_says() -> None:
    """Every member travels to the storage node, but for the rate, which is counted here."""
    link = Link(
        application="web",
        link_id=new_link_id(),
        epoch=7,
        operations=("read", "publish", "claim", "delete"),
        prefix="user-42-",
        expires_s=NOW_S + 60,
        body_bytes_max=1_000,
        requests_per_minute=30,
    )
    token = mint_link(link, secret_name="s2", secret=OTHER_SECRET)
    found = _verifier().verify(token, now_ms=NOW_MS)
    assert found == link
    assert found.grant() == LinkGrant(
        link_id=link.link_id,
        epoch=7,
        operations=("read", "publish", "claim", "delete"),
        queue="user-42-",
        prefix=True,
        expires_ms=(NOW_S + 60) * 1000,
        body_bytes_max=1_000,
    )


def test_a_token_needs_no_escaping_in_a_url_or_header() -> None:
    """Letters, digits, dot, dash and underscore."""
    token = mint_link(LINK, secret_name="s1", secret=SECRET)
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")


def test_secrets_rotate() -> None:
    """Several are live at once; links of one that was taken away end with it."""
    token = mint_link(LINK, secret_name="s2", secret=OTHER_SECRET)
    assert _verifier().verify(token, now_ms=NOW_MS) == LINK
    with pytest.raises(AuthError, match="link_unknown_signer"):
        LinkVerifier("web", {"s1": SECRET}).verify(token, now_ms=NOW_MS)


def test_an_empty_prefix_means_every_queue() -> None:
    """It must be said: a link without queue and prefix is refused."""
    assert _verifier().verify(_by_hand({**MEMBERS, "queue": None, "prefix": ""}), now_ms=NOW_MS).grant().prefix
    assert _refusal(_by_hand({name: value for name, value in MEMBERS.items() if name != "queue"})) is (
        AuthCode.LINK_MALFORMED
    )


# --- refusals ---------------------------------------------------------------------------------------------


def test_a_link_of_an_unknown_secret_is_refused() -> None:
    """A name that the application does not have."""
    assert _refusal(_by_hand(MEMBERS, name="s9")) is AuthCode.LINK_UNKNOWN_SIGNER


def test_a_link_signed_with_another_secret_is_refused() -> None:
    """Also one that the application has under another name."""
    assert _refusal(_by_hand(MEMBERS, secret=OTHER_SECRET)) is AuthCode.LINK_BAD_SIGNATURE


def test_a_link_says_only_what_was_signed() -> None:
    """Another payload or secret's name under the same signature does not count."""
    version, name, _, mac = _by_hand(MEMBERS).split(".")
    wider = encode(json.dumps({**MEMBERS, "ops": ["delete"]}).encode())
    assert _refusal(f"{version}.{name}.{wider}.{mac}") is AuthCode.LINK_BAD_SIGNATURE
    assert _refusal(_by_hand(MEMBERS).replace("q1.s1.", "q1.s2.")) is AuthCode.LINK_BAD_SIGNATURE


def test_a_link_of_another_application_is_refused() -> None:
    """Two applications that share a secret do not share links."""
    assert _refusal(_by_hand({**MEMBERS, "app": "other"})) is AuthCode.LINK_WRONG_APPLICATION


def test_a_link_ends() -> None:
    """To the millisecond, without any skew: the application's clock and ours are one operator's."""
    token = _by_hand({**MEMBERS, "exp": NOW_S + 1})
    assert _verifier().verify(token, now_ms=NOW_MS + 999).link_id == "l1"
    assert _refusal(token, now_ms=NOW_MS + 1_000) is AuthCode.LINK_EXPIRED


def test_a_link_that_ends_too_far_ahead_is_refused() -> None:
    """A revocation is remembered until the link ends, so every link must."""
    latest_s = NOW_S + LINK_LIFETIME_S_MAX
    assert _verifier().verify(_by_hand({**MEMBERS, "exp": latest_s}), now_ms=NOW_MS).link_id == "l1"
    assert _refusal(_by_hand({**MEMBERS, "exp": latest_s + 1})) is AuthCode.LINK_LIFETIME_TOO_LONG


@pytest.mark.parametrize(
    "token",
    [
        "",
        "q1",
        "q1.s1.e30",
        _by_hand(MEMBERS) + ".x",
        _by_hand(MEMBERS) + "=",
        _by_hand(MEMBERS, version="q2"),
        _by_hand({**MEMBERS, "pad": "x" * 2_000}),
        _by_hand([]),
        _by_hand({}),
        _by_hand({**MEMBERS, "ops": []}),
        _by_hand({**MEMBERS, "ops": ["create"]}),
        _by_hand({**MEMBERS, "ops": ["read", "read"]}),
        _by_hand({**MEMBERS, "ops": "read"}),
        _by_hand({**MEMBERS, "prefix": "news"}),
        _by_hand({**MEMBERS, "queue": "_links"}),
        _by_hand({**MEMBERS, "queue": ".."}),
        _by_hand({**MEMBERS, "queue": "a/b"}),
        _by_hand({**MEMBERS, "queue": None, "prefix": "_"}),
        _by_hand({**MEMBERS, "queue": None, "prefix": "x" * 51}),
        _by_hand({**MEMBERS, "id": ""}),
        _by_hand({**MEMBERS, "id": "a b"}),
        _by_hand({**MEMBERS, "id": "x\n"}),
        _by_hand({**MEMBERS, "epoch": -1}),
        _by_hand({**MEMBERS, "exp": "tomorrow"}),
        _by_hand({**MEMBERS, "exp": None}),
        _by_hand({**MEMBERS, "body_bytes": 0}),
        _by_hand({**MEMBERS, "per_minute": 0}),
        _by_hand({**MEMBERS, "unknown": 1}),
        "é" + _by_hand(MEMBERS),
        "q1.\ud800.e30.e30",
    ],
    ids=range(30),
)
def test_what_is_no_link_is_refused(token: str) -> None:
    """Signed or not: a member that this version does not know could be a limit, so it is not ignored."""
    assert _refusal(token) in {AuthCode.LINK_MALFORMED, AuthCode.LINK_UNKNOWN_SIGNER}
    assert _refusal(token) is AuthCode.LINK_MALFORMED or "\ud800" in token


# --- minting ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"operations": ()}, "length"),
        ({"link_id": "a b"}, "regex"),
        ({"epoch": -1}, "int"),
        ({"requests_per_minute": 0}, "int"),
    ],
)
def test_a_link_that_a_service_would_refuse_is_not_minted(changes: Json, reason: str) -> None:
    """What is wrong is said when it is minted, not when somebody uses it."""
    fields: Json = {
        "application": "web",
        "link_id": "l1",
        "operations": ("read",),
        "queue": "news",
        "expires_s": NOW_S,
    }
    link = Link(**(fields | changes))  # type: ignore[arg-type]
    with pytest.raises(BadLinkError, match=reason):
        mint_link(link, secret_name="s1", secret=SECRET)


@pytest.mark.parametrize(
    "changes", [{"queue": None}, {"prefix": "n"}, {"queue": "a b"}, {"queue": None, "prefix": "/"}]
)
def test_a_link_is_for_one_queue_or_one_prefix(changes: Json) -> None:
    """Neither both nor none."""
    fields: Json = {
        "application": "web",
        "link_id": "l1",
        "operations": ("read",),
        "queue": "news",
        "expires_s": NOW_S,
    }
    with pytest.raises(ValueError, match=r"queue|prefix"):
        Link(**(fields | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", "a b", "a.b", "x" * 65, "s1\n"])
def test_a_secret_has_a_plain_name(name: str) -> None:
    """The name stands in the token, between dots."""
    with pytest.raises(BadLinkError, match="name"):
        mint_link(LINK, secret_name=name, secret=SECRET)


@pytest.mark.parametrize("content", [b"", b"short", b" " * 40, b"x" * 31, b"x" * 1_025])
def test_a_weak_secret_is_refused(content: bytes) -> None:
    """By minter and service alike; the refusal does not show it."""
    for refuse in (
        lambda: parse_link_secret(content),
        lambda: LinkVerifier("web", {"s1": content}),
        lambda: mint_link(LINK, secret_name="s1", secret=content),
    ):
        with pytest.raises(BadLinkError, match="32 to 1024 bytes"):
            refuse()


def test_link_ids_do_not_repeat() -> None:
    """Random, and plain enough to be revoked by."""
    assert len({new_link_id() for _ in range(1_000)}) == 1_000


def test_no_repr_shows_a_secret() -> None:
    """Neither the verifier's nor an error's."""
    verifier = _verifier()
    with pytest.raises(AuthError) as caught:
        verifier.verify(_by_hand(MEMBERS, secret=OTHER_SECRET), now_ms=NOW_MS)
    assert not any(SECRET.decode() in text for text in (repr(verifier), str(caught.value), repr(caught.value)))


# --- rates ------------------------------------------------------------------------------------------------


def _link(per_minute: int | None, link_id: str = "l1") -> Link:
    return Link(
        application="web",
        link_id=link_id,
        operations=("read",),
        queue="news",
        expires_s=NOW_S + 60,
        requests_per_minute=per_minute,
    )


def _passes(rates: LinkRates, link: Link, now_ms: int) -> bool:
    try:
        rates.use(link, now_ms=now_ms)
    except AuthError:
        return False
    return True


def test_a_rate_holds_over_time() -> None:
    """A caller that never stops gets its requests per minute, and ten seconds' worth at the start."""
    rates = LinkRates(1)
    passed = sum(_passes(rates, _link(60), NOW_MS + step * 10) for step in range(60_000))
    assert passed in {10 + 600 - 1, 10 + 600}


def test_a_machines_processes_share_a_rate() -> None:
    """Four processes let no more through together than one would."""
    each = LinkRates(4)
    passed = sum(_passes(each, _link(240), NOW_MS + step * 10) for step in range(6_000))
    assert 60 <= passed <= 60 + 10


def test_the_slowest_rate_still_passes_a_first_request() -> None:
    """Then the wait is named."""
    rates = LinkRates(1)
    rates.use(_link(1), now_ms=NOW_MS)
    with pytest.raises(AuthError) as caught:
        rates.use(_link(1), now_ms=NOW_MS)
    assert caught.value.code is AuthCode.LINK_RATE_EXCEEDED
    assert caught.value.retry is Retry.LATER
    assert 59_000 <= caught.value.retry_after_ms <= 60_001
    assert _passes(rates, _link(1), NOW_MS + caught.value.retry_after_ms)


def test_links_are_counted_apart_and_those_without_a_rate_not_at_all() -> None:
    """One link's use takes nothing from another's."""
    rates = LinkRates(1)
    assert _passes(rates, _link(1), NOW_MS)
    assert not _passes(rates, _link(1), NOW_MS)
    assert _passes(rates, _link(1, "l2"), NOW_MS)
    assert all(_passes(rates, _link(None), NOW_MS) for _ in range(100))


def test_a_clock_that_steps_back_gives_nothing_away() -> None:
    """And takes nothing."""
    rates = LinkRates(1)
    assert _passes(rates, _link(1), NOW_MS)
    assert not _passes(rates, _link(1), NOW_MS - 3_600_000)
