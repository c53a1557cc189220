"""BrowserID: verifying a backed assertion, cheapest checks first.

::

    certificate                              assertion
    header . payload . signature      ~      header . payload . signature
             |         by the issuer                  |         by the user's key
             iss, exp, principal, public-key          aud, exp

The certificate is the issuer's word that a key belongs to an address, the assertion that key's word that its owner
talks to us.  Times are Unix milliseconds.  Exactly one certificate; neither side's ``alg`` is believed, it must
equal what the key is for.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, NamedTuple, NoReturn, TypeVar

import msgspec

from api.auth.browserid_keys import BadKeyError, PublicKey, parse_public_key
from api.auth.encoding import BadEncodingError, decode
from api.auth.errors import AuthCode, AuthError
from api.auth.issuers import Issuers
from common.identity_settings import BrowserIdSettings, origin_or_none
from common.limits import ASSERTION_CHARS_MAX
from common.principals import BadPrincipalError, domain_of, parse_domain, parse_email

T = TypeVar("T")

_UnixMs = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]


class VerifiedAssertion(NamedTuple):
    """What a good assertion says."""

    email: str
    """Canonical: its domain lower-cased."""
    issuer: str
    expires_ms: int
    """When assertion or certificate ends, whichever is first."""
    assertion_expires_ms: int
    fingerprint: bytes
    """The same for every text that carries this signed assertion of this user."""


class _Header(msgspec.Struct, frozen=True):
    alg: str


class _Principal(msgspec.Struct, frozen=True):
    email: str


class _Certificate(msgspec.Struct, frozen=True, rename={"public_key": "public-key"}):
    iss: str
    exp: _UnixMs
    principal: _Principal
    public_key: msgspec.Raw
    iat: _UnixMs | None = None
    nbf: _UnixMs | None = None


class _Assertion(msgspec.Struct, frozen=True):
    aud: str
    exp: _UnixMs
    iat: _UnixMs | None = None
    nbf: _UnixMs | None = None


class _Token(NamedTuple):
    algorithm: str
    payload: bytes
    signed: bytes
    signature: bytes


class BrowserIdVerifier:
    """Verifies the assertions of one application's users; holds no secret."""

    def __init__(self, settings: BrowserIdSettings, issuers: Issuers) -> None:
        self._issuers = issuers
        self._audiences = frozenset(map(origin_or_none, settings.audiences)) - {None}
        self._algorithms = frozenset(settings.algorithms)
        self._skew_ms = settings.skew_s * 1000
        self._assertion_ms_max = settings.assertion_s_max * 1000
        self._certificate_ms_max = settings.certificate_s_max * 1000

    def verify(self, text: str, *, now_ms: int) -> VerifiedAssertion:
        """Return whom a backed assertion names.

        Raises:
            AuthError: with one of the ``browserid_...`` codes.
        """
        certificate_token, assertion_token = _split(text)
        certificate = _decode(certificate_token.payload, _Certificate)
        assertion = _decode(assertion_token.payload, _Assertion)
        self._check_audience(assertion)
        self._check_assertion_times(assertion, now_ms)
        self._check_certificate_times(certificate, now_ms)
        self._check_algorithms(certificate_token, assertion_token)
        email = _email(certificate)
        issuer = _issuer(certificate)
        issuer_key = self._issuers.key_for(domain_of(email), issuer, now_ms=now_ms)
        _check_signature(certificate_token, issuer_key, AuthCode.BROWSERID_BAD_CERTIFICATE_SIGNATURE)
        _check_signature(assertion_token, _user_key(certificate), AuthCode.BROWSERID_BAD_SIGNATURE)
        expires_ms = min(assertion.exp, certificate.exp)
        return VerifiedAssertion(email, issuer, expires_ms, assertion.exp, _fingerprint(email, assertion_token))

    def _check_audience(self, assertion: _Assertion) -> None:
        origin = origin_or_none(assertion.aud)
        if origin is None or origin not in self._audiences:
            _refuse(AuthCode.BROWSERID_WRONG_AUDIENCE, "the assertion was made for another audience")

    def _check_assertion_times(self, assertion: _Assertion, now_ms: int) -> None:
        if assertion.exp + self._skew_ms <= now_ms:
            _refuse(AuthCode.BROWSERID_EXPIRED, "the assertion has expired")
        if assertion.exp > now_ms + self._assertion_ms_max + self._skew_ms:
            _refuse(AuthCode.BROWSERID_LIFETIME_TOO_LONG, "the assertion ends too far ahead")
        self._check_begun(assertion.iat, assertion.nbf, now_ms)

    def _check_certificate_times(self, certificate: _Certificate, now_ms: int) -> None:
        if certificate.exp + self._skew_ms <= now_ms:
            _refuse(AuthCode.BROWSERID_CERTIFICATE_EXPIRED, "the certificate has expired")
        if certificate.exp > now_ms + self._certificate_ms_max + self._skew_ms:
            _refuse(AuthCode.BROWSERID_CERTIFICATE_LIFETIME_TOO_LONG, "the certificate ends too far ahead")
        self._check_begun(certificate.iat, certificate.nbf, now_ms)

    def _check_begun(self, issued_ms: int | None, not_before_ms: int | None, now_ms: int) -> None:
        if max(issued_ms or 0, not_before_ms or 0) > now_ms + self._skew_ms:
            _refuse(AuthCode.BROWSERID_NOT_YET_VALID, "the assertion or its certificate is not valid yet")

    def _check_algorithms(self, *tokens: _Token) -> None:
        if any(token.algorithm not in self._algorithms for token in tokens):
            _refuse(AuthCode.BROWSERID_WRONG_ALGORITHM, "a signature algorithm that does not count here")


