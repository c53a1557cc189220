"""Makes the authenticator of a front-end process from the settings; reads key and secret files once.

All problems with the files are reported together, each with the setting that names the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, TypeVar

from api.auth.authenticate import Authenticator, BrowserIdDoor, Doors, LinkDoor, OidcDoor
from api.auth.browserid import BrowserIdVerifier
from api.auth.browserid_keys import BadKeyError, PublicKey
from api.auth.https_fetch import HttpsFetcher, is_public_address
from api.auth.issuers import Issuers
from api.auth.key_sets import FileSource, KeySet, KeySetSource, KeySetUnavailableError, UrlSource, parse_key_set
from api.auth.keys import KeyRing
from api.auth.link_rates import LinkRates
from api.auth.links import BadLinkError, LinkVerifier, parse_link_secret
from api.auth.oidc import OidcVerifier
from api.auth.replays import Replays
from api.auth.support_documents import Fetcher, SupportDocuments, parse_key_file
from api.auth.verified_tokens import VerifiedTokens
from common.clock import Clock
from common.identity_settings import BrowserIdSettings, OidcIssuerSettings
from common.limits import DOCUMENT_BYTES_MAX

Value = TypeVar("Value")


class ApplicationIdentity(Protocol):
    """What is read of an application's settings."""

    @property
    def key_sha256(self) -> tuple[str, ...]:
        """Digests of its keys."""
        ...

    @property
    def browserid(self) -> BrowserIdSettings | None:
        """Its BrowserID users, ``None`` for none."""
        ...

    @property
    def oidc(self) -> tuple[OidcIssuerSettings, ...]:
        """Its OIDC issuers."""
        ...

    @property
    def link_secrets(self) -> Mapping[str, str]:
        """Secret's name -> file."""
        ...


class IdentityFilesError(ValueError):
    """Files that settings name can't be used; ``problems`` holds (setting, reason) pairs, never a file's content."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{setting}: {reason}" for setting, reason in problems))


class Fetchers(Protocol):
    """The two ways out: for hosts that an address leads to, and for URLs that the operator wrote."""

    @property
    def public(self) -> Fetcher:
        """Reaches public addresses only."""
        ...

    @property
    def configured(self) -> Fetcher:
        """Reaches any address."""
        ...


class HttpsFetchers:
    """The ways out of a running front end."""

    def __init__(self, clock: Clock) -> None:
        self.public: Fetcher = HttpsFetcher(clock=clock, is_address_allowed=is_public_address)
        self.configured: Fetcher = HttpsFetcher(clock=clock, is_address_allowed=lambda _: True)


def build_authenticator(
    applications: Mapping[str, ApplicationIdentity],
    *,
    directory: Path,
    run_directory: Path,
    fetchers: Fetchers,
    processes: int,
) -> Authenticator:
    """Return the authenticator of a front-end process.

    Args:
        applications: name -> settings.
        directory: that of the configuration file, where relative file names begin.
        run_directory: where used assertions are noted; shared by the machine's front-end processes.
        fetchers: ``HttpsFetchers(clock)``.
        processes: front-end processes of this machine.

    Raises:
        IdentityFilesError: files are missing, unreadable or hold something else.
    """
    builder = _Builder(directory, run_directory, fetchers, processes)
    doors = {name: builder.doors(name, identity) for name, identity in applications.items()}
    if builder.problems:
        raise IdentityFilesError(builder.problems)
    return Authenticator(KeyRing({name: identity.key_sha256 for name, identity in applications.items()}), doors)


class _Builder:
    def __init__(self, directory: Path, run_directory: Path, fetchers: Fetchers, processes: int) -> None:
        self.problems: list[tuple[str, str]] = []
        self._directory = directory
        self._replays = Replays(run_directory / "assertions")
        self._fetchers = fetchers
        self._processes = processes

    def doors(self, name: str, identity: ApplicationIdentity) -> Doors:
        setting = f"applications.{name}"
        return Doors(
            browserid=self._browserid(setting, identity.browserid) if identity.browserid is not None else None,
            oidc=self._oidc(setting, identity.oidc) if identity.oidc else None,
            links=self._links(setting, name, identity.link_secrets) if identity.link_secrets else None,
        )

    def _browserid(self, setting: str, settings: BrowserIdSettings) -> BrowserIdDoor:
        keys: dict[str, PublicKey] = {}
        for issuer, file in settings.issuer_keys.items():
            key = self._read(f"{setting}.browserid.issuer_keys.{issuer}", file, parse_key_file)
            if key is not None:
                keys[issuer] = key
        documents = None
        if settings.fetch_hosts:
            documents = SupportDocuments(frozenset(settings.fetch_hosts), self._fetchers.public)
        issuers = Issuers(keys, fallback_issuers=frozenset(settings.fallback_issuers), documents=documents)
        replays = self._replays if settings.single_use else None
        return BrowserIdDoor(BrowserIdVerifier(settings, issuers), replays, VerifiedTokens())

    def _oidc(self, setting: str, issuers: tuple[OidcIssuerSettings, ...]) -> OidcDoor:
        pairs = [
            (settings, KeySet(self._key_set_source(f"{setting}.oidc[{n}]", settings)))
            for n, settings in enumerate(issuers)
        ]
        return OidcDoor(OidcVerifier(pairs), VerifiedTokens())

    def _key_set_source(self, setting: str, settings: OidcIssuerSettings) -> KeySetSource:
        if settings.jwks_file is None:
            return UrlSource(settings.jwks_url or "", self._fetchers.configured)
        self._read(f"{setting}.jwks_file", settings.jwks_file, parse_key_set)
        return FileSource(self._directory / settings.jwks_file)

    def _links(self, setting: str, name: str, files: Mapping[str, str]) -> LinkDoor:
        found: dict[str, bytes] = {}
        for secret_name, file in files.items():
            secret = self._read(f"{setting}.link_secrets.{secret_name}", file, parse_link_secret)
            if secret is not None:
                found[secret_name] = secret
        return LinkDoor(LinkVerifier(name, found), LinkRates(self._processes))

    def _read(self, setting: str, file: str, parse: Callable[[bytes], Value]) -> Value | None:
        try:
            with (self._directory / file).open("rb") as opened:
                return parse(opened.read(DOCUMENT_BYTES_MAX))
        except OSError as error:
            self.problems.append((setting, f"{file}: {error.strerror or 'unreadable'}"))
        except (BadKeyError, BadLinkError, KeySetUnavailableError) as error:
            self.problems.append((setting, f"{file}: {error}"))
        return None
