"""OIDC key sets (JWKS) that rotate: from a file or a URL, cached, fetched once at a time and never in a rush.

A set is used for five minutes.  A token that names an unknown key may bring the next fetch forward, but two fetches
are at least half a minute apart, so tokens with made-up key ids can't drive traffic to the issuer.  If the issuer
does not answer, the last good set counts for another hour.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from api.auth.https_fetch import FetchError
from api.auth.support_documents import Fetcher
from common.limits import DOCUMENT_BYTES_MAX, KEY_SET_COOL_DOWN_MS, KEY_SET_KEPT_MS, KEY_SET_STALE_MS_MAX

_KEY_TYPES: Final = frozenset({"RSA", "EC", "OKP"})
_RSA_BITS_MIN: Final = 2048
_RSA_ALGORITHMS: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth"})


class KeySetUnavailableError(Exception):
    """There is no key set that could be used now."""


class KeySetSource(Protocol):
    """Where a key set comes from."""

    def version(self) -> object:
        """Return a value that changes when reading again is worth while at once."""
        ...

    def read(self) -> bytes:
        """Return the JSON; raises ``KeySetUnavailableError``."""
        ...


class FileSource:
    """A file that an operator replaces."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def version(self) -> object:
        """Return what tells one file from the next."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def read(self) -> bytes:
        """Return the file's bytes."""
        try:
            with self._path.open("rb") as file:
                return file.read(DOCUMENT_BYTES_MAX)
        except OSError:
            raise KeySetUnavailableError(str(self._path)) from None


class UrlSource:
    """A URL of the issuer."""

    def __init__(self, url: str, fetcher: Fetcher) -> None:
        self._url = url
        self._fetcher = fetcher

    def version(self) -> object:
        """Return a constant: only time tells."""
        return None

    def read(self) -> bytes:
        """Return the reply's body."""
        try:
            reply = self._fetcher.fetch(self._url)
        except FetchError:
            raise KeySetUnavailableError(self._url) from None
        if reply.status != 200:
            raise KeySetUnavailableError(self._url)
        return reply.body


class SigningKey(NamedTuple):
    """A public key, and the algorithms that it serves."""

    key_id: str | None
    algorithms: frozenset[str]
    key: jwt.PyJWK


class KeySet:
    """The public keys of one issuer; safe to use from several threads or greenlets."""

    def __init__(self, source: KeySetSource) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._keys: tuple[SigningKey, ...] | None = None
        self._read_ms = 0
        self._attempts = 0
        self._tried_ms = 0
        self._tried_version: object = None

    def key_or_none(self, key_id: str | None, algorithm: str, *, now_ms: int) -> SigningKey | None:
        """Return the key that a token names; without a name, the only key that serves the algorithm.

        Raises:
            KeySetUnavailableError: there is no set that could be used now.
        """
        if self._is_due(now_ms):
            self._refresh(now_ms)
        found = _find(self._usable(now_ms), key_id, algorithm)
        if found is None and self._may_try(now_ms):
            self._refresh(now_ms)
            found = _find(self._usable(now_ms), key_id, algorithm)
        return found

    def _is_due(self, now_ms: int) -> bool:
        if self._source.version() != self._tried_version:
            return True
        is_old = self._keys is None or now_ms - self._read_ms >= KEY_SET_KEPT_MS
        return is_old and self._may_try(now_ms)

    def _may_try(self, now_ms: int) -> bool:
        return not self._attempts or now_ms - self._tried_ms >= KEY_SET_COOL_DOWN_MS

    def _refresh(self, now_ms: int) -> None:
        attempts = self._attempts
        with self._lock:
            if attempts != self._attempts:
                return
            self._tried_version = self._source.version()
            with suppress(KeySetUnavailableError):
                self._keys = parse_key_set(self._source.read())
                self._read_ms = now_ms
            self._tried_ms = now_ms
            self._attempts += 1

    def _usable(self, now_ms: int) -> tuple[SigningKey, ...]:
        if self._keys is None or now_ms - self._read_ms >= KEY_SET_KEPT_MS + KEY_SET_STALE_MS_MAX:
            raise KeySetUnavailableError("no key set")
        return self._keys


class _KeySetText(msgspec.Struct, frozen=True):
    keys: list[dict[str, object]]


def parse_key_set(document: bytes) -> tuple[SigningKey, ...]:
    """Read a key set; keys that are symmetric, too small, unknown or not for signatures are left out.

    Raises:
        KeySetUnavailableError: it is no key set.
    """
    try:
        text = msgspec.json.decode(document, type=_KeySetText)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise KeySetUnavailableError("not a key set") from None
    return tuple(key for key in map(_key_or_none, text.keys) if key is not None)


def _key_or_none(text: dict[str, object]) -> SigningKey | None:
    if text.get("kty") not in _KEY_TYPES or text.get("use", "sig") != "sig":
        return None
    try:
        key = jwt.PyJWK({name: value for name, value in text.items() if name not in _PRIVATE_MEMBERS})
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError):
        return None
    if isinstance(key.key, RSAPublicKey) and key.key.key_size < _RSA_BITS_MIN:
        return None
    key_id = text.get("kid")
    return SigningKey(key_id if isinstance(key_id, str) else None, _algorithms_of(text, key), key)


def _algorithms_of(text: dict[str, object], key: jwt.PyJWK) -> frozenset[str]:
    """An RSA key without ``alg`` serves all RSA signatures; a curve names its one algorithm itself."""
    if "alg" not in text and key.key_type == "RSA":
        return _RSA_ALGORITHMS
    return frozenset({key.algorithm_name})


def _find(keys: tuple[SigningKey, ...], key_id: str | None, algorithm: str) -> SigningKey | None:
    fitting = [key for key in keys if algorithm in key.algorithms and key_id in {None, key.key_id}]
    return fitting[0] if len(fitting) == 1 else None
