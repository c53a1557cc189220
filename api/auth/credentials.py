"""The ``Authorization`` header: several credentials joined by ``;``.

::

    Application <key>; BrowserID <assertion>; Bearer <ID token>; Link <token>

A part without one of these words is ignored, as in v1.  A key may hold a ``;`` itself, so what follows an
``Application`` part up to the next known word is kept beside it as ``tail``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from api.auth.errors import AuthCode, AuthError
from common.limits import AUTHORIZATION_CHARS_MAX, CREDENTIALS_MAX


class Scheme(StrEnum):
    """The words that introduce a credential; letter case counts, except in ``Bearer``."""

    APPLICATION = "Application"
    BROWSERID = "BrowserID"
    BEARER = "Bearer"
    LINK = "Link"


class Credential(NamedTuple):
    """One credential; its ``repr`` shows the scheme alone."""

    scheme: Scheme
    value: str
    tail: tuple[str, ...] = ()
    """Parts of the header that followed and are no credential of their own, as they stood."""

    def __repr__(self) -> str:
        return f"Credential({self.scheme.value})"


_SCHEMES: Final = {scheme.value: scheme for scheme in Scheme}


def parse_authorization(header: str) -> tuple[Credential, ...]:
    """Split a header into its credentials, in order; what is unrecognised is left out.

    Raises:
        AuthError: ``malformed_authorization``: too long, or too many credentials.
    """
    if len(header) > AUTHORIZATION_CHARS_MAX:
        raise _malformed(f"more than {AUTHORIZATION_CHARS_MAX} characters")
    found: list[tuple[Credential, list[str]]] = []
    for part in header.split(";"):
        credential = _credential_or_none(part)
        if credential is not None:
            found.append((credential, []))
        elif found:
            found[-1][1].append(part)
        if len(found) > CREDENTIALS_MAX:
            raise _malformed(f"more than {CREDENTIALS_MAX} credentials")
    return tuple(credential._replace(tail=tuple(tail)) for credential, tail in found)


def _credential_or_none(part: str) -> Credential | None:
    word, blank, value = part.lstrip(" \t").partition(" ")
    scheme = _SCHEMES.get(word) or (Scheme.BEARER if word.lower() == "bearer" else None)
    return Credential(scheme, value.strip(" \t")) if scheme and blank else None


def _malformed(reason: str) -> AuthError:
    return AuthError(AuthCode.MALFORMED_AUTHORIZATION, f"the Authorization header has {reason}")
