"""Principals: who a request comes from, and v1's ``principles`` field that lists them.

A principal is a text: ``app:NAME`` for an application, ``bid:EMAIL`` for a user.  This module gives each its one
canonical form, so that comparing two principals anywhere is comparing two texts:

- an application's name is kept as it is, letter case included;
- of an e-mail address the domain is lower-cased, the part before ``@`` is kept as it is (its meaning belongs to
  its mail server: ``Ann`` and ``ann``, ``ann`` and ``ann+list`` are different users).

Addresses are plain ASCII: no quoted local parts, no comments, no bare host names; an internationalised domain is
written in its ``xn--`` form.  Looking alike is therefore never enough to be equal.
"""

from __future__ import annotations

import re
from typing import Final

from common.limits import DOMAIN_CHARS_MAX, EMAIL_CHARS_MAX, PRINCIPALS_MAX, PRINCIPLES_CHARS_MAX

APPLICATION_PREFIX: Final = "app:"
USER_PREFIX: Final = "bid:"

_APPLICATION: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_\-.~:]{0,49}", re.ASCII)
_WORD: Final = r"[A-Za-z0-9_!#$%&'*+/=?^`{|}~\-]+"
_LOCAL_PART: Final = re.compile(rf"(?=.{{1,64}}\Z){_WORD}(?:\.{_WORD})*", re.ASCII)
_LABEL: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_\-]{0,61}[A-Za-z0-9_])?"
_DOMAIN: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})+", re.ASCII)

_PART_SHOWN_CHARS_MAX: Final = 80


class BadPrincipalError(ValueError):
    """A principal can't be read: ``part`` is the text at fault (cut to 80 characters), ``reason`` says why."""

    def __init__(self, part: str, reason: str) -> None:
        self.part = part[:_PART_SHOWN_CHARS_MAX]
        self.reason = reason
        super().__init__(f"{self.part!r} {reason}")


def parse_principals(text: str) -> tuple[str, ...]:
    """Read a comma-separated list of principals, blanks around each ignored.

    Returns:
        The canonical principals in the order given, each once.

    Raises:
        BadPrincipalError: an entry is no principal, the list is empty or too long.
    """
    if len(text) > PRINCIPLES_CHARS_MAX:
        raise BadPrincipalError(text, f"is longer than {PRINCIPLES_CHARS_MAX} characters")
    parts = text.split(",")
    if len(parts) > PRINCIPALS_MAX:
        raise BadPrincipalError(text, f"lists more than {PRINCIPALS_MAX} principals")
    return tuple(dict.fromkeys(parse_principal(part.strip(" \t")) for part in parts))


def parse_principal(text: str) -> str:
    """Return the canonical form of one principal.

    Raises:
        BadPrincipalError: it is neither ``app:NAME`` nor ``bid:EMAIL``.
    """
    if text.startswith(APPLICATION_PREFIX):
        return _parse_application(text)
    if text.startswith(USER_PREFIX):
        return USER_PREFIX + _canonical_email(text.removeprefix(USER_PREFIX), text)
    raise BadPrincipalError(text, "is neither app:NAME nor bid:USER@DOMAIN")


def parse_email(email: str) -> str:
    """Return the canonical form of an e-mail address: its domain lower-cased.

    Raises:
        BadPrincipalError: it is not an address as this module defines one.
    """
    return _canonical_email(email, email)


def parse_domain(text: str) -> str:
    """Return the canonical (lower-case) form of a domain with at least two labels.

    Raises:
        BadPrincipalError: it is no such domain.
    """
    if len(text) > DOMAIN_CHARS_MAX or not _DOMAIN.fullmatch(text):
        raise BadPrincipalError(text, "is not a domain")
    return text.lower()


def domain_of(email: str) -> str:
    """Return the lower-case domain of a canonical address."""
    return email.rpartition("@")[2]


def application_principal(name: str) -> str:
    """Return the principal of a configured application."""
    return APPLICATION_PREFIX + name


def user_principal(email: str) -> str:
    """Return the principal of a user.

    Raises:
        BadPrincipalError: it is not an address as this module defines one.
    """
    return USER_PREFIX + parse_email(email)


def _parse_application(text: str) -> str:
    if not _APPLICATION.fullmatch(text.removeprefix(APPLICATION_PREFIX)):
        raise BadPrincipalError(text, "does not name an application")
    return text


def _canonical_email(email: str, shown: str) -> str:
    local_part, at, domain = email.rpartition("@")
    if not at or len(email) > EMAIL_CHARS_MAX or not _LOCAL_PART.fullmatch(local_part):
        raise BadPrincipalError(shown, "does not hold an e-mail address")
    if not _DOMAIN.fullmatch(domain):
        raise BadPrincipalError(shown, "does not hold an e-mail address with a full domain")
    return f"{local_part}@{domain.lower()}"
