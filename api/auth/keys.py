"""Application keys: any 1-200 visible ASCII characters, known by their SHA-256 digests alone.

A key is looked up under a digest keyed with bytes of this process, so the time of the look-up tells nothing of the
digests; what is found is compared in constant time.  Keys are random, so a fast hash is the right one.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterator, Mapping
from typing import Final

from api.auth.credentials import Credential
from api.auth.errors import AuthCode, AuthError
from common.limits import APPLICATION_KEY_CHARS_MAX
from common.principals import application_principal

_KEY: Final = re.compile(r"[\x21-\x7e]+", re.ASCII)
_DIGEST: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_NO_DIGEST: Final = "0" * 64


def key_digest(key: str) -> str:
    """Return the lower-case hex SHA-256 of a key's bytes, as the configuration keeps it.

    Raises:
        ValueError: not 1 to 200 visible ASCII characters (the text does not repeat the key).
    """
    if not is_key(key):
        raise ValueError(f"a key has 1 to {APPLICATION_KEY_CHARS_MAX} visible ASCII characters")
    return hashlib.sha256(key.encode("ascii")).hexdigest()


def is_key(text: str) -> bool:
    """Say whether a text can be an application key."""
    return len(text) <= APPLICATION_KEY_CHARS_MAX and _KEY.fullmatch(text) is not None


class KeyRing:
    """The keys of all applications; several per application are live at once."""

    def __init__(self, digests: Mapping[str, tuple[str, ...]]) -> None:
        """Take application name -> digests.

        Raises:
            ValueError: a digest is not 64 lower-case hex digits.
        """
        self._pepper = secrets.token_bytes(32)
        self._known: dict[bytes, tuple[str, tuple[str, ...]]] = {}
        for name, of_application in digests.items():
            for digest in of_application:
                self._add(name, digest)

    def principals_of(self, credential: Credential) -> tuple[str, ...]:
        """Return the principals of the applications that have this key.

        Raises:
            AuthError: ``invalid_application_key``.
        """
        for candidate in _candidates(credential):
            names = self._applications_of(candidate)
            if names:
                return tuple(application_principal(name) for name in names)
        raise AuthError(AuthCode.INVALID_APPLICATION_KEY, "Invalid application key")

    def _applications_of(self, key: str) -> tuple[str, ...]:
        if not is_key(key):
            return ()
        digest = key_digest(key)
        known, names = self._known.get(self._blind(digest), (_NO_DIGEST, ()))
        return names if hmac.compare_digest(known, digest) else ()

    def _add(self, name: str, digest: str) -> None:
        if not _DIGEST.fullmatch(digest):
            raise ValueError(f"a key digest of {name!r} is not 64 lower-case hex digits")
        _, names = self._known.get(self._blind(digest), (digest, ()))
        self._known[self._blind(digest)] = (digest, tuple(dict.fromkeys((*names, name))))

    def _blind(self, digest: str) -> bytes:
        return hashlib.blake2b(digest.encode("ascii"), key=self._pepper, digest_size=16).digest()


def _candidates(credential: Credential) -> Iterator[str]:
    """Yield the key as sent, then with each further part of the header that a ``;`` of its own may have cut off."""
    yield credential.value
    key = credential.value
    for part in credential.tail:
        key = f"{key};{part}"
        if len(key) > APPLICATION_KEY_CHARS_MAX + 1:
            return
        yield key.rstrip(" \t")
