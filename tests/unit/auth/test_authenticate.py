"""From settings to an authenticator, and from credentials to a caller."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from api.auth.authenticate import Authenticator
from api.auth.build import HttpsFetchers, IdentityFilesError, build_authenticator
from api.auth.errors import AuthCode, AuthError
from api.auth.https_fetch import Fetched
from api.auth.keys import key_digest
from api.auth.links import Link, mint_link
from common.clock import SYSTEM_CLOCK
from common.identity_settings import BrowserIdSettings, OidcIssuerSettings
from common.protocol.failures import Retry
from common.protocol.operations import Caller
from tests.support.browserid import AUDIENCE, NOW_MS, backed_assertion, signer
from tests.support.oidc import CLIENT, ISSUER, id_token, key_set, public_jwk

SECRET = b"0123456789abcdef0123456789abcdef"
EMAIL = "ann.lee+queuey@mail.example.org"
USER = (f"bid:{EMAIL}",)


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """An application's settings, as far as they are about identity."""

    key_sha256: tuple[str, ...] = ()
    browserid: BrowserIdSettings | None = None
    oidc: tuple[OidcIssuerSettings, ...] = ()
    link_secrets: dict[str, str] = {}


class Web:
    """A fetcher whose only document is a key set."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def fetch(self, url: str) -> Fetched:
        self.asked.append(url)
        return Fetched(200, key_set(public_jwk("k1")))


class Fetchers:
    """Both ways out lead to the same place."""

    def __init__(self) -> None:
        self.public = self.configured = Web()


def _write_files(directory: Path) -> None:
    (directory / "issuer.json").write_text(json.dumps(signer("mail.example.org").public))
    (directory / "keys.json").write_bytes(key_set(public_jwk("k1")))
    (directory / "link-secret").write_bytes(SECRET + b"\n")
    (directory / "link-secret").chmod(0o600)


def _browserid(*, single_use: bool = True) -> BrowserIdSettings:
    return BrowserIdSettings(
        audiences=(AUDIENCE,), issuer_keys={"mail.example.org": "issuer.json"}, single_use=single_use
    )


def _build(directory: Path, *, single_use: bool = True, **more: Identity) -> Authenticator:
    _write_files(directory)
    web = Identity(
        key_sha256=(key_digest("web-key"), key_digest("web-key-2")),
        browserid=_browserid(single_use=single_use),
        oidc=(OidcIssuerSettings(issuer=ISSUER, audiences=(CLIENT,), jwks_file="keys.json"),),
        link_secrets={"s1": "link-secret"},
    )
    applications = {"web": web, "bare": Identity(key_sha256=(key_digest("bare-key"),)), **more}
    return build_authenticator(
        applications, directory=directory, run_directory=directory / "run", fetchers=Fetchers(), processes=1
    )


def _token(*, per_minute: int | None = None) -> str:
    link = Link(
        application="web",
        link_id="l1",
        operations=("read",),
        queue="news",
        expires_s=NOW_MS // 1000 + 60,
        requests_per_minute=per_minute,
    )
    return mint_link(link, secret_name="s1", secret=SECRET)


def _refusal(
    authenticator: Authenticator,
    authorization: str | None = None,
    *,
    application: str = "web",
    link: str | None = None,
) -> AuthCode:
    with pytest.raises(AuthError) as caught:
        authenticator.authenticate(application, authorization=authorization, link=link, now_ms=NOW_MS)
    return caught.value.code


@pytest.mark.parametrize("authorization", [None, "", "Basic x"])
def test_a_request_without_credentials_is_anonymous(tmp_path: Path, authorization: str | None) -> None:
    """Public queues need no identity; also in an application that is not configured."""
    authenticator = _build(tmp_path)
    for application in ("web", "unknown"):
        assert authenticator.authenticate(application, authorization=authorization, now_ms=NOW_MS) == Caller()


@pytest.mark.parametrize(
    ("authorization", "principals"),
    [
        ("Application web-key", ("app:web",)),
        ("Application web-key-2", ("app:web",)),
        ("Application bare-key", ("app:bare",)),
        ("Application web-key;Application bare-key;Application web-key", ("app:web", "app:bare")),
        (f"BrowserID {backed_assertion(EMAIL)}", USER),
        (f"Bearer {id_token()}", USER),
        (f"Application web-key; Bearer {id_token()}", ("app:web", *USER)),
        (f"BrowserID {backed_assertion(EMAIL)};Bearer {id_token()}", USER),
    ],
    ids=range(8),
)
def test_credentials_give_principals(tmp_path: Path, authorization: str, principals: tuple[str, ...]) -> None:
    """Keys of any application, users by either door; each principal once."""
    found = _build(tmp_path).authenticate("web", authorization=authorization, now_ms=NOW_MS)
    assert found == Caller(principals=principals)


def test_a_link_is_a_header_or_a_query_parameter(tmp_path: Path) -> None:
    """The same grant either way, and no principal."""
    authenticator = _build(tmp_path)
    by_header = authenticator.authenticate("web", authorization=f"Link {_token()}", now_ms=NOW_MS)
    by_query = authenticator.authenticate("web", authorization=None, link=_token(), now_ms=NOW_MS)
    assert by_header == by_query
    assert by_header.principals == ()
    assert by_header.link is not None
    assert by_header.link.queue == "news"


def test_a_request_takes_one_link(tmp_path: Path) -> None:
    """Two could only be confused."""
    authenticator = _build(tmp_path)
    assert _refusal(authenticator, f"Link {_token()};Link {_token()}") is AuthCode.LINK_TOO_MANY
    assert _refusal(authenticator, f"Link {_token()}", link=_token()) is AuthCode.LINK_TOO_MANY


def test_an_empty_link_parameter_is_no_link(tmp_path: Path) -> None:
    """It was given, so it must count."""
    assert _refusal(_build(tmp_path), link="") is AuthCode.LINK_MALFORMED


def test_a_links_rate_is_counted(tmp_path: Path) -> None:
    """The second request within its minute is refused, to be tried later."""
    authenticator = _build(tmp_path)
    authenticator.authenticate("web", authorization=None, link=_token(per_minute=1), now_ms=NOW_MS)
    assert _refusal(authenticator, link=_token(per_minute=1)) is AuthCode.LINK_RATE_EXCEEDED


@pytest.mark.parametrize("application", ["bare", "unknown"])
@pytest.mark.parametrize("scheme", ["BrowserID", "Bearer", "Link"])
def test_a_door_that_is_not_configured_is_closed(tmp_path: Path, application: str, scheme: str) -> None:
    """A user's or link's credential counts only where the application has set it up."""
    code = _refusal(_build(tmp_path), f"{scheme} x", application=application)
    assert code is AuthCode.SCHEME_NOT_ENABLED


def test_users_and_links_of_one_application_are_not_those_of_another(tmp_path: Path) -> None:
    """Issuers and secrets are an application's own."""
    _write_files(tmp_path)
    (tmp_path / "other-secret").write_bytes(b"x" * 32)
    other = Identity(
        oidc=(OidcIssuerSettings(issuer=ISSUER, audiences=("other-client",), jwks_file="keys.json"),),
        link_secrets={"s1": "other-secret"},
    )
    authenticator = _build(tmp_path, other=other)
    assert _refusal(authenticator, f"Bearer {id_token()}", application="other") is AuthCode.OIDC_WRONG_AUDIENCE
    assert _refusal(authenticator, f"Link {_token()}", application="other") is AuthCode.LINK_BAD_SIGNATURE


