"""The development Cassandra: it starts by one command, says what is wrong, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.cassandra import jars, lock, probe
from deploy.cassandra.cluster import Cluster
from deploy.cassandra.configuration import write_configuration
from deploy.cassandra.layout import PROJECT_DIR, Layout
from deploy.cassandra.problems import ClusterError
from tests.support.cassandra import free_prefix, shared_cluster

pytestmark = pytest.mark.timeout(400)


def launcher(*words: str, layout: Layout) -> list[str]:
    place = ["--prefix", layout.prefix, "--data-dir", str(layout.data_dir), "--nodes", str(layout.nodes)]
    return [sys.executable, "-m", "deploy.cassandra", *place, *words]


def run(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=PROJECT_DIR, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


def wait_for(condition: Callable[[], bool], *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.1)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(data_dir=tmp_path / "data", prefix=free_prefix(1))


@pytest.fixture
def started(layout: Layout) -> Iterator[subprocess.Popen[str]]:
    """The launcher's process, once it says that the cluster is ready."""
    command = launcher("start", "--heap-mb", "512", "--fast-start", layout=layout)
    with subprocess.Popen(command, cwd=PROJECT_DIR, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if "ready" in line:
                    break
            yield process
        finally:
            process.terminate()
            process.wait(timeout=60)
            run(launcher("stop", layout=layout))


def test_one_command_starts_a_node_and_an_interrupt_stops_it(started: subprocess.Popen[str], layout: Layout) -> None:
    """`start` stays in the foreground with a node that answers; Ctrl-C ends both, with success."""
    assert run(launcher("status", layout=layout)).returncode == 0
    started.send_signal(signal.SIGINT)
    assert started.wait(timeout=60) == 0
    assert Cluster(layout, progress=print).ended()
    assert "does not run" in run(launcher("status", layout=layout)).stdout


def test_a_crashed_launcher_is_recovered_from(started: subprocess.Popen[str], layout: Layout) -> None:
    """A launcher killed hard leaves its node running: `stop` finds and ends it, and a second launcher was refused."""
    refused = run(launcher("start", layout=layout))
    assert (refused.returncode, "already runs this cluster" in refused.stderr) == (1, True)
    started.kill()
    started.wait(timeout=10)
    assert probe.answers(layout.addresses[0], layout.cql_port)
    assert run(launcher("stop", layout=layout)).returncode == 0
    assert Cluster(layout, progress=print).ended()


def test_three_nodes_see_each_other_and_one_comes_back_after_a_kill() -> None:
    """Every node reaches both others; a node killed hard joins again with its data and is reached again."""
    cluster = shared_cluster(3)
    port = cluster.layout.cql_port
    assert all(probe.sees_all(address, port, nodes=3) for address in cluster.layout.addresses)
    cluster.nodes[1].send(signal.SIGKILL)
    assert cluster.nodes[1].wait_until_gone(patience_seconds=10)
    cluster.restart_node(2)
    wait_for(lambda: all(probe.sees_all(address, port, nodes=3) for address in cluster.layout.addresses), seconds=60)


def test_a_process_id_that_belongs_to_somebody_else_is_not_taken_for_a_node(layout: Layout) -> None:
    """A stale pid file that names a live foreign process neither blocks a start nor gets that process killed."""
    node_dir = layout.node_dir(1)
    node_dir.mkdir(parents=True)
    (node_dir / "cassandra.pid").write_text(f"{os.getpid()}\n")
    cluster = Cluster(layout, progress=print)
    assert cluster.nodes[0].pid() is None
    cluster.stop()


def test_a_missing_java_or_maven_is_told_with_the_command_that_installs_it(tmp_path: Path) -> None:
    """Without Maven the message names the package; no traceback, no half-filled folder."""
    place = Layout(data_dir=tmp_path, lib_dir=tmp_path / "lib", prefix=free_prefix(1))
    java = jars.find_java()
    command = [*launcher("start", layout=place), "--lib-dir", str(place.lib_dir)]
    done = run(command, PATH="/nonexistent", JAVA_HOME=str(java.resolve().parents[1]))
    assert done.returncode == 1
    assert done.stderr == "cassandra: Maven is missing: apt-get install maven\n"
    assert not place.lib_dir.exists()


def test_jars_are_fetched_only_when_the_pom_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder stamped with the present pom is used as it is, even on a machine without Maven."""
    shared_cluster(1)
    monkeypatch.setenv("PATH", "/nonexistent")
    said: list[str] = []
    jars.assemble(shared_cluster(1).layout.lib_dir, progress=said.append)
    assert said == []
    with pytest.raises(ClusterError, match="Maven is missing"):
        jars.assemble(tmp_path / "lib", progress=said.append)


def test_data_are_not_started_under_other_addresses_or_with_fewer_nodes(tmp_path: Path) -> None:
    """A ring half of which is missing, or that moved, would answer wrongly or never: it is refused in one line."""
    Layout(data_dir=tmp_path, prefix="127.9.9", nodes=3).write_identity()
    for other in (Layout(data_dir=tmp_path, prefix="127.9.9"), Layout(data_dir=tmp_path, prefix="127.9.8", nodes=3)):
        with pytest.raises(ClusterError, match=r"made with 3 node\(s\) on 127\.9\.9"):
            other.check_identity()
    Layout(data_dir=tmp_path, prefix="127.9.9", nodes=3).check_identity()


def test_an_address_in_use_is_refused_before_anything_starts() -> None:
    """The message names the address; a second cluster on it would end in a Java stack trace."""
    running = shared_cluster(1)
    with pytest.raises(ClusterError, match=r"127\.\d+\.\d+\.1:9042 can't be used"):
        running.layout.check_addresses()


@pytest.mark.parametrize("prefix", ["10.0.0", "127.0.0.1", "localhost", "127.0"])
def test_only_loopback_prefixes_are_taken(prefix: str) -> None:
    """A development cluster without passwords listens on loopback or not at all."""
    with pytest.raises(ClusterError, match="prefix"):
        Layout(prefix=prefix)


def test_the_configuration_has_the_settings_that_correctness_rests_on(layout: Layout) -> None:
    """Paxos v2 with its state purged, expiry dates past 2038, and server time-outs below the driver's."""
    text = (write_configuration(layout, number=1, new_cluster=True) / "cassandra.yaml").read_text()
    lines = set(text.splitlines())
    assert {'storage_compatibility_mode: "NONE"', 'paxos_variant: "v2"', 'paxos_state_purging: "gc_grace"'} <= lines
    assert {'write_request_timeout: "2000ms"', 'cas_contention_timeout: "1800ms"'} <= lines


def test_the_lock_is_free_again_when_its_holder_is_gone(tmp_path: Path) -> None:
    """The lock names its holder while held, and nobody afterwards."""
    lock_file = tmp_path / "launcher.pid"
    assert lock.holder_or_none(lock_file) is None
    with lock.held(lock_file):
        assert run([sys.executable, "-c", _ASK_HOLDER, str(lock_file)]).stdout.strip() == str(os.getpid())
    assert lock.holder_or_none(lock_file) is None


_ASK_HOLDER = """
import sys
from pathlib import Path
from deploy.cassandra.lock import holder_or_none
print(holder_or_none(Path(sys.argv[1])))
"""
