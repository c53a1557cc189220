"""Remembers verified tokens, so that a signature is checked once and not with every request."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections import OrderedDict

from common.limits import TOKEN_REMEMBERED_MS_MAX, TOKENS_REMEMBERED_MAX


class VerifiedTokens:
    """Token -> principal, bounded in number and time; holds hashes under a key of this process, never a token."""

    def __init__(self, entries_max: int = TOKENS_REMEMBERED_MAX) -> None:
        self._entries_max = entries_max
        self._pepper = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._entries: OrderedDict[bytes, tuple[str, int]] = OrderedDict()

    def principal_or_none(self, token: str, *, now_ms: int) -> str | None:
        """Return whom the token was found to name, unless it has ended or that was too long ago."""
        key = self._key(token)
        with self._lock:
            principal, until_ms = self._entries.get(key, ("", 0))
            if not until_ms:
                return None
            if until_ms <= now_ms:
                del self._entries[key]
                return None
            self._entries.move_to_end(key)
            return principal

    def remember(self, token: str, principal: str, *, expires_ms: int, now_ms: int) -> None:
        """Keep a verified token until it ends, five minutes at most; the least recently used makes room."""
        until_ms = min(expires_ms, now_ms + TOKEN_REMEMBERED_MS_MAX)
        with self._lock:
            self._entries[self._key(token)] = (principal, until_ms)
            self._entries.move_to_end(self._key(token))
            while len(self._entries) > self._entries_max:
                self._entries.popitem(last=False)

    def __len__(self) -> int:
        return len(self._entries)

    def _key(self, token: str) -> bytes:
        return hashlib.blake2b(token.encode("utf-8", "surrogatepass"), key=self._pepper, digest_size=32).digest()
