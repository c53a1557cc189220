"""Speed on a real Cassandra: ``python -m tests.bench.cassandra_speed [one three several] [--rounds 5]``.

``one``: a hundred messages a request, beside the driver's own batches of the same rows on the same cluster of one.
``three``: claims of a hundred under exactly_once beside at_least_once, on three nodes.
``several``: 1, 2 and 4 storage nodes on three Cassandra nodes; their CPU and their calls of Cassandra per message.

Everything is done in turns; what counts are the ratios of a round.  The report goes to
``var/bench-cassandra-speed.json``; it ends with 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from deploy.cassandra.cluster import Cluster
from tests.bench.cassandra_raw import Raw
from tests.bench.cassandra_report import keep
from tests.bench.load import Sample, run
from tests.bench.several_nodes import NODES, Several
from tests.support.cassandra import dispose, make_cluster
from tests.support.deployment import Deployment

Values = dict[str, list[float]]
Part = Callable[[Cluster, Path, int, float], Values]

HEAP_MB: Final = 2_048
"""Of each Cassandra node.  The tests' own clusters leave out the better of Java's compilers, to start faster."""
WARM_UP_S: Final = 20.0
RAW_SHARE_MIN: Final = 0.5
EXACTLY_ONCE_SHARE_MIN: Final = 0.5
SPREAD_MAX: Final = 1.1


def main() -> int:
    """Run the parts asked for, each on a cluster of its own."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.cassandra_speed")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    arguments = parser.parse_args()
    values: Values = {}
    for name in arguments.parts or PARTS:
        cassandra_nodes, part = PARTS[name]
        with cluster_of(cassandra_nodes) as cluster, directory() as folder:
            values |= part(cluster, folder, arguments.rounds, arguments.seconds)
    missed = [
        text for text, (low, high) in TARGETS.items() if text in values and not low <= median(values[text]) <= high
    ]
    keep(
        "cassandra-speed",
        {
            "rounds": arguments.rounds,
            "median": {k: round(median(v), 3) for k, v in values.items()},
            "all": {k: [round(one, 3) for one in v] for k, v in values.items()},
            "missed": missed,
        },
    )
    return int(bool(missed))


@contextmanager
def cluster_of(nodes: int) -> Iterator[Cluster]:
    """Start Cassandra; end it and remove its data."""
    cluster = make_cluster(nodes, heap_mb=HEAP_MB)
    try:
        cluster.start()
        yield cluster
    finally:
        dispose(cluster)


@contextmanager
def directory() -> Iterator[Path]:
    """Make a directory on the checkout's own disk."""
    Path("var").mkdir(exist_ok=True)
    with TemporaryDirectory(dir="var", prefix="bench-") as name:
        yield Path(name).resolve()


def store_lines(cluster: Cluster, keyspace: str) -> str:
    """Return the lines of ``[store]``."""
    hosts = ", ".join(f'"{host}"' for host in cluster.layout.addresses)
    nodes = len(cluster.layout.addresses)
    return f'backend = "cassandra"\nhosts = [{hosts}]\nkeyspace = "{keyspace}"\nreplication = {{ dc1 = {nodes} }}'


def one(cluster: Cluster, folder: Path, rounds: int, seconds: float) -> Values:
    """Publish beside raw batches."""
    with ExitStack() as stack:
        service = stack.enter_context(Deployment(folder, workers=2, store=store_lines(cluster, "speed")))
        raw = stack.enter_context(Raw(cluster.layout.addresses))
        path = new_queue(service, "queuey", "batches")
        raw.rows_per_s(WARM_UP_S)
        publish(service, path, WARM_UP_S)
        found: Values = {"raw batches, rows/s": [], "publish 100, messages/s": [], RATE_OF_RAW: []}
        for _ in range(rounds):
            rows = raw.rows_per_s(seconds)
            sample = publish(service, path, seconds)
            found["raw batches, rows/s"].append(rows)
            found["publish 100, messages/s"].append(sample.messages_per_s)
            found[RATE_OF_RAW].append(sample.messages_per_s / rows)
    return found


def three(cluster: Cluster, folder: Path, rounds: int, seconds: float) -> Values:
    """Claim under both guarantees."""
    found: Values = {"claim 100 at_least_once, messages/s": [], "claim 100 exactly_once, messages/s": [], SHARE: []}
    with Deployment(folder, workers=2, store=store_lines(cluster, "speed")) as service:
        for number in range(rounds + 1):
            strong, weak = (claim(service, name, f"round-{number}", seconds) for name in ("careful", "queuey"))
            if number:  # the first one warms up
                found["claim 100 at_least_once, messages/s"].append(weak.messages_per_s)
                found["claim 100 exactly_once, messages/s"].append(strong.messages_per_s)
                found[SHARE].append(strong.messages_per_s / weak.messages_per_s)
    return found


def several(cluster: Cluster, folder: Path, rounds: int, seconds: float) -> Values:
    """Count what a message costs 1, 2 and 4 storage nodes."""
    found: Values = {CPU: [], CALLS: []}
    with ExitStack() as stack:
        services = [
            stack.enter_context(Several(folder / f"{count}", count, store_lines(cluster, f"nodes_{count}")))
            for count in NODES
        ]
        for service in services:
            service.cost(min(seconds, 2))
        for _ in range(rounds):
            costs = [service.cost(seconds) for service in services]
            for count, cost in zip(NODES, costs, strict=True):
                found.setdefault(f"node CPU us a message, {count} nodes", []).append(cost.cpu_us)
                found.setdefault(f"Cassandra calls a message, {count} nodes", []).append(cost.calls)
            found[CPU].append(max(each.cpu_us for each in costs) / min(each.cpu_us for each in costs))
            found[CALLS].append(max(each.calls for each in costs) / min(each.calls for each in costs))
    return found


def new_queue(service: Deployment, application: str, name: str) -> str:
    """Create a queue; return its path."""
    with service.api(application) as api:
        api.post("", data={"queue_name": name, "max_in_flight": "20000"}).raise_for_status()
    return f"/v1/{application}/{name}"


def publish(service: Deployment, path: str, seconds: float, application: str = "queuey") -> Sample:
    """Publish a hundred a request on 16 connections."""
    return run(
        service, "batch", path, seconds=seconds, connections=16, application=application, more={"BENCH_LIMIT": "100"}
    )


def claim(service: Deployment, application: str, name: str, seconds: float) -> Sample:
    """Fill a queue, then claim a hundred and ack the hundred before in one call."""
    path = new_queue(service, application, name)
    publish(service, path, seconds, application)
    more = {"BENCH_LIMIT": "100"}
    return run(service, "claim", path, seconds=seconds, connections=16, application=application, more=more)


RATE_OF_RAW: Final = "one node, publish 100: rate of raw batches of 100"
SHARE: Final = "three nodes, claim 100: exactly_once of at_least_once"
CPU: Final = "1, 2, 4 storage nodes: most CPU a message of least"
CALLS: Final = "1, 2, 4 storage nodes: most Cassandra calls a message of least"
TARGETS: Final = {
    RATE_OF_RAW: (RAW_SHARE_MIN, float("inf")),
    SHARE: (EXACTLY_ONCE_SHARE_MIN, float("inf")),
    CPU: (0.0, SPREAD_MAX),
    CALLS: (0.0, SPREAD_MAX),
}
PARTS: Final[dict[str, tuple[int, Part]]] = {"one": (1, one), "three": (3, three), "several": (3, several)}


if __name__ == "__main__":
    sys.exit(main())
