"""Support documents and the issuers they lead to, with a fetcher that counts."""

from __future__ import annotations

import json
import threading

import pytest

from api.auth.browserid_keys import BadKeyError, parse_public_key
from api.auth.errors import AuthCode, AuthError
from api.auth.https_fetch import Fetched, FetchError
from api.auth.issuers import Issuers
from api.auth.support_documents import (
    SupportDocuments,
    SupportDocumentUnavailableError,
    parse_key_file,
    parse_support_document,
)
from common.limits import SUPPORT_DOCUMENT_FAILURE_KEPT_MS, SUPPORT_DOCUMENT_KEPT_MS
from common.protocol.failures import Retry
from tests.support.browserid import NOW_MS, Json, backed_assertion, signer, verifier

Reply = Fetched | FetchError


class _Web:
    """Answers by URL, and notes what was asked."""

    def __init__(self, **replies: Json | Reply) -> None:
        self.asked: list[str] = []
        self.replies = {name.replace("_", "."): reply for name, reply in replies.items()}
        self.gate = threading.Event()
        self.gate.set()

    def fetch(self, url: str) -> Fetched:
        host = url.removeprefix("https://").removesuffix("/.well-known/browserid")
        self.asked.append(host)
        assert self.gate.wait(10)
        reply = self.replies.get(host, Fetched(404, b""))
        if isinstance(reply, FetchError):
            raise reply
        return reply if isinstance(reply, Fetched) else Fetched(200, json.dumps(reply).encode())

    def documents(self, *more: str) -> SupportDocuments:
        return SupportDocuments(frozenset(self.replies) | frozenset(more), self)


def _support(host: str) -> Json:
    return {"public-key": signer(host).public, "authentication": "/sign_in", "provisioning": "/provision"}


def _refusal(issuers: Issuers, domain: str, issuer: str) -> AuthError:
    with pytest.raises(AuthError) as caught:
        issuers.key_for(domain, issuer, now_ms=NOW_MS)
    return caught.value


def _is_key_of(issuers: Issuers, domain: str, issuer: str) -> bool:
    key = issuers.key_for(domain, issuer, now_ms=NOW_MS)
    return key.is_signature(signer(issuer).sign(b"x"), b"x")


def test_a_domain_speaks_for_itself_by_its_document() -> None:
    """The key in ``/.well-known/browserid`` verifies the domain's certificates."""
    web = _Web(mail_example_org=_support("mail.example.org"))
    issuers = Issuers({}, documents=web.documents())
    assert verifier(issuers=issuers).verify(backed_assertion(), now_ms=NOW_MS).issuer == "mail.example.org"


def test_a_host_that_is_not_listed_is_never_asked() -> None:
    """An address can't make the service fetch from where its owner likes."""
    web = _Web()
    issuers = Issuers({}, documents=web.documents("listed.org"))
    assert _refusal(issuers, "evil.org", "evil.org").code is AuthCode.BROWSERID_WRONG_ISSUER
    assert web.asked == []


def test_a_domain_may_delegate() -> None:
    """The host that a document names as authority speaks for the domain."""
    web = _Web(mail_org={"authority": "Idp.org"}, idp_org=_support("idp.org"))
    assert _is_key_of(Issuers({}, documents=web.documents()), "mail.org", "idp.org")


def test_a_domain_that_delegates_no_longer_speaks_for_itself() -> None:
    """One authority at a time."""
    web = _Web(mail_org={"authority": "idp.org", **_support("mail.org")}, idp_org=_support("idp.org"))
    assert _refusal(Issuers({}, documents=web.documents()), "mail.org", "mail.org").code is (
        AuthCode.BROWSERID_WRONG_ISSUER
    )


@pytest.mark.parametrize(("steps", "counts"), [(6, True), (7, False)])
def test_a_domain_may_delegate_six_times(steps: int, counts: bool) -> None:
    """The seventh is refused with its own code."""
    chain: dict[str, Json | Reply] = {f"d{step}_org": {"authority": f"d{step + 1}.org"} for step in range(steps)}
    chain[f"d{steps}_org"] = _support(f"d{steps}.org")
    issuers = Issuers({}, documents=_Web(**chain).documents())
    if counts:
        assert _is_key_of(issuers, "d0.org", f"d{steps}.org")
    else:
        assert _refusal(issuers, "d0.org", f"d{steps}.org").code is AuthCode.BROWSERID_TOO_MANY_DELEGATIONS


def test_a_circle_of_delegations_ends() -> None:
    """It is refused like any chain that is too long, and each host is asked once."""
    web = _Web(a_org={"authority": "b.org"}, b_org={"authority": "a.org"})
    assert _refusal(Issuers({}, documents=web.documents()), "a.org", "b.org").code is (
        AuthCode.BROWSERID_TOO_MANY_DELEGATIONS
    )
    assert sorted(web.asked) == ["a.org", "b.org"]


def test_a_domain_may_delegate_to_an_issuer_whose_key_is_configured() -> None:
    """The end of a chain needs no document if its key is known."""
    web = _Web(mail_org={"authority": "idp.org"})
    key = parse_public_key(json.dumps(signer("idp.org").public).encode())
    assert _is_key_of(Issuers({"idp.org": key}, documents=web.documents()), "mail.org", "idp.org")


@pytest.mark.parametrize("end", [Fetched(404, b""), {"disabled": True}])
def test_a_domain_that_delegates_to_nowhere_has_no_issuer(end: Json | Reply) -> None:
    """Not even a fallback: the domain has said who speaks for it."""
    web = _Web(mail_org={"authority": "gone.org"}, gone_org=end, fallback_net=_support("fallback.net"))
    issuers = Issuers({}, fallback_issuers=frozenset({"fallback.net"}), documents=web.documents())
    for issuer in ("gone.org", "fallback.net", "mail.org"):
        assert _refusal(issuers, "mail.org", issuer).code is AuthCode.BROWSERID_WRONG_ISSUER