def test_one_bad_credential_refuses_the_request(tmp_path: Path) -> None:
    """However good the others are, and also where none would be needed."""
    authenticator = _build(tmp_path)
    assert _refusal(authenticator, "Application web-key;Application wrong") is AuthCode.INVALID_APPLICATION_KEY
    assert _refusal(authenticator, "Application web-key;Bearer x") is AuthCode.OIDC_MALFORMED


def test_a_replayed_assertion_is_refused(tmp_path: Path) -> None:
    """Once is once, in every process that shares the run directory."""
    assertion = f"BrowserID {backed_assertion(EMAIL)}"
    assert _build(tmp_path).authenticate("web", authorization=assertion, now_ms=NOW_MS).principals == USER
    assert _refusal(_build(tmp_path), assertion) is AuthCode.BROWSERID_REPLAYED


def test_an_assertion_is_not_replayed_to_another_application(tmp_path: Path) -> None:
    """Applications that share an audience share what was used."""
    authenticator = _build(tmp_path, other=Identity(browserid=_browserid()))
    assertion = f"BrowserID {backed_assertion(EMAIL)}"
    authenticator.authenticate("web", authorization=assertion, now_ms=NOW_MS)
    assert _refusal(authenticator, assertion, application="other") is AuthCode.BROWSERID_REPLAYED


