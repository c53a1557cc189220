"""Refusals of authentication, as data.

An ``AuthError`` holds a stable code, the key under which v1's ``error_msg`` shows it, and a text made here.  It
never holds anything of the credential, nor another exception that might.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from common.protocol.failures import Retry


class AuthCode(StrEnum):
    """Stable, machine-readable; clients match these."""

    INVALID_APPLICATION_KEY = "invalid_application_key"
    MALFORMED_AUTHORIZATION = "malformed_authorization"
    SCHEME_NOT_ENABLED = "scheme_not_enabled"

    BROWSERID_TOO_LARGE = "browserid_too_large"
    BROWSERID_MALFORMED = "browserid_malformed"
    BROWSERID_STRIPPED_CHAIN = "browserid_stripped_chain"
    BROWSERID_CHAIN_TOO_LONG = "browserid_chain_too_long"
    BROWSERID_WRONG_AUDIENCE = "browserid_wrong_audience"
    BROWSERID_EXPIRED = "browserid_expired"
    BROWSERID_NOT_YET_VALID = "browserid_not_yet_valid"
    BROWSERID_LIFETIME_TOO_LONG = "browserid_lifetime_too_long"
    BROWSERID_CERTIFICATE_EXPIRED = "browserid_certificate_expired"
    BROWSERID_CERTIFICATE_LIFETIME_TOO_LONG = "browserid_certificate_lifetime_too_long"
    BROWSERID_BAD_EMAIL = "browserid_bad_email"
    BROWSERID_WRONG_ISSUER = "browserid_wrong_issuer"
    BROWSERID_TOO_MANY_DELEGATIONS = "browserid_too_many_delegations"
    BROWSERID_ISSUER_UNAVAILABLE = "browserid_issuer_unavailable"
    BROWSERID_WRONG_ALGORITHM = "browserid_wrong_algorithm"
    BROWSERID_BAD_KEY = "browserid_bad_key"
    BROWSERID_BAD_CERTIFICATE_SIGNATURE = "browserid_bad_certificate_signature"
    BROWSERID_BAD_SIGNATURE = "browserid_bad_signature"
    BROWSERID_REPLAYED = "browserid_replayed"
    BROWSERID_REPLAY_UNCHECKED = "browserid_replay_unchecked"

    OIDC_TOO_LARGE = "oidc_too_large"
    OIDC_MALFORMED = "oidc_malformed"
    OIDC_WRONG_ISSUER = "oidc_wrong_issuer"
    OIDC_WRONG_ALGORITHM = "oidc_wrong_algorithm"
    OIDC_UNKNOWN_KEY = "oidc_unknown_key"
    OIDC_ISSUER_UNAVAILABLE = "oidc_issuer_unavailable"
    OIDC_BAD_SIGNATURE = "oidc_bad_signature"
    OIDC_WRONG_AUDIENCE = "oidc_wrong_audience"
    OIDC_EXPIRED = "oidc_expired"
    OIDC_NOT_YET_VALID = "oidc_not_yet_valid"
    OIDC_EMAIL_NOT_VERIFIED = "oidc_email_not_verified"
    OIDC_BAD_EMAIL = "oidc_bad_email"

    LINK_MALFORMED = "link_malformed"
    LINK_UNKNOWN_SIGNER = "link_unknown_signer"
    LINK_BAD_SIGNATURE = "link_bad_signature"
    LINK_WRONG_APPLICATION = "link_wrong_application"
    LINK_EXPIRED = "link_expired"
    LINK_LIFETIME_TOO_LONG = "link_lifetime_too_long"
    LINK_TOO_MANY = "link_too_many"
    LINK_RATE_EXCEEDED = "link_rate_exceeded"


RETRY_OF: Final[dict[AuthCode, Retry]] = {
    AuthCode.BROWSERID_ISSUER_UNAVAILABLE: Retry.LATER,
    AuthCode.BROWSERID_REPLAY_UNCHECKED: Retry.LATER,
    AuthCode.OIDC_ISSUER_UNAVAILABLE: Retry.LATER,
    AuthCode.LINK_RATE_EXCEEDED: Retry.LATER,
}
"""What is not here is ``Retry.NO``: another credential is needed."""

_FIELD_OF_PREFIX: Final = {"browserid": "InvalidBrowserID", "oidc": "InvalidToken", "link": "InvalidLink"}


class AuthError(Exception):
    """A credential does not count; nothing was done.

    Every code is a 401, except ``link_rate_exceeded`` (429).  ``retry_after_ms`` is 0 unless waiting helps.
    """

    def __init__(self, code: AuthCode, text: str, *, retry_after_ms: int = 0) -> None:
        self.code = code
        self.text = text
        self.retry = RETRY_OF.get(code, Retry.NO)
        self.retry_after_ms = retry_after_ms
        super().__init__(f"{code.value}: {text}")

    @property
    def field(self) -> str:
        """The key of v1's ``error_msg``."""
        if self.code is AuthCode.INVALID_APPLICATION_KEY:
            return "InvalidApplicationKey"
        return _FIELD_OF_PREFIX.get(self.code.value.partition("_")[0], "InvalidAuthorization")
