"""Which pages may call: the pure part of the cross-origin rules."""

from __future__ import annotations

import pytest

from api.routes.cross_origin import CrossOrigin, CrossOriginCall
from common.settings import is_origin

PAGE = "https://app.example.org"
RULES = CrossOrigin({"web": (PAGE,), "closed": ()})


def preflight(origin: str, *, application: str = "web", headers: str = "authorization") -> dict[str, str] | None:
    found = RULES.preflight(CrossOriginCall(application, origin, "POST", headers))
    return None if found is None else dict(found)


def test_a_listed_origin_is_named_and_never_with_credentials() -> None:
    """The answer names that origin alone and what the page may read."""
    headers = dict(RULES.headers(CrossOriginCall("web", PAGE)))
    assert headers["Access-Control-Allow-Origin"] == PAGE
    assert {"Retry-After", "X-Request-Id"} <= set(headers["Access-Control-Expose-Headers"].split(", "))
    assert "Access-Control-Allow-Credentials" not in headers | (preflight(PAGE) or {})


@pytest.mark.parametrize(
    "origin",
    ["", "null", "*", PAGE + "/", PAGE.upper(), PAGE + ":8443", "http://app.example.org", PAGE + ".evil.org"],
)
def test_any_other_origin_gets_nothing(origin: str) -> None:
    """Only exactly what is listed counts."""
    assert dict(RULES.headers(CrossOriginCall("web", origin))) == {"Vary": "Origin"}
    assert preflight(origin) is None


@pytest.mark.parametrize("application", ["closed", "missing"])
def test_an_origin_counts_for_its_application_alone(application: str) -> None:
    """None is allowed by default."""
    assert dict(RULES.headers(CrossOriginCall(application, PAGE))) == {"Vary": "Origin"}
    assert preflight(PAGE, application=application) is None


def test_a_preflight_allows_the_attributes_that_it_names() -> None:
    """Their names are the client's; anything else that it names is left out."""
    allowed = preflight(PAGE, headers="X-Attr-Color, x-attr-a\r\nb, x-evil")
    assert allowed is not None
    names = allowed["Access-Control-Allow-Headers"].split(", ")
    assert {"authorization", "last-event-id", "idempotency-key", "x-attr-color"} <= set(names)
    assert not {"x-evil", "x-attr-a\r\nb"} & set(names)


@pytest.mark.parametrize("text", [PAGE, "http://localhost:3000", "http://127.0.0.1:8", "http://[::1]:8080"])
def test_origins_are_taken_as_browsers_send_them(text: str) -> None:
    """Scheme, host, and a port unless it is the default."""
    assert is_origin(text)


@pytest.mark.parametrize(
    "text",
    [
        "*",
        "null",
        "",
        "app.example.org",
        PAGE + "/",
        PAGE + ":443",
        "http://a:80",
        "https://A.org",
        "ftp://a",
        "http://a:0",
    ],
)
def test_what_no_browser_sends_is_no_origin(text: str) -> None:
    """It would never match, so the configuration refuses it."""
    assert not is_origin(text)
