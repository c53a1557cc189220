"""OIDC ID tokens: the living successor of BrowserID, naming the same ``bid:EMAIL`` principals.

Signature, ``crit``, ``iss`` and ``aud`` are PyJWT's business; which key and algorithm may count, the times (against
a ``now`` that is passed in) and the e-mail address are ours.  An address counts only with ``email_verified`` true.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, NamedTuple, NoReturn

import jwt
import msgspec

from api.auth.encoding import BadEncodingError, decode
from api.auth.errors import AuthCode, AuthError
from api.auth.key_sets import KeySet, KeySetUnavailableError, SigningKey
from common.identity_settings import OidcIssuerSettings
from common.limits import KEY_SET_COOL_DOWN_MS, TOKEN_CHARS_MAX
from common.principals import BadPrincipalError, parse_email

_UnixSeconds = Annotated[float, msgspec.Meta(ge=0, le=1 << 43)]

_OPTIONS: Final[jwt.types.Options] = {
    "require": ["iss", "aud", "exp", "iat", "sub"],
    "verify_signature": True,
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
}
"""The times are checked here: PyJWT would read a clock of its own."""


class VerifiedIdToken(NamedTuple):
    """What a good ID token says."""

    email: str
    """Canonical: its domain lower-cased."""
    issuer: str
    expires_ms: int


class _Header(msgspec.Struct, frozen=True):
    alg: str
    kid: str | None = None


class _Issuer(msgspec.Struct, frozen=True):
    iss: str


class _Claims(msgspec.Struct, frozen=True):
    aud: str | list[str]
    sub: str
    exp: _UnixSeconds
    iat: _UnixSeconds
    nbf: _UnixSeconds = 0
    azp: str | None = None
    email: str | None = None
    email_verified: bool | str = False


class OidcVerifier:
    """Verifies the ID tokens of one application's users, of any number of issuers; holds no secret."""

    def __init__(self, issuers: Sequence[tuple[OidcIssuerSettings, KeySet]]) -> None:
        self._issuers = {settings.issuer: (settings, keys) for settings, keys in issuers}

    def verify(self, token: str, *, now_ms: int) -> VerifiedIdToken:
        """Return whom an ID token names.

        Raises:
            AuthError: with one of the ``oidc_...`` codes.
        """
        header, issuer = _peek(token)
        if issuer not in self._issuers:
            _refuse(AuthCode.OIDC_WRONG_ISSUER, "the token's issuer is not one of this application's")
        settings, keys = self._issuers[issuer]
        if header.alg not in settings.algorithms:
            _refuse(AuthCode.OIDC_WRONG_ALGORITHM, "a signature algorithm that does not count here")
        key = _signing_key(keys, header, now_ms)
        claims = _verified_claims(token, key, header.alg, settings)
        _check_authorized_party(claims, settings)
        _check_times(claims, now_ms, settings.skew_s * 1000)
        return VerifiedIdToken(_email(claims), issuer, int(claims.exp * 1000))


def _peek(token: str) -> tuple[_Header, str]:
    """Read what is needed to find the key; nothing of it is believed until the signature fits."""
    if len(token) > TOKEN_CHARS_MAX:
        _refuse(AuthCode.OIDC_TOO_LARGE, f"the token has more than {TOKEN_CHARS_MAX} characters")
    parts = token.split(".")
    if len(parts) != 3:
        _refuse_malformed()
    try:
        header, payload = decode(parts[0]), decode(parts[1])
        decode(parts[2])
        return msgspec.json.decode(header, type=_Header), msgspec.json.decode(payload, type=_Issuer).iss
    except (BadEncodingError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        _refuse_malformed()


def _signing_key(keys: KeySet, header: _Header, now_ms: int) -> SigningKey:
    try:
        key = keys.key_or_none(header.kid, header.alg, now_ms=now_ms)
    except KeySetUnavailableError:
        raise AuthError(
            AuthCode.OIDC_ISSUER_UNAVAILABLE,
            "the issuer's keys can't be had now",
            retry_after_ms=KEY_SET_COOL_DOWN_MS,
        ) from None
    if key is None:
        _refuse(AuthCode.OIDC_UNKNOWN_KEY, "the issuer has no such key")
    return key


def _verified_claims(token: str, key: SigningKey, algorithm: str, settings: OidcIssuerSettings) -> _Claims:
    try:
        claims = jwt.decode(
            token,
            key.key.key,
            algorithms=[algorithm],
            audience=settings.audiences,
            issuer=settings.issuer,
            options=_OPTIONS,
        )
        return msgspec.convert(claims, type=_Claims)
    except jwt.InvalidSignatureError:
        _refuse(AuthCode.OIDC_BAD_SIGNATURE, "the token's signature does not fit")
    except jwt.InvalidAudienceError:
        _refuse_audience()
    except (jwt.PyJWTError, msgspec.ValidationError, TypeError, ValueError, RecursionError):
        _refuse_malformed()


def _check_authorized_party(claims: _Claims, settings: OidcIssuerSettings) -> None:
    """A token for several audiences must say that it was made for us."""
    is_shared = isinstance(claims.aud, list) and len(claims.aud) > 1
    if (is_shared or claims.azp is not None) and claims.azp not in settings.audiences:
        _refuse_audience()


def _check_times(claims: _Claims, now_ms: int, skew_ms: int) -> None:
    if claims.exp * 1000 + skew_ms <= now_ms:
        _refuse(AuthCode.OIDC_EXPIRED, "the token has expired")
    if max(claims.iat, claims.nbf) * 1000 > now_ms + skew_ms:
        _refuse(AuthCode.OIDC_NOT_YET_VALID, "the token is not valid yet")


def _email(claims: _Claims) -> str:
    if claims.email is None or claims.email_verified not in {True, "true"}:
        _refuse(AuthCode.OIDC_EMAIL_NOT_VERIFIED, "the token holds no e-mail address that its issuer verified")
    try:
        return parse_email(claims.email)
    except BadPrincipalError:
        _refuse(AuthCode.OIDC_BAD_EMAIL, "the token holds no plain e-mail address")


def _refuse(code: AuthCode, text: str) -> NoReturn:
    raise AuthError(code, text) from None


def _refuse_audience() -> NoReturn:
    _refuse(AuthCode.OIDC_WRONG_AUDIENCE, "the token was made for another audience")


def _refuse_malformed() -> NoReturn:
    _refuse(AuthCode.OIDC_MALFORMED, "not an ID token")
