"""One TOML file, validated once: the frozen settings of every process.

The file is named by ``QUEUEY_CONFIG`` (default ``var/queuey.toml``).  All problems are reported together, each with
its key and its reason.  Paths in the file are relative to it; settings hold them absolute.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from common.addresses import (
    absolute_address,
    endpoint_of_process,
    host_and_port_or_none,
    is_wildcard,
    problem_of_bind,
    problem_of_endpoint,
    problem_of_metrics_bind,
)
from common.conversion import Problem, convert_struct
from common.guarantees import Guarantee, LogKind
from common.homes import home_problems
from common.identity_settings import BrowserIdSettings, OidcIssuerSettings
from common.limits import (
    BODY_BYTES_CEILING,
    BODY_BYTES_MAX,
    FRONT_END_WORKERS_MAX,
    LINK_ID_CHARS_MAX,
    NODE_PROCESSES_MAX,
)
from common.link_keys import is_curve_key, parse_seed, problem_of_secret_file, problem_of_seed
from common.principals import BadPrincipalError, application_principal, parse_principal
from common.quota_settings import QuotaSettings

CONFIG_VARIABLE: Final = "QUEUEY_CONFIG"
CONFIG_DEFAULT: Final = "var/queuey.toml"
SQLITE_FILE_DEFAULT: Final = "queuey.sqlite3"

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Keyspace = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,47}$")]
Replicas = Annotated[int, msgspec.Meta(ge=1, le=100)]

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_DIGESTS: Final = "applications.*.key_sha256"
_PATHS: Final = (
    "api.curve_secret_file",
    "storage_node.curve_secret_file",
    "store.path",
    "store.password_file",
    "store.tls_ca_file",
    "applications.*.link_secrets.*",
    "applications.*.browserid.issuer_keys.*",
    "applications.*.oidc.*.jwks_file",
)
_ORIGIN: Final = re.compile(r"https?://(?:[a-z0-9_.\-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::(?!0)[0-9]{1,5})?", re.ASCII)
_PORTS_LEFT_OUT: Final = (("http://", ":80"), ("https://", ":443"))
_ADDRESSES: Final = ("api.bind", "api.nodes.*", "storage_node.bind", "storage_node.advertise")
_LINK_ID: Final = re.compile(rf"[A-Za-z0-9_\-]{{1,{LINK_ID_CHARS_MAX}}}")


class BadSettingsError(Exception):
    """The configuration can't be used; ``problems`` holds all that is wrong with it."""

    def __init__(self, file: str, problems: tuple[Problem, ...]) -> None:
        super().__init__(f"{file}:\n" + "\n".join(f"  {problem}" for problem in problems))
        self.file = file
        self.problems = problems


class ApiSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[api]``: the front ends."""

    bind: str = "127.0.0.1:5000"
    """Address that the front end listens on, ``host:port`` or ``unix:path``."""
    workers: Annotated[int, msgspec.Meta(ge=1, le=FRONT_END_WORKERS_MAX)] = 2
    """Front-end processes."""
    nodes: tuple[str, ...] = ()
    """Storage nodes to ask for the members: ZeroMQ endpoints, each with a space and the node's public CURVE key where
    the link is encrypted; empty means those of ``[storage_node]``."""
    curve_secret_file: str = ""
    """The file with the front ends' secret CURVE key; needed to reach nodes that have keys."""
    metrics_bind: str = ""
    """Address ``host:port`` on which the front ends show their metrics at ``/metrics``; empty shows none."""
    body_bytes_max: Annotated[int, msgspec.Meta(ge=1, le=BODY_BYTES_CEILING)] = BODY_BYTES_MAX
    """Bytes of one message body."""
    console: bool = True
    """Whether the front ends serve the console page at ``/console``."""

    def problems(self) -> tuple[tuple[str, str], ...]:
        """Return what types alone can't refuse."""
        found = [("bind", problem_of_bind(self.bind)), ("metrics_bind", problem_of_metrics_bind(self.metrics_bind))]
        found += [("nodes", problem_of_seed(text)) for text in self.nodes]
        if self.curve_secret_file:
            found.append(("curve_secret_file", problem_of_secret_file(self.curve_secret_file)))
        elif any(parse_seed(text).curve_key for text in self.nodes):
            found.append(("curve_secret_file", "is missing: nodes with keys take only front ends that have one"))
        return tuple((key, reason) for key, reason in found if reason)


class StorageNodeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[storage_node]``: the storage nodes."""

    bind: str = "tcp://127.0.0.1:5570"
    """ZeroMQ endpoint that the node listens on; process n of several adds n to the port, or to the socket's name."""
    processes: Annotated[int, msgspec.Meta(ge=1, le=NODE_PROCESSES_MAX)] = 1
    """Storage-node processes of this machine."""
    advertise: str = ""
    """ZeroMQ endpoint that front ends reach the node at, counted up like ``bind``; empty means ``bind``."""
    curve_secret_file: str = ""
    """The file with this node's secret CURVE key; with it the link is encrypted and only ``allowed_keys`` get in."""
    allowed_keys: tuple[str, ...] = ()
    """Public CURVE keys of the front ends (and of operators' commands) that may connect."""
    metrics_bind: str = ""
    """Address ``host:port`` on which a node shows its metrics, process n at n ports further; empty shows none."""

    def endpoint(self, process: int) -> str:
        """Return where the process with this number, counted from 0, listens."""
        return endpoint_of_process(self.bind, process)

    def address(self, process: int) -> str:
        """Return where front ends reach the process with this number."""
        return endpoint_of_process(self.advertise or self.bind, process)

    def metrics_address(self, process: int) -> tuple[str, int] | None:
        """Return where the process with this number shows its metrics."""
        place = host_and_port_or_none(self.metrics_bind)
        return (place[0], place[1] + process) if place else None

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Where the processes of this machine listen."""
        return tuple(map(self.endpoint, range(self.processes)))

    def problems(self) -> tuple[tuple[str, str], ...]:
        """Return what types alone can't refuse."""
        encrypted = bool(self.curve_secret_file)
        found = [("metrics_bind", problem_of_metrics_bind(self.metrics_bind))]
        for key, endpoint in {"bind": self.bind, "advertise": self.advertise}.items():
            last = endpoint_of_process(endpoint, self.processes - 1)
            reasons = [problem_of_endpoint(text, encrypted=encrypted) for text in (endpoint, last) if text]
            found.append((key, next(filter(None, reasons), None)))
        if is_wildcard(self.advertise or self.bind):
            found.append(("advertise", "must name the address that front ends connect to: bind names all addresses"))
        return tuple((key, reason) for key, reason in (*found, *self._key_problems()) if reason)

    def _key_problems(self) -> Iterator[tuple[str, str | None]]:
        for key in self.allowed_keys:
            yield (
                "allowed_keys",
                None if is_curve_key(key) else f"{key!r} is no public CURVE key (40 characters, Z85)",
            )
        if self.curve_secret_file:
            yield "curve_secret_file", problem_of_secret_file(self.curve_secret_file)
            if not self.allowed_keys:
                yield "allowed_keys", "is empty: no front end could connect"
        elif self.allowed_keys:
            yield "curve_secret_file", "is missing: without it nothing looks at allowed_keys"


class StoreSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[store]``: where messages are kept."""

    backend: Literal["sqlite", "cassandra"] = "sqlite"
    """``sqlite`` or ``cassandra``."""
    path: str = SQLITE_FILE_DEFAULT
    """SQLite: the file, beside the configuration file if relative."""
    hosts: tuple[str, ...] = ("127.0.0.1",)
    """Cassandra: hosts to begin with."""
    port: Port = 9042
    """Cassandra: the port of the native protocol."""
    keyspace: Keyspace = "queuey"
    """Cassandra: the keyspace."""
    local_dc: str = "dc1"
    """Cassandra: the data centre of this node."""
    replication: dict[str, Replicas] | None = None
    """Cassandra: data centre -> replicas.  May be left out where the cluster has one node."""
    quorum: Literal["global", "local"] = "global"
    """Cassandra: ``global`` counts a quorum over all data centres.  ``local`` counts it in one: each application then
    has its ``home_dc``.  Fixed by the first node of a keyspace."""
    migrate_at_start: bool = True
    """Whether a node brings the schema up to date when it starts."""
    username: str = ""
    """Cassandra: who logs in."""
    password_file: str = ""
    """Cassandra: the file that holds the password."""
    tls_ca_file: str = ""
    """Cassandra: the authority that signed the servers' certificates; empty means no TLS."""

    def problems(self) -> tuple[tuple[str, str], ...]:
        """Return what types alone can't refuse."""
        found = [("hosts", "names no host")] if not self.hosts or "" in self.hosts else []
        if bool(self.username) != bool(self.password_file):
            found.append(("password_file", "goes with username: give both or none"))
        if not self.path:
            found.append(("path", "is empty"))
        if self.tls_ca_file and not _is_readable(self.tls_ca_file):
            found.append(("tls_ca_file", f"{self.tls_ca_file} can't be read"))
        reason = problem_of_secret_file(self.password_file) if self.password_file else None
        return (*found, *((("password_file", reason),) if reason else ()))


class ApplicationSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[applications.NAME]``: one tenant."""

    key_sha256: tuple[str, ...] = ()
    """Lower-case hex SHA-256 digests of the application's keys, all valid at once."""
    guarantee: Guarantee = Guarantee.AT_LEAST_ONCE
    """What new queues promise."""
    home_dc: str = ""
    """With ``[store] quorum = "local"``: the data centre whose nodes alone serve the application; others say so."""
    log: LogKind | None = None
    """``fenced`` makes every new queue's log fenced; left out, the guarantee decides."""
    browserid: BrowserIdSettings | None = None
    """Which BrowserID assertions name a user; left out, none do."""
    oidc: tuple[OidcIssuerSettings, ...] = ()
    """Issuers whose ID tokens name a user."""
    link_secrets: dict[str, str] = {}
    """Name of a secret that signs capability links -> file that holds it."""
    quotas: QuotaSettings = QuotaSettings()
    """How much of the service it may use; as much as there is by default."""
    origins: tuple[str, ...] = ()
    """Origins whose pages may call from a browser, such as ``https://app.example.org``; none by default."""

    def problems(self) -> tuple[tuple[str, str], ...]:
        """Return what types alone can't refuse."""
        found = [
            ("key_sha256", "is no lower-case hex SHA-256 digest (64 digits; `queuey key` makes one)")
            for digest in self.key_sha256
            if not _DIGEST.fullmatch(digest)
        ]
        if self.guarantee is Guarantee.EXACTLY_ONCE and self.log is LogKind.PLAIN:
            found.append(("log", "exactly_once needs a fenced log"))
        found += [("origins", f"{origin!r} is no origin") for origin in self.origins if not is_origin(origin)]
        names = [name for name in self.link_secrets if not _LINK_ID.fullmatch(name)]
        found += [(f"link_secrets.{name}", "is no name of letters, digits, _ and -") for name in names]
        files = {f"link_secrets.{name}": file for name, file in self.link_secrets.items()}
        found += [(key, reason) for key, file in files.items() if (reason := problem_of_secret_file(file))]
        return tuple(found)


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    api: ApiSettings = ApiSettings()
    storage_node: StorageNodeSettings = StorageNodeSettings()
    store: StoreSettings = StoreSettings()
    applications: dict[str, ApplicationSettings] = {}

    @property
    def seeds(self) -> tuple[str, ...]:
        """The storage nodes that a front end asks first: ``endpoint`` or ``endpoint key``."""
        return self.api.nodes or self.storage_node.endpoints

    def contradictions(self) -> tuple[Problem, ...]:
        """Return what is wrong between sections that are right by themselves."""
        found = (*_application_problems(self), *_quota_problems(self), *_sqlite_problems(self), *_link_problems(self))
        return (*found, *(Problem(*each) for each in home_problems(self)))


def config_file() -> Path:
    """Return the absolute path of the configuration file of this process."""
    return Path(os.environ.get(CONFIG_VARIABLE) or CONFIG_DEFAULT).absolute()


def run_dir(file: Path) -> Path:
    """Return where the sockets, pids, logs and metric files of a configuration's processes are.

    Another name than the usual one has a directory of its own, so that two files in one folder never collide.
    """
    run = file.parent / "run"
    return run if file.name == Path(CONFIG_DEFAULT).name else run / file.stem


def metrics_dir(file: Path) -> Path:
    """Return where the front ends of a configuration keep what they measured; emptied when they start."""
    return run_dir(file) / "metrics"


