"""Capability links: tokens that an application signs offline and anybody may use.

The recipe, for any language::

    payload   = base64url(JSON object, UTF-8)          no padding
    signed    = "q1." + <secret's name> + "." + payload
    token     = signed + "." + base64url(HMAC-SHA256(<secret's bytes>, signed))

The JSON object has these members, in any order and spacing:

================ ======= ==========================================================================
``app``          text    the application
``id``           text    the link's id, for revoking it: 1-64 letters, digits, ``-``, ``_``
``epoch``        integer for revoking all links of before; 0 unless given
``ops``          list    of ``read``, ``publish``, ``claim``, ``delete``
``queue``        text    the one queue it is for; or else
``prefix``       text    the beginning of the names of the queues it is for (may be empty: all)
``exp``          integer Unix seconds when it ends, at most 400 days ahead
``body_bytes``   integer the largest body it may publish; optional
``per_minute``   integer requests per minute, counted by each front-end machine; optional
================ ======= ==========================================================================

A secret is the bytes of its file without blanks and line ends around them, 32 at least.  It signs and never travels.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from typing import Annotated, Final, Literal, NoReturn

import msgspec

from api.auth.encoding import BadEncodingError, decode, encode
from api.auth.errors import AuthCode, AuthError
from common.limits import (
    BODY_BYTES_CEILING,
    LINK_CHARS_MAX,
    LINK_ID_CHARS_MAX,
    LINK_LIFETIME_S_MAX,
    LINK_REQUESTS_PER_MINUTE_MAX,
    LINK_SECRET_BYTES_MAX,
    LINK_SECRET_BYTES_MIN,
    NAME_CHARS_MAX,
    NAME_PATTERN,
)
from common.protocol.operations import LinkGrant

VERSION: Final = "q1"

LinkOperation = Literal["read", "publish", "claim", "delete"]

_ID_PATTERN: Final = rf"^[A-Za-z0-9_\-]{{1,{LINK_ID_CHARS_MAX}}}\Z"
_SECRET_NAME: Final = re.compile(_ID_PATTERN, re.ASCII)
_QUEUE: Final = re.compile(NAME_PATTERN, re.ASCII)
_PREFIX: Final = re.compile(rf"(?!_)[A-Za-z0-9_\-.~:]{{0,{NAME_CHARS_MAX}}}", re.ASCII)


class BadLinkError(ValueError):
    """A link can't be minted as asked; the text says why and holds no secret."""