@pytest.mark.parametrize("own", [Fetched(404, b""), Fetched(410, b"x"), {"disabled": True, **_support("mail.org")}])
def test_the_fallback_speaks_for_a_domain_without_support(own: Json | Reply) -> None:
    """No document, or one that disables BrowserID, leaves the domain to the fallback, and only to it."""
    web = _Web(mail_org=own, fallback_net=_support("fallback.net"))
    issuers = Issuers({}, fallback_issuers=frozenset({"fallback.net"}), documents=web.documents())
    assert _is_key_of(issuers, "mail.org", "fallback.net")
    assert _refusal(issuers, "mail.org", "mail.org").code is AuthCode.BROWSERID_WRONG_ISSUER


def test_the_fallback_does_not_speak_for_a_domain_with_support() -> None:
    """A primary's users can't be claimed by the fallback."""
    web = _Web(mail_org=_support("mail.org"), fallback_net=_support("fallback.net"))
    issuers = Issuers({}, fallback_issuers=frozenset({"fallback.net"}), documents=web.documents())
    assert _refusal(issuers, "mail.org", "fallback.net").code is AuthCode.BROWSERID_WRONG_ISSUER


def test_a_fallback_without_a_key_is_no_issuer() -> None:
    """A configured name alone verifies nothing."""
    issuers = Issuers({}, fallback_issuers=frozenset({"fallback.net"}))
    assert _refusal(issuers, "mail.org", "fallback.net").code is AuthCode.BROWSERID_WRONG_ISSUER


@pytest.mark.parametrize(
    "reply",
    [
        FetchError("down"),
        Fetched(500, b""),
        Fetched(301, b""),
        Fetched(302, json.dumps(_support("mail.org")).encode()),
        Fetched(200, b"<html>"),
        Fetched(200, b"[]"),
        Fetched(200, b"\xff"),
        Fetched(200, b"{}"),
        Fetched(200, b"[" * 50_000),
        {"public-key": "x"},
        {"authority": "not a domain"},
        {"authority": "127.0.0.1:8080"},
        {"authority": "evil.org/path"},
    ],
    ids=range(13),
)
def test_a_host_that_gives_no_document_is_unavailable(reply: Json | Reply) -> None:
    """An error, a redirect or nonsense says neither yes nor no: no fallback, and worth another try later."""
    web = _Web(mail_org=reply, fallback_net=_support("fallback.net"))
    issuers = Issuers({}, fallback_issuers=frozenset({"fallback.net"}), documents=web.documents())
    error = _refusal(issuers, "mail.org", "fallback.net")
    assert error.code is AuthCode.BROWSERID_ISSUER_UNAVAILABLE
    assert error.retry is Retry.LATER
    assert error.retry_after_ms == SUPPORT_DOCUMENT_FAILURE_KEPT_MS


def test_a_good_document_is_kept_for_an_hour() -> None:
    """It is fetched again only then."""
    web = _Web(mail_org=_support("mail.org"))
    documents = web.documents()
    documents.document_or_none("mail.org", now_ms=NOW_MS)
    documents.document_or_none("mail.org", now_ms=NOW_MS + SUPPORT_DOCUMENT_KEPT_MS - 1)
    assert len(web.asked) == 1
    documents.document_or_none("mail.org", now_ms=NOW_MS + SUPPORT_DOCUMENT_KEPT_MS)
    assert len(web.asked) == 2


def test_a_failure_is_kept_for_a_minute() -> None:
    """A host that is down is not asked with every request, and soon again."""
    web = _Web(mail_org=FetchError("down"))
    documents = web.documents()
    for later_ms in (0, SUPPORT_DOCUMENT_FAILURE_KEPT_MS - 1):
        with pytest.raises(SupportDocumentUnavailableError):
            documents.document_or_none("mail.org", now_ms=NOW_MS + later_ms)
    assert len(web.asked) == 1
    web.replies["mail.org"] = _support("mail.org")
    assert documents.document_or_none("mail.org", now_ms=NOW_MS + SUPPORT_DOCUMENT_FAILURE_KEPT_MS) is not None


def test_requests_that_come_together_fetch_once() -> None:
    """Twenty threads that need one document wait for one fetch."""
    web = _Web(mail_org=_support("mail.org"))
    documents = web.documents()
    web.gate.clear()
    found: list[bool] = []
    threads = [
        threading.Thread(
            target=lambda: found.append(documents.document_or_none("mail.org", now_ms=NOW_MS) is not None)
        )
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    web.gate.set()
    for thread in threads:
        thread.join(10)
    assert found == [True] * 20
    assert web.asked == ["mail.org"]


def test_a_key_file_holds_a_key_or_a_support_document() -> None:
    """Both forms give the same key; anything else is refused."""
    bare = json.dumps(signer("mail.org").public).encode()
    whole = json.dumps(_support("mail.org")).encode()
    for content in (bare, whole):
        assert parse_key_file(content).is_signature(signer("mail.org").sign(b"x"), b"x")
    for content in (b"", b"{}", b"[]", b'{"authority": "x.org"}', b"\xff"):
        with pytest.raises(BadKeyError):
            parse_key_file(content)


def test_a_disabled_document_is_no_support() -> None:
    """``disabled`` wins over everything else in it."""
    assert parse_support_document("x.org", b'{"disabled": true, "authority": "y.org"}') is None
