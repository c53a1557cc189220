"""Where a development cluster lives: its addresses, ports and folders, as one frozen value."""

from __future__ import annotations

import ipaddress
import json
import socket
from dataclasses import dataclass
from pathlib import Path

from deploy.cassandra.problems import ClusterError

PROJECT_DIR = Path(__file__).resolve().parents[2]
DEFAULT_DATA_DIR = PROJECT_DIR / "var" / "cassandra"
DEFAULT_LIB_DIR = DEFAULT_DATA_DIR / "lib"
NODE_COUNTS = (1, 3)


@dataclass(frozen=True)
class Layout:
    """One cluster: `nodes` nodes on `<prefix>.1`, `<prefix>.2` ..., each with a folder in `data_dir`.

    `fast_start` leaves out waits that guard a real ring against half-known peers; it is for tests, whose
    clusters are new, empty and started node by node.  `clients_from`, unless 0, makes node 1 send its clients to
    `<prefix>.<clients_from + 1>`, and so on: something that forwards has to listen there.  `secure` makes it take
    only clients that encrypt and log in.  Nodes go to the data centres dc1, dc2 ... in turn.
    """

    data_dir: Path = DEFAULT_DATA_DIR
    lib_dir: Path = DEFAULT_LIB_DIR
    prefix: str = "127.0.0"
    nodes: int = 1
    heap_mb: int = 640
    cql_port: int = 9042
    storage_port: int = 7000
    fast_start: bool = False
    clients_from: int = 0
    secure: bool = False
    data_centres: int = 1

    def __post_init__(self) -> None:
        if self.nodes not in NODE_COUNTS and not self.nodes == self.data_centres == 2:
            raise ClusterError(
                f"a development cluster has {NODE_COUNTS[0]} or {NODE_COUNTS[1]} nodes, not {self.nodes}"
                " (2 in two data centres)"
            )
        if not _is_loopback_prefix(self.prefix):
            raise ClusterError(f"the address prefix must be three numbers beginning with 127, not {self.prefix!r}")

    @property
    def addresses(self) -> tuple[str, ...]:
        """The nodes' addresses; the first is the seed."""
        return tuple(f"{self.prefix}.{number}" for number in range(1, self.nodes + 1))

    @property
    def client_addresses(self) -> tuple[str, ...]:
        """Where clients are told to reach the nodes."""
        return tuple(f"{self.prefix}.{self.clients_from + number}" for number in range(1, self.nodes + 1))

    @property
    def authority_file(self) -> Path | None:
        """The certificate that clients of a secure cluster trust; None for one that is not."""
        return self.data_dir / "tls" / "authority.pem" if self.secure else None

    @property
    def key_store(self) -> Path:
        """The key and certificate that all nodes of a secure cluster show."""
        return self.data_dir / "tls" / "nodes.p12"

    def data_centre(self, number: int) -> str:
        """The data centre of node `number`."""
        return f"dc{(number - 1) % self.data_centres + 1}"

    @property
    def lock_file(self) -> Path:
        """Held by the one launcher that runs this cluster; its text is the launcher's process id."""
        return self.data_dir / "launcher.pid"

    @property
    def _identity_file(self) -> Path:
        return self.data_dir / "cluster.json"

    def node_dir(self, number: int) -> Path:
        """The folder of node `number` (counted from 1)."""
        return self.data_dir / f"node{number}"

    def is_new(self) -> bool:
        """No node of this cluster has ever been started."""
        return not self._identity_file.exists()

    def check_identity(self) -> None:
        """Refuse to start data under other addresses, or with fewer nodes, than they were made with."""
        if self.is_new():
            return
        made = json.loads(self._identity_file.read_text())
        if made["prefix"] != self.prefix or made["nodes"] > self.nodes:
            raise ClusterError(
                f"the data in {self.data_dir} were made with {made['nodes']} node(s) on {made['prefix']}.*: "
                f"start with those, choose another data folder, or remove {self.data_dir}/node*"
                f" and {self._identity_file.name}"
            )

    def write_identity(self) -> None:
        """Remember what the data are made with."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._identity_file.write_text(json.dumps({"prefix": self.prefix, "nodes": self.nodes}) + "\n")

    def check_addresses(self) -> None:
        """Refuse early, with the reason, when an address can't be used or is taken."""
        for address in self.addresses:
            for port in (self.cql_port, self.storage_port):
                if (reason := reason_not_bindable(address, port)) is not None:
                    raise ClusterError(f"{address}:{port} can't be used: {reason}")


def reason_not_bindable(address: str, port: int) -> str | None:
    """Why a server can't listen there, or None if it can."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen(1)
        except OSError as error:
            return error.strerror or str(error)
    return None


def _is_loopback_prefix(prefix: str) -> bool:
    try:
        return ipaddress.IPv4Address(f"{prefix}.1").is_loopback
    except ValueError:
        return False