class Link(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a link says; exactly one of ``queue`` and ``prefix`` is set."""

    application: str = msgspec.field(name="app")
    link_id: Annotated[str, msgspec.Meta(pattern=_ID_PATTERN)] = msgspec.field(name="id")
    epoch: Annotated[int, msgspec.Meta(ge=0, le=1 << 53)] = 0
    operations: Annotated[tuple[LinkOperation, ...], msgspec.Meta(min_length=1, max_length=4)] = msgspec.field(
        name="ops"
    )
    queue: str | None = None
    prefix: str | None = None
    expires_s: Annotated[int, msgspec.Meta(ge=0, le=1 << 43)] = msgspec.field(name="exp")
    body_bytes_max: Annotated[int, msgspec.Meta(ge=1, le=BODY_BYTES_CEILING)] | None = msgspec.field(
        name="body_bytes", default=None
    )
    requests_per_minute: Annotated[int, msgspec.Meta(ge=1, le=LINK_REQUESTS_PER_MINUTE_MAX)] | None = msgspec.field(
        name="per_minute", default=None
    )

    def __post_init__(self) -> None:
        """Refuse what types alone can't (``msgspec`` turns it into its own error when decoding)."""
        if (self.queue is None) == (self.prefix is None):
            raise ValueError("exactly one of queue and prefix is needed")
        if self.queue is not None and (not _QUEUE.fullmatch(self.queue) or self.queue in {".", ".."}):
            raise ValueError("queue is no queue's name")
        if self.prefix is not None and not _PREFIX.fullmatch(self.prefix):
            raise ValueError("prefix is no beginning of a queue's name")
        if len(set(self.operations)) != len(self.operations):
            raise ValueError("ops names an operation twice")

    def grant(self) -> LinkGrant:
        """Return what travels to the storage node."""
        return LinkGrant(
            link_id=self.link_id,
            epoch=self.epoch,
            operations=self.operations,
            queue=self.queue if self.queue is not None else self.prefix or "",
            prefix=self.queue is None,
            expires_ms=self.expires_s * 1000,
            body_bytes_max=self.body_bytes_max,
        )


def new_link_id() -> str:
    """Return a random id for a link."""
    return secrets.token_urlsafe(12)


def mint_link(link: Link, *, secret_name: str, secret: bytes) -> str:
    """Return the token of a link; needs no service, only one of the application's link secrets.

    Raises:
        BadLinkError: the link says something a service would refuse, or name or secret are no such.
    """
    if not _SECRET_NAME.fullmatch(secret_name):
        raise BadLinkError(f"a secret's name has 1 to {LINK_ID_CHARS_MAX} letters, digits, '-' and '_'")
    secret = parse_link_secret(secret)
    text = msgspec.json.encode(link)
    try:
        msgspec.json.decode(text, type=Link)
    except msgspec.ValidationError as error:
        raise BadLinkError(str(error)) from None
    signed = f"{VERSION}.{secret_name}.{encode(text)}"
    token = f"{signed}.{encode(_mac(secret, signed))}"
    if len(token) > LINK_CHARS_MAX:
        raise BadLinkError(f"the token has more than {LINK_CHARS_MAX} characters")
    return token


def parse_link_secret(content: bytes) -> bytes:
    """Return the secret in a file's bytes: blanks and line ends around it do not count.

    Raises:
        BadLinkError: shorter than 32 or longer than 1,024 bytes.
    """
    secret = content.strip(b" \t\r\n")
    if not LINK_SECRET_BYTES_MIN <= len(secret) <= LINK_SECRET_BYTES_MAX:
        raise BadLinkError(f"a link secret has {LINK_SECRET_BYTES_MIN} to {LINK_SECRET_BYTES_MAX} bytes")
    return secret


class LinkVerifier:
    """Verifies the links of one application; several secrets are live at once, for rotation."""

    def __init__(self, application: str, named_secrets: Mapping[str, bytes]) -> None:
        """Take secret's name -> bytes.

        Raises:
            BadLinkError: a secret is too short or too long.
        """
        self._application = application
        self._secrets = {name: parse_link_secret(secret) for name, secret in named_secrets.items()}

    def __repr__(self) -> str:
        return f"LinkVerifier({self._application!r})"

    def verify(self, token: str, *, now_ms: int) -> Link:
        """Return what a token grants; scope and revocation are the storage node's to judge.

        Raises:
            AuthError: with one of the ``link_...`` codes.
        """
        signed, secret_name, payload, mac = _split(token)
        secret = self._secrets.get(secret_name)
        if secret is None:
            _refuse(AuthCode.LINK_UNKNOWN_SIGNER, "the link is signed with a secret that does not count here")
        if not hmac.compare_digest(_mac(secret, signed), mac):
            _refuse(AuthCode.LINK_BAD_SIGNATURE, "the link's signature does not fit")
        link = _decode(payload)
        if link.application != self._application:
            _refuse(AuthCode.LINK_WRONG_APPLICATION, "the link is for another application")
        _check_expiry(link, now_ms)
        return link


def _split(token: str) -> tuple[str, str, bytes, bytes]:
    parts = token.split(".")
    if len(token) > LINK_CHARS_MAX or len(parts) != 4 or parts[0] != VERSION:
        _refuse_malformed()
    try:
        return ".".join(parts[:3]), parts[1], decode(parts[2]), decode(parts[3])
    except BadEncodingError:
        _refuse_malformed()


def _decode(payload: bytes) -> Link:
    try:
        return msgspec.json.decode(payload, type=Link)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        _refuse_malformed()


def _check_expiry(link: Link, now_ms: int) -> None:
    if link.expires_s * 1000 <= now_ms:
        _refuse(AuthCode.LINK_EXPIRED, "the link has expired")
    if link.expires_s * 1000 > now_ms + LINK_LIFETIME_S_MAX * 1000:
        _refuse(AuthCode.LINK_LIFETIME_TOO_LONG, "the link ends too far ahead")


def _mac(secret: bytes, signed: str) -> bytes:
    return hmac.digest(secret, signed.encode("utf-8", "surrogatepass"), hashlib.sha256)


def _refuse(code: AuthCode, text: str) -> NoReturn:
    raise AuthError(code, text) from None


def _refuse_malformed() -> NoReturn:
    _refuse(AuthCode.LINK_MALFORMED, "not a link")