def test_a_refused_assertion_is_not_used_up(tmp_path: Path) -> None:
    """Only what counted is noted: a forged copy can't burn the real one."""
    authenticator = _build(tmp_path)
    good = backed_assertion(EMAIL)
    forged = f"{good.rpartition('.')[0]}.AAAA"
    assert _refusal(authenticator, f"BrowserID {forged}") is AuthCode.BROWSERID_BAD_SIGNATURE
    assert authenticator.authenticate("web", authorization=f"BrowserID {good}", now_ms=NOW_MS).principals == USER


def test_assertions_may_count_until_they_end(tmp_path: Path) -> None:
    """Where the configuration says so; verified once, and over when it is over."""
    authenticator = _build(tmp_path, single_use=False)
    assertion = f"BrowserID {backed_assertion(EMAIL)}"
    for now_ms in (NOW_MS, NOW_MS + 1, NOW_MS + 119_999):
        assert authenticator.authenticate("web", authorization=assertion, now_ms=now_ms).principals == USER
    with pytest.raises(AuthError, match="browserid_expired"):
        authenticator.authenticate("web", authorization=assertion, now_ms=NOW_MS + 180_000)


def test_whether_an_assertion_was_used_must_be_known(tmp_path: Path) -> None:
    """A run directory that can't be written refuses, for now."""
    authenticator = _build(tmp_path)
    (tmp_path / "run").write_text("a file in the way")
    with pytest.raises(AuthError) as caught:
        authenticator.authenticate("web", authorization=f"BrowserID {backed_assertion(EMAIL)}", now_ms=NOW_MS)
    assert caught.value.code is AuthCode.BROWSERID_REPLAY_UNCHECKED
    assert caught.value.retry is Retry.LATER


def test_a_token_is_verified_once(tmp_path: Path) -> None:
    """A remembered token needs no key; it is over when it ends all the same."""
    authenticator = _build(tmp_path)
    token = f"Bearer {id_token()}"
    assert authenticator.authenticate("web", authorization=token, now_ms=NOW_MS).principals == USER
    (tmp_path / "keys.json").write_bytes(key_set())
    assert authenticator.authenticate("web", authorization=token, now_ms=NOW_MS + 1).principals == USER
    with pytest.raises(AuthError, match="oidc_unknown_key"):
        authenticator.authenticate("web", authorization=token, now_ms=NOW_MS + 300_000)


def test_a_key_set_by_url_is_fetched_when_it_is_needed(tmp_path: Path) -> None:
    """Not at start: an issuer that is down keeps no front end from starting."""
    fetchers = Fetchers()
    url = f"{ISSUER}/keys"
    identity = Identity(oidc=(OidcIssuerSettings(issuer=ISSUER, audiences=(CLIENT,), jwks_url=url),))
    authenticator = build_authenticator(
        {"web": identity}, directory=tmp_path, run_directory=tmp_path, fetchers=fetchers, processes=1
    )
    assert fetchers.configured.asked == []
    assert authenticator.authenticate("web", authorization=f"Bearer {id_token()}", now_ms=NOW_MS).principals == USER
    assert fetchers.configured.asked == [url]