def _split(text: str) -> tuple[_Token, _Token]:
    if len(text) > ASSERTION_CHARS_MAX:
        _refuse(AuthCode.BROWSERID_TOO_LARGE, f"the assertion has more than {ASSERTION_CHARS_MAX} characters")
    tokens = text.split("~")
    if len(tokens) == 1 or tokens[0] == "":
        _refuse(AuthCode.BROWSERID_STRIPPED_CHAIN, "the assertion comes without its certificate")
    if len(tokens) > 2:
        _refuse(AuthCode.BROWSERID_CHAIN_TOO_LONG, "the assertion comes with more than one certificate")
    return _parse_token(tokens[0]), _parse_token(tokens[1])


def _parse_token(text: str) -> _Token:
    parts = text.split(".")
    if len(parts) != 3:
        _refuse_malformed()
    try:
        header, payload, signature = map(decode, parts)
    except BadEncodingError:
        _refuse_malformed()
    return _Token(_decode(header, _Header).alg, payload, f"{parts[0]}.{parts[1]}".encode("ascii"), signature)


def _decode(text: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        _refuse_malformed()


def _email(certificate: _Certificate) -> str:
    try:
        return parse_email(certificate.principal.email)
    except BadPrincipalError:
        _refuse(AuthCode.BROWSERID_BAD_EMAIL, "the certificate names no plain e-mail address")


def _issuer(certificate: _Certificate) -> str:
    try:
        return parse_domain(certificate.iss)
    except BadPrincipalError:
        _refuse(AuthCode.BROWSERID_WRONG_ISSUER, "the certificate's issuer is no domain")


def _user_key(certificate: _Certificate) -> PublicKey:
    try:
        return parse_public_key(certificate.public_key)
    except BadKeyError:
        _refuse(AuthCode.BROWSERID_BAD_KEY, "the certificate holds no usable public key")


def _check_signature(token: _Token, key: PublicKey, code: AuthCode) -> None:
    if token.algorithm != key.algorithm:
        _refuse(AuthCode.BROWSERID_WRONG_ALGORITHM, "the algorithm is not the one that the key is for")
    if not key.is_signature(token.signature, token.signed):
        _refuse(code, "a signature does not fit")


def _fingerprint(email: str, assertion: _Token) -> bytes:
    """Hash what was signed, not the signature: of one signed text there can be several valid signatures."""
    return hashlib.sha256(email.encode("ascii") + b"\0" + assertion.signed).digest()


def _refuse(code: AuthCode, text: str) -> NoReturn:
    raise AuthError(code, text) from None


def _refuse_malformed() -> NoReturn:
    _refuse(AuthCode.BROWSERID_MALFORMED, "not a BrowserID assertion")
