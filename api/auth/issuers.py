"""Who may speak for a domain, and with which key.

A domain's authority is the domain itself where its key is configured or its support document holds one; or the
host that its support document delegates to, in at most six steps; or, where it has no support at all, one of the
configured fallback issuers.  A fallback never speaks for a domain that speaks for itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from api.auth.browserid_keys import PublicKey
from api.auth.errors import AuthCode, AuthError
from api.auth.support_documents import SupportDocument, SupportDocuments, SupportDocumentUnavailableError
from common.limits import DELEGATIONS_MAX, SUPPORT_DOCUMENT_FAILURE_KEPT_MS


class Issuers:
    """The BrowserID issuers that one application trusts."""

    def __init__(
        self,
        keys: Mapping[str, PublicKey],
        *,
        fallback_issuers: frozenset[str] = frozenset(),
        documents: SupportDocuments | None = None,
    ) -> None:
        self._keys = dict(keys)
        self._fallback_issuers = fallback_issuers
        self._documents = documents

    def key_for(self, domain: str, issuer: str, *, now_ms: int) -> PublicKey:
        """Return the key of ``issuer`` if it may speak for addresses of ``domain`` (both lower-case).

        Raises:
            AuthError: ``browserid_wrong_issuer``, ``browserid_too_many_delegations``,
                ``browserid_issuer_unavailable``.
        """
        authority = self._authority_or_none(domain, now_ms)
        if issuer != authority and (authority is not None or issuer not in self._fallback_issuers):
            raise _wrong_issuer()
        return self._key_of(issuer, now_ms)

    def _authority_or_none(self, domain: str, now_ms: int) -> str | None:
        host = domain
        for _ in range(DELEGATIONS_MAX + 1):
            if host in self._keys:
                return host
            document = self._document_or_none(host, now_ms)
            if document is None and host != domain:
                raise _wrong_issuer()  # delegated to nowhere: no fallback either
            if document is None:
                return None
            if document.authority is None:
                return host
            host = document.authority
        raise AuthError(
            AuthCode.BROWSERID_TOO_MANY_DELEGATIONS,
            f"the address's domain delegates more than {DELEGATIONS_MAX} times",
        )

    def _key_of(self, issuer: str, now_ms: int) -> PublicKey:
        key = self._keys.get(issuer)
        if key is None:
            document = self._document_or_none(issuer, now_ms)
            key = document.key if document is not None else None
        if key is None:
            raise _wrong_issuer()
        return key

    def _document_or_none(self, host: str, now_ms: int) -> SupportDocument | None:
        if self._documents is None:
            return None
        try:
            return self._documents.document_or_none(host, now_ms=now_ms)
        except SupportDocumentUnavailableError:
            raise AuthError(
                AuthCode.BROWSERID_ISSUER_UNAVAILABLE,
                "the issuer's support document can't be had now",
                retry_after_ms=SUPPORT_DOCUMENT_FAILURE_KEPT_MS,
            ) from None


def _wrong_issuer() -> AuthError:
    return AuthError(AuthCode.BROWSERID_WRONG_ISSUER, "the certificate's issuer may not speak for this address")