def test_a_support_document_is_fetched_from_a_listed_host(tmp_path: Path) -> None:
    """What comes back is no support document, so the issuer can't be had now."""
    fetchers = Fetchers()
    settings = BrowserIdSettings(audiences=(AUDIENCE,), fetch_hosts=("mail.example.org",))
    authenticator = build_authenticator(
        {"web": Identity(browserid=settings)},
        directory=tmp_path,
        run_directory=tmp_path,
        fetchers=fetchers,
        processes=1,
    )
    assert _refusal(authenticator, f"BrowserID {backed_assertion(EMAIL)}") is AuthCode.BROWSERID_ISSUER_UNAVAILABLE
    assert fetchers.public.asked == ["https://mail.example.org/.well-known/browserid"]


def test_all_problems_with_files_are_reported_together(tmp_path: Path) -> None:
    """Each with the setting that names the file, none with what is in it."""
    (tmp_path / "weak").write_text("s3cr3t")
    (tmp_path / "no-key").write_text('{"s3cr3t": 1}')
    identity = Identity(
        browserid=BrowserIdSettings(audiences=(AUDIENCE,), issuer_keys={"a.org": "missing.json", "b.org": "no-key"}),
        oidc=(OidcIssuerSettings(issuer=ISSUER, audiences=(CLIENT,), jwks_file="no-key"),),
        link_secrets={"s1": "weak", "s2": "."},
    )
    with pytest.raises(IdentityFilesError) as caught:
        build_authenticator(
            {"web": identity}, directory=tmp_path, run_directory=tmp_path, fetchers=Fetchers(), processes=1
        )
    assert [setting for setting, _ in caught.value.problems] == [
        "applications.web.browserid.issuer_keys.a.org",
        "applications.web.browserid.issuer_keys.b.org",
        "applications.web.oidc[0].jwks_file",
        "applications.web.link_secrets.s1",
        "applications.web.link_secrets.s2",
    ]
    assert "s3cr3t" not in str(caught.value)


def test_nothing_secret_is_in_a_repr_or_an_error(tmp_path: Path) -> None:
    """Keys, secrets, tokens: neither the authenticator's parts nor its refusals show them."""
    authenticator = _build(tmp_path)
    with pytest.raises(AuthError) as caught:
        authenticator.authenticate("web", authorization="Application s3cr3t-key", now_ms=NOW_MS)
    texts = [repr(authenticator), repr(vars(authenticator)), str(caught.value), repr(caught.value)]
    assert not any(secret in text for text in texts for secret in ("s3cr3t", SECRET.decode(), "web-key"))


def test_the_running_front_end_has_two_ways_out() -> None:
    """Support documents come from public addresses only; key sets from where the operator says."""
    fetchers = HttpsFetchers(SYSTEM_CLOCK)
    assert fetchers.public is not fetchers.configured


def test_what_is_remembered_of_a_header_is_only_what_keys_alone_decide() -> None:
    """The same header again is the same caller; one more credential, a bad key or a link is looked at each time."""
    settings = {"notes": Identity(key_sha256=(key_digest("right"),))}
    directory = Path("/nonexistent")
    authenticator = build_authenticator(
        settings, directory=directory, run_directory=directory, fetchers=HttpsFetchers(SYSTEM_CLOCK), processes=1
    )
    first = authenticator.authenticate("notes", authorization="Application right", now_ms=NOW_MS)
    assert first == Caller(principals=("app:notes",))
    assert authenticator.authenticate("other", authorization="Application right", now_ms=NOW_MS) is first
    for refused in ("Application wrong", "Application right; Bearer x", "Application right; Link x"):
        for _ in range(2):
            with pytest.raises(AuthError):
                authenticator.authenticate("notes", authorization=refused, now_ms=NOW_MS)
    with pytest.raises(AuthError):
        authenticator.authenticate("notes", authorization="Application right", link="x", now_ms=NOW_MS)
