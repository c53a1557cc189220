"""The part of an application's settings that says who its users are, beside its keys.

Values only: ``common.settings`` embeds them under ``[applications.NAME]``, the front end makes verifiers of them.
Files are named, never held: no secret is in a settings value, its ``repr`` or an error about it.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import msgspec

from common.limits import (
    ASSERTION_LIFETIME_S_MAX,
    CERTIFICATE_LIFETIME_S_MAX,
    CLOCK_SKEW_S_DEFAULT,
    CLOCK_SKEW_S_MAX,
)
from common.principals import BadPrincipalError, parse_domain

Problem = tuple[str, str]
"""A key below the struct's own, and what is wrong with it."""

SkewSeconds = Annotated[int, msgspec.Meta(ge=0, le=CLOCK_SKEW_S_MAX)]
BrowserIdAlgorithm = Literal["RS256", "DS128", "DS256"]
OidcAlgorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class BrowserIdSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[applications.NAME.browserid]``: which BrowserID assertions name a user of this application."""

    audiences: tuple[str, ...]
    """Origins that an assertion may be made for, such as ``https://queue.example.org``."""
    issuer_keys: dict[str, str] = {}
    """Issuer's domain -> JSON file with its public key, bare or as ``public-key`` of a support document."""
    fallback_issuers: tuple[str, ...] = ()
    """Domains that may vouch for addresses whose own domain supports no BrowserID."""
    fetch_hosts: tuple[str, ...] = ()
    """Hosts whose ``/.well-known/browserid`` may be fetched over TLS; empty: nothing is fetched."""
    algorithms: tuple[BrowserIdAlgorithm, ...] = ("RS256", "DS256")
    """Signatures that count; ``DS128`` (SHA-1) only where it is named here."""
    skew_s: SkewSeconds = CLOCK_SKEW_S_DEFAULT
    """Seconds by which other clocks may differ from ours."""
    assertion_s_max: Annotated[int, msgspec.Meta(ge=1, le=86_400)] = ASSERTION_LIFETIME_S_MAX
    """Seconds an assertion may end ahead of now."""
    certificate_s_max: Annotated[int, msgspec.Meta(ge=1, le=31 * 86_400)] = CERTIFICATE_LIFETIME_S_MAX
    """Seconds a certificate may end ahead of now."""
    single_use: bool = True
    """Whether a front-end machine takes an assertion once only; otherwise until it ends."""

    def problems(self) -> tuple[Problem, ...]:
        """Return what types alone can't refuse."""
        found: list[Problem] = []
        if not self.audiences:
            found.append(("audiences", "names no origin"))
        found += [("audiences", f"{text!r} is no origin") for text in self.audiences if origin_or_none(text) is None]
        found += _bad_domains("issuer_keys", tuple(self.issuer_keys))
        found += _bad_domains("fallback_issuers", self.fallback_issuers)
        found += _bad_domains("fetch_hosts", self.fetch_hosts)
        if not self.issuer_keys and not self.fetch_hosts:
            found.append(("issuer_keys", "neither it nor fetch_hosts names an issuer"))
        if not self.algorithms:
            found.append(("algorithms", "names none"))
        return tuple(found)


class OidcIssuerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One ``[[applications.NAME.oidc]]``: an issuer whose ID tokens name a user of this application."""

    issuer: str
    """Exactly the tokens' ``iss``."""
    audiences: tuple[str, ...]
    """Client ids of this application at the issuer."""
    jwks_file: str | None = None
    """File with the issuer's key set; read again when it changes."""
    jwks_url: str | None = None
    """``https`` URL of the issuer's key set."""
    algorithms: tuple[OidcAlgorithm, ...] = ("RS256", "ES256", "EdDSA")
    """Signatures that count; never a symmetric one."""
    skew_s: SkewSeconds = CLOCK_SKEW_S_DEFAULT
    """Seconds by which the issuer's clock may differ from ours."""

    def problems(self) -> tuple[Problem, ...]:
        """Return what types alone can't refuse."""
        found: list[Problem] = []
        if not self.issuer:
            found.append(("issuer", "is empty"))
        if not self.audiences or "" in self.audiences:
            found.append(("audiences", "names no client id, or an empty one"))
        if (self.jwks_file is None) == (self.jwks_url is None):
            found.append(("jwks_url", "exactly one of jwks_file and jwks_url is needed"))
        if self.jwks_url is not None and not is_https_url(self.jwks_url):
            found.append(("jwks_url", "is no https URL"))
        if not self.algorithms:
            found.append(("algorithms", "names none"))
        return tuple(found)


def origin_or_none(text: str) -> str | None:
    """Return an origin (``scheme://host[:port]``) without its default port, or ``None`` for anything else."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    host = parts.hostname
    if parts.scheme not in _DEFAULT_PORTS or not host or not text.isascii() or not text.isprintable() or " " in text:
        return None
    if parts.path not in {"", "/"} or "?" in text or "#" in text or "@" in parts.netloc or parts.netloc.endswith(":"):
        return None
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}" + ("" if port in {None, _DEFAULT_PORTS[parts.scheme]} else f":{port}")


def is_https_url(text: str) -> bool:
    """Say whether a text is an ``https`` URL with a host, without user, fragment, blank or control character."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    plain = text.isascii() and text.isprintable() and " " not in text and port != 0
    return plain and parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc and "#" not in text


def _bad_domains(key: str, domains: tuple[str, ...]) -> list[Problem]:
    return [(key, f"{text!r} is no lower-case domain") for text in domains if not _is_canonical_domain(text)]


def _is_canonical_domain(text: str) -> bool:
    try:
        return parse_domain(text) == text
    except BadPrincipalError:
        return False
