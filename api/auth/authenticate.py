"""From a request's credentials to its ``Caller``: who asks, and what a link lets them do.

Keys count whatever application the URL names (an application may be listed in another's queue); users, issuers and
links are those of the application in the URL.  A credential that does not count refuses the request, also where none
would be needed.  What the caller may do is decided in the storage node.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from typing import Final, NamedTuple, NoReturn

from api.auth.browserid import BrowserIdVerifier
from api.auth.credentials import Credential, Scheme, parse_authorization
from api.auth.errors import AuthCode, AuthError
from api.auth.keys import KeyRing
from api.auth.link_rates import LinkRates
from api.auth.links import LinkVerifier
from api.auth.oidc import OidcVerifier
from api.auth.replays import Replays
from api.auth.verified_tokens import VerifiedTokens
from common.principals import user_principal
from common.protocol.operations import Caller, LinkGrant

CALLERS_KEPT_MAX: Final = 1_000
"""Headers with nothing but good application keys whose outcome is kept, under a digest keyed by the process."""


class BrowserIdDoor(NamedTuple):
    """How an application lets BrowserID users in; without ``replays`` an assertion counts until it ends."""

    verifier: BrowserIdVerifier
    replays: Replays | None
    verified: VerifiedTokens


class OidcDoor(NamedTuple):
    """How an application lets OIDC users in."""

    verifier: OidcVerifier
    verified: VerifiedTokens


class LinkDoor(NamedTuple):
    """How an application lets links in."""

    verifier: LinkVerifier
    rates: LinkRates


class Doors(NamedTuple):
    """The ways into one application beside keys; ``None`` is a door that does not exist."""

    browserid: BrowserIdDoor | None = None
    oidc: OidcDoor | None = None
    links: LinkDoor | None = None


class Authenticator:
    """Authenticates the requests of a front-end process; shows no secret in its ``repr``."""

    def __init__(self, keys: KeyRing, doors: Mapping[str, Doors]) -> None:
        self._keys = keys
        self._doors = dict(doors)
        self._pepper = secrets.token_bytes(16)
        self._callers: dict[bytes, Caller] = {}

    def authenticate(
        self, application: str, *, authorization: str | None, link: str | None = None, now_ms: int
    ) -> Caller:
        """Return who asks.

        Args:
            application: the one in the URL; one that is not configured has no doors.
            authorization: the ``Authorization`` header's value, ``None`` without one.
            link: the query's ``link``, ``None`` without one.
            now_ms: Unix milliseconds.

        Raises:
            AuthError: any credential does not count.
        """
        digest = self._digest(authorization or "")
        known = self._callers.get(digest) if link is None else None
        if known is not None:
            return known
        credentials = parse_authorization(authorization or "")
        doors = self._doors.get(application, Doors())
        principals = [
            principal for credential in credentials for principal in self._principals(doors, credential, now_ms)
        ]
        links = [credential.value for credential in credentials if credential.scheme is Scheme.LINK]
        grant = _grant(doors, links if link is None else [*links, link], now_ms)
        caller = Caller(principals=tuple(dict.fromkeys(principals)), link=grant)
        if link is None and all(credential.scheme is Scheme.APPLICATION for credential in credentials):
            self._remember(digest, caller)
        return caller

    def is_known(self, authorization: str | None) -> bool:
        """Say whether ``authenticate`` lets this header in, without a link, by what it remembers."""
        return self._digest(authorization or "") in self._callers

    def _digest(self, authorization: str) -> bytes:
        text = authorization.encode("utf-8", "surrogateescape")
        return hashlib.blake2b(text, key=self._pepper, digest_size=16).digest()

    def _remember(self, digest: bytes, caller: Caller) -> None:
        """Keep what keys alone decided: neither time nor the URL's application plays a part in that."""
        if len(self._callers) >= CALLERS_KEPT_MAX:
            self._callers.clear()
        self._callers[digest] = caller

    def _principals(self, doors: Doors, credential: Credential, now_ms: int) -> tuple[str, ...]:
        match credential.scheme:
            case Scheme.APPLICATION:
                return self._keys.principals_of(credential)
            case Scheme.BROWSERID:
                return (_browserid_principal(doors.browserid, credential.value, now_ms),)
            case Scheme.BEARER:
                return (_oidc_principal(doors.oidc, credential.value, now_ms),)
            case Scheme.LINK:
                return ()


def _browserid_principal(door: BrowserIdDoor | None, assertion: str, now_ms: int) -> str:
    if door is None:
        _refuse_scheme(Scheme.BROWSERID)
    known = door.verified.principal_or_none(assertion, now_ms=now_ms)
    if known is not None:
        return known
    found = door.verifier.verify(assertion, now_ms=now_ms)
    principal = user_principal(found.email)
    if door.replays is None:
        door.verified.remember(assertion, principal, expires_ms=found.expires_ms, now_ms=now_ms)
    else:
        _use_once(door.replays, found.fingerprint, found.assertion_expires_ms, now_ms)
    return principal


def _use_once(replays: Replays, fingerprint: bytes, expires_ms: int, now_ms: int) -> None:
    try:
        is_first = replays.use(fingerprint, expires_ms=expires_ms, now_ms=now_ms)
    except OSError:
        raise AuthError(
            AuthCode.BROWSERID_REPLAY_UNCHECKED, "whether the assertion was used before can't be told now"
        ) from None
    if not is_first:
        raise AuthError(AuthCode.BROWSERID_REPLAYED, "the assertion was used before")


def _oidc_principal(door: OidcDoor | None, token: str, now_ms: int) -> str:
    if door is None:
        _refuse_scheme(Scheme.BEARER)
    known = door.verified.principal_or_none(token, now_ms=now_ms)
    if known is not None:
        return known
    found = door.verifier.verify(token, now_ms=now_ms)
    principal = user_principal(found.email)
    door.verified.remember(token, principal, expires_ms=found.expires_ms, now_ms=now_ms)
    return principal


def _grant(doors: Doors, tokens: list[str], now_ms: int) -> LinkGrant | None:
    if not tokens:
        return None
    if len(tokens) > 1:
        raise AuthError(AuthCode.LINK_TOO_MANY, "a request takes one link")
    if doors.links is None:
        _refuse_scheme(Scheme.LINK)
    link = doors.links.verifier.verify(tokens[0], now_ms=now_ms)
    doors.links.rates.use(link, now_ms=now_ms)
    return link.grant()


def _refuse_scheme(scheme: Scheme) -> NoReturn:
    raise AuthError(AuthCode.SCHEME_NOT_ENABLED, f"this application takes no {scheme.value} credentials")
