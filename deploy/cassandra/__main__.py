"""Runs a small real Apache Cassandra on loopback addresses of this machine, for development and tests.

    python3 -m deploy.cassandra start              one node on 127.0.0.1, until Ctrl-C
    python3 -m deploy.cassandra start --nodes 3    three nodes on 127.0.0.1, 127.0.0.2, 127.0.0.3
    python3 -m deploy.cassandra start --secure     clients must encrypt and log in, at first as cassandra/cassandra
    python3 -m deploy.cassandra stop               ends what a start (also a crashed one) left running
    python3 -m deploy.cassandra status             which nodes run and answer
    python3 -m deploy.cassandra nodetool -- info   the server's administration tool, on node 1

The server is assembled once from its Maven artifact; data stay in the data folder until it is removed.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from deploy.cassandra import jars, lock, probe
from deploy.cassandra.cluster import Cluster
from deploy.cassandra.jvm import nodetool_command
from deploy.cassandra.layout import DEFAULT_DATA_DIR, DEFAULT_LIB_DIR, NODE_COUNTS, Layout
from deploy.cassandra.problems import ClusterError

_WATCH_SECONDS = 0.5
_STOP_PATIENCE_SECONDS = 120.0


def main() -> int:
    """Run one command; 0 if it did what it says, 1 with a message on standard error if not."""
    own, words = _split(sys.argv[1:])
    arguments = _parser().parse_args(own)
    arguments.words = words
    try:
        command = {"start": _start, "stop": _stop, "status": _status, "nodetool": _nodetool}[arguments.command]
        return command(arguments, _layout(arguments))
    except ClusterError as error:
        print(f"cassandra: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    """This program's own words, and those after `--`, which are for the server's tool."""
    if "--" not in words:
        return words, []
    at = words.index("--")
    return words[:at], words[at + 1 :]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 -m deploy.cassandra", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("start", "stop", "status", "nodetool"))
    parser.add_argument("--nodes", type=int, choices=(1, 2, 3), default=1, help="how many nodes (default: 1)")
    parser.add_argument("--prefix", default="127.0.0", help="first three numbers of the addresses (default: 127.0.0)")
    parser.add_argument("--data-dir", type=Path, default=DEFAULT_DATA_DIR, help="default: var/cassandra")
    parser.add_argument("--lib-dir", type=Path, default=DEFAULT_LIB_DIR, help="jars (default: var/cassandra/lib)")
    parser.add_argument("--port", type=int, default=9042, help="CQL port (default: 9042)")
    parser.add_argument("--heap-mb", type=int, default=640, help="memory of a node's Java heap (default: 640)")
    parser.add_argument(
        "--secure",
        action="store_true",
        help="clients must encrypt (the authority is tls/authority.pem in the data folder) and log in",
    )
    parser.add_argument("--data-centres", type=int, choices=(1, 2), default=1, help="2 needs 2 nodes (default: 1)")
    parser.add_argument(
        "--fast-start", action="store_true", help="for tests on new, empty clusters: skip the waits of a real ring"
    )
    return parser


def _layout(arguments: argparse.Namespace) -> Layout:
    return Layout(
        data_dir=arguments.data_dir.resolve(),
        lib_dir=arguments.lib_dir.resolve(),
        prefix=arguments.prefix,
        nodes=arguments.nodes,
        heap_mb=arguments.heap_mb,
        cql_port=arguments.port,
        fast_start=arguments.fast_start,
        secure=arguments.secure,
        data_centres=arguments.data_centres,
    )


def _start(_: argparse.Namespace, layout: Layout) -> int:
    """Start the nodes and stay until a signal, or until every node has ended."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    with lock.held(layout.lock_file):
        cluster = Cluster(layout, progress=_say)
        cluster.start()
        try:
            _say(f"ready: CQL on {', '.join(layout.addresses)} port {layout.cql_port}; Ctrl-C stops it")
            return _watch(cluster)
        except KeyboardInterrupt:
            return 0
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            _say("stopping ...")
            cluster.stop()
            _say("stopped")


def _watch(cluster: Cluster) -> int:
    """Say when a node ends by itself; return when the last has."""
    reported: set[int] = set()
    while len(reported) < len(cluster.nodes):
        for node in cluster.ended():
            if node.number not in reported:
                reported.add(node.number)
                _say(f"node {node.number} has ended; its log: {node.log_file}")
        time.sleep(_WATCH_SECONDS)
    return 1


def _stop(_: argparse.Namespace, layout: Layout) -> int:
    """Ask the launcher that runs the cluster to stop it; without one, stop the nodes that are left."""
    launcher = lock.holder_or_none(layout.lock_file)
    if launcher is not None:
        os.kill(launcher, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_PATIENCE_SECONDS
        while lock.holder_or_none(layout.lock_file) == launcher:
            if time.monotonic() > deadline:
                raise ClusterError(f"the launcher (process {launcher}) did not stop")
            time.sleep(_WATCH_SECONDS)
    Cluster(_largest(layout), progress=_say).stop()
    _say("stopped")
    return 0


def _status(_: argparse.Namespace, layout: Layout) -> int:
    """0 if every node runs and answers CQL."""
    healthy = True
    for node in Cluster(layout, progress=_say).nodes:
        pid, serves = node.pid(), probe.answers(node.address, layout.cql_port, authority=layout.authority_file)
        healthy = healthy and pid is not None and serves
        _say(f"node {node.number} on {node.address}: " + _describe(pid, serves=serves))
    return 0 if healthy else 1


def _nodetool(arguments: argparse.Namespace, layout: Layout) -> int:
    node = Cluster(layout, progress=_say).nodes[0]
    if node.pid() is None:
        raise ClusterError("node 1 does not run")
    command = nodetool_command(layout, java=jars.find_java(), number=1, jmx_port=node.jmx_port, words=arguments.words)
    return subprocess.run(command, check=False).returncode


def _largest(layout: Layout) -> Layout:
    """The same cluster with as many nodes as one can have: stop asks for no number."""
    return Layout(data_dir=layout.data_dir, lib_dir=layout.lib_dir, prefix=layout.prefix, nodes=NODE_COUNTS[-1])


def _describe(pid: int | None, *, serves: bool) -> str:
    if pid is None:
        return "does not run"
    return f"process {pid}, " + ("answers CQL" if serves else "does not answer CQL yet")


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(text: str) -> None:
    print(f"cassandra: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