def load_settings(file: Path | None = None) -> Settings:
    """Read, check and return the settings of the file (default: of ``QUEUEY_CONFIG``).

    Raises:
        BadSettingsError: the file is missing, is no TOML, or anything in it is wrong.
    """
    path = (file or config_file()).absolute()
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadSettingsError(str(path), (Problem("file", str(error)),)) from None
    return parse_settings(document, path)


def parse_settings(document: dict[str, object], file: Path) -> Settings:
    """Return the settings of a parsed document that was read from ``file``.

    Raises:
        BadSettingsError: anything in it is wrong.
    """
    found: list[Problem] = []
    settings = convert_struct(_prepared(document, file.parent), Settings, "", found)
    found += settings.contradictions() if settings else ()
    if found or settings is None:
        raise BadSettingsError(str(file), tuple(found))
    return settings


def _application_problems(settings: Settings) -> Iterator[Problem]:
    if not settings.applications:
        yield Problem("applications", "names none; `queuey key` makes a key and its digest")
    owners: dict[str, str] = {}
    for name, application in settings.applications.items():
        if not _is_application(name):
            yield Problem(
                f"applications.{name}", "is no name of 1-50 letters, digits and _ - . ~ :, without a leading _"
            )
        for digest in application.key_sha256:
            if owners.setdefault(digest, name) != name:
                yield Problem(f"applications.{name}.key_sha256", f"names a key of {owners[digest]}, too")


def _quota_problems(settings: Settings) -> Iterator[Problem]:
    if settings.api.metrics_bind and settings.api.metrics_bind == settings.api.bind:
        yield Problem("api.metrics_bind", "is the public address")


def _sqlite_problems(settings: Settings) -> Iterator[Problem]:
    if settings.store.backend != "sqlite":
        return
    if settings.storage_node.processes > 1:
        yield Problem("storage_node.processes", "a SQLite file is served by one storage node; several need cassandra")
    if len(settings.api.nodes) > 1:
        yield Problem("api.nodes", "a SQLite file is served by one storage node; several need cassandra")
    for name, application in settings.applications.items():
        if application.log is LogKind.PLAIN:
            yield Problem(f"applications.{name}.log", "every log on SQLite is fenced")


def _link_problems(settings: Settings) -> Iterator[Problem]:
    if settings.storage_node.curve_secret_file and not settings.api.nodes:
        yield Problem(
            "api.nodes", "is empty: name the nodes with their public keys, which front ends can't know else"
        )


def is_origin(text: str) -> bool:
    """Say whether a text is an origin as browsers send it: scheme, host, and a port unless it is the default."""
    is_default = any(text.startswith(scheme) and text.endswith(port) for scheme, port in _PORTS_LEFT_OUT)
    return _ORIGIN.fullmatch(text) is not None and not is_default


def _is_application(name: str) -> bool:
    try:
        return parse_principal(application_principal(name)) == application_principal(name) and name[0] != "_"
    except BadPrincipalError:
        return False


def _prepared(document: Mapping[str, object], directory: Path) -> object:
    """Return the document with absolute paths, and lists where one text stands for a list of one."""

    def walk(value: object, key: tuple[str, ...]) -> object:
        if isinstance(value, Mapping):
            return {name: walk(item, (*key, name)) for name, item in value.items()}
        if isinstance(value, list):
            return [walk(item, (*key, "0")) for item in value]
        if not isinstance(value, str):
            return value
        return _prepared_text(value, key, directory)

    store = document.get("store", {})
    whole = {**document, "store": {"path": SQLITE_FILE_DEFAULT, **store}} if isinstance(store, Mapping) else document
    return walk(whole, ())


def _prepared_text(text: str, key: tuple[str, ...], directory: Path) -> object:
    if _fits(key, _DIGESTS):
        return [text]
    if text and any(_fits(key, pattern) for pattern in _PATHS):
        return str(directory / text)
    return absolute_address(text, directory) if any(_fits(key, pattern) for pattern in _ADDRESSES) else text


def _fits(key: tuple[str, ...], pattern: str) -> bool:
    """Say whether a key is one that the pattern names; ``*`` stands for any one part."""
    parts = pattern.split(".")
    return len(parts) == len(key) and all(part in {"*", here} for part, here in zip(parts, key, strict=True))


def _is_readable(file: str) -> bool:
    return os.access(file, os.R_OK) and os.path.isfile(file)
