"""Support documents: what a domain says about BrowserID under ``/.well-known/browserid``.

Fetched only from hosts that the configuration lists, once at a time per host however many requests wait, and
remembered: good ones for an hour, refusals and failures for a minute.
"""

from __future__ import annotations

import threading
from typing import Final, NamedTuple, Protocol

import msgspec

from api.auth.browserid_keys import BadKeyError, PublicKey, parse_public_key
from api.auth.https_fetch import Fetched, FetchError
from common.limits import SUPPORT_DOCUMENT_FAILURE_KEPT_MS, SUPPORT_DOCUMENT_KEPT_MS
from common.principals import BadPrincipalError, parse_domain

_NOTHING: Final = msgspec.Raw(b"")
_NO_DOCUMENT_STATUSES: Final = frozenset({404, 410})


class SupportDocumentUnavailableError(Exception):
    """Whether the host supports BrowserID can't be told now."""


class SupportDocument(NamedTuple):
    """What a host says: its key, or the host that speaks for it."""

    key: PublicKey | None
    authority: str | None


class Fetcher(Protocol):
    """Gets a document by URL."""

    def fetch(self, url: str) -> Fetched:
        """Return the reply; raises ``FetchError``."""
        ...


class _Text(msgspec.Struct, frozen=True, rename={"public_key": "public-key"}):
    disabled: bool = False
    authority: str | None = None
    public_key: msgspec.Raw = _NOTHING


class _Remembered(NamedTuple):
    document: SupportDocument | None
    is_available: bool
    until_ms: int


class SupportDocuments:
    """The documents of the allowed hosts; safe to use from several threads or greenlets."""

    def __init__(self, hosts: frozenset[str], fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        self._locks = {host: threading.Lock() for host in hosts}
        self._remembered: dict[str, _Remembered] = {}

    def document_or_none(self, host: str, *, now_ms: int) -> SupportDocument | None:
        """Return a host's document; ``None`` if it has none, disables BrowserID, or is no allowed host.

        Raises:
            SupportDocumentUnavailableError: it did not answer, or not with a document, less than a minute ago.
        """
        lock = self._locks.get(host)
        if lock is None:
            return None
        remembered = self._fresh_or_none(host, now_ms)
        if remembered is None:
            with lock:
                remembered = self._fresh_or_none(host, now_ms) or self._fetch(host, now_ms)
        if not remembered.is_available:
            raise SupportDocumentUnavailableError(host)
        return remembered.document

    def _fresh_or_none(self, host: str, now_ms: int) -> _Remembered | None:
        remembered = self._remembered.get(host)
        return remembered if remembered is not None and now_ms < remembered.until_ms else None

    def _fetch(self, host: str, now_ms: int) -> _Remembered:
        try:
            document = _parse_reply(host, self._fetcher.fetch(f"https://{host}/.well-known/browserid"))
        except (FetchError, SupportDocumentUnavailableError):
            remembered = _Remembered(None, False, now_ms + SUPPORT_DOCUMENT_FAILURE_KEPT_MS)
        else:
            kept_ms = SUPPORT_DOCUMENT_KEPT_MS if document is not None else SUPPORT_DOCUMENT_FAILURE_KEPT_MS
            remembered = _Remembered(document, True, now_ms + kept_ms)
        self._remembered[host] = remembered
        return remembered


def _parse_reply(host: str, reply: Fetched) -> SupportDocument | None:
    if reply.status in _NO_DOCUMENT_STATUSES:
        return None
    if reply.status != 200:
        raise SupportDocumentUnavailableError(host)
    return parse_support_document(host, reply.body)


def parse_support_document(host: str, body: bytes) -> SupportDocument | None:
    """Read a document; ``None`` if it disables BrowserID.

    Raises:
        SupportDocumentUnavailableError: it is no support document.
    """
    try:
        text = msgspec.json.decode(body, type=_Text)
        if text.disabled:
            return None
        if text.authority is not None:
            return SupportDocument(None, parse_domain(text.authority))
        return SupportDocument(parse_public_key(text.public_key), None)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, BadPrincipalError, BadKeyError):
        raise SupportDocumentUnavailableError(host) from None


def parse_key_file(body: bytes) -> PublicKey:
    """Read an issuer's key file: a bare public key, or a support document that holds one.

    Raises:
        BadKeyError: neither.
    """
    try:
        text = msgspec.json.decode(body, type=_Text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise BadKeyError("the file is no JSON object with a public key") from None
    return parse_public_key(text.public_key if bytes(text.public_key) else body)
