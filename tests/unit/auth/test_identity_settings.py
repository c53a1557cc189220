"""The identity part of the configuration."""

from __future__ import annotations

import msgspec
import pytest

from common.identity_settings import BrowserIdSettings, OidcIssuerSettings, is_https_url, origin_or_none
from tests.support.browserid import AUDIENCE, Json

BROWSERID: Json = {"audiences": [AUDIENCE], "issuer_keys": {"example.org": "key.json"}}
OIDC: Json = {"issuer": "https://login.example.org", "audiences": ["web"], "jwks_file": "keys.json"}


def test_good_settings_have_no_problems() -> None:
    """Defaults are strict: no SHA-1, single use, nothing fetched."""
    settings = msgspec.convert(BROWSERID, BrowserIdSettings)
    assert settings.problems() == ()
    assert settings.single_use
    assert settings.fetch_hosts == ()
    assert "DS128" not in settings.algorithms
    assert msgspec.convert(OIDC, OidcIssuerSettings).problems() == ()


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"audiences": []}, "audiences"),
        ({"audiences": ["queue.example.org"]}, "audiences"),
        ({"audiences": ["https://queue.example.org/path"]}, "audiences"),
        ({"issuer_keys": {}}, "issuer_keys"),
        ({"issuer_keys": {"Example.org": "key.json"}}, "issuer_keys"),
        ({"fallback_issuers": ["localhost"]}, "fallback_issuers"),
        ({"fetch_hosts": ["127.0.0.1:80"]}, "fetch_hosts"),
        ({"fetch_hosts": ["https://example.org"]}, "fetch_hosts"),
        ({"algorithms": []}, "algorithms"),
    ],
)
def test_a_bad_browserid_setting_is_named(changes: Json, key: str) -> None:
    """By its key, with a reason."""
    (problem,) = msgspec.convert(BROWSERID | changes, BrowserIdSettings).problems()
    assert problem[0] == key
    assert problem[1]


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"issuer": ""}, "issuer"),
        ({"audiences": []}, "audiences"),
        ({"audiences": ["web", ""]}, "audiences"),
        ({"jwks_file": None}, "jwks_url"),
        ({"jwks_url": "https://login.example.org/keys"}, "jwks_url"),
        ({"jwks_file": None, "jwks_url": "http://login.example.org/keys"}, "jwks_url"),
        ({"jwks_file": None, "jwks_url": "https://"}, "jwks_url"),
        ({"algorithms": []}, "algorithms"),
    ],
)
def test_a_bad_oidc_setting_is_named(changes: Json, key: str) -> None:
    """By its key, with a reason."""
    (problem,) = msgspec.convert(OIDC | changes, OidcIssuerSettings).problems()
    assert problem[0] == key
    assert problem[1]


@pytest.mark.parametrize(
    "changes", [{"algorithms": ["RS64"]}, {"algorithms": ["none"]}, {"skew_s": 301}, {"skew_s": -1}, {"secret": "x"}]
)
def test_what_no_setting_may_say_is_refused(changes: Json) -> None:
    """Weak algorithms, a clock skew out of bounds, and unknown keys do not even convert."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(BROWSERID | changes, BrowserIdSettings)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(OIDC | changes, OidcIssuerSettings)


@pytest.mark.parametrize("algorithm", ["HS256", "HS512", "none"])
def test_a_symmetric_algorithm_can_not_be_configured(algorithm: str) -> None:
    """The issuer's key set is public: as a shared secret it would be everybody's."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(OIDC | {"algorithms": [algorithm]}, OidcIssuerSettings)


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://a.org", "https://a.org"),
        ("https://A.org:443/", "https://a.org"),
        ("http://a.org:80", "http://a.org"),
        ("http://localhost:5000", "http://localhost:5000"),
        ("https://[::1]:8443", "https://[::1]:8443"),
        ("https://a.org:80", "https://a.org:80"),
    ],
)
def test_an_origin_loses_its_default_port(text: str, origin: str) -> None:
    """And the letter case of scheme and host."""
    assert origin_or_none(text) == origin


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a.org",
        "ftp://a.org",
        "https://",
        "https://a.org/x",
        "https://a.org?",
        "https://a.org#",
        "https://u@a.org",
        "https://a.org:",
        "https://a.org:x",
        "https://a.org:99999",
        "https://a .org",
        "https://a.org\n",
        "https://ä.org",
        "https://[::1",
    ],
)
def test_what_is_no_origin_is_none(text: str) -> None:
    """Paths, users, blanks and letters beyond ASCII are no part of an origin."""
    assert origin_or_none(text) is None


@pytest.mark.parametrize("text", ["https://a.org/keys?x=1", "https://a.org:8443", "https://127.0.0.1/k"])
def test_an_https_url_is_one(text: str) -> None:
    """Any host and path."""
    assert is_https_url(text)


@pytest.mark.parametrize(
    "text",
    ["", "http://a.org", "https://", "https://u:p@a.org", "https://a.org/#x", "https://a.org:x", "https://a b"],
)
def test_what_is_no_https_url_is_refused(text: str) -> None:
    """No TLS, no host, a user, a fragment, a bad port, a blank."""
    assert not is_https_url(text)
