"""``make run``, from the first start to the last signal."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import xmlrpc.client
from collections.abc import Iterator
from pathlib import Path

import pytest
from supervisor.xmlrpc import SupervisorTransport

from tests.support.service import ROOT, STOP_S_MAX, Service, curl_lines, end, wait_until
from tests.support.tools import require_program


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path)
    yield made
    end(made)


def paste(line: str) -> dict[str, object]:
    """Run a line as a shell would that knows nothing of Queuey."""
    require_program("curl", "curl")
    done = subprocess.run(["bash", "-c", line], env={"PATH": os.environ["PATH"]}, capture_output=True, check=True)
    answer = json.loads(done.stdout)
    assert isinstance(answer, dict)
    return answer


def queuey(service: Service, *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("queuey")), *words]
    environment = {**os.environ, "QUEUEY_CONFIG": str(service.file)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def bodies(answer: dict[str, object]) -> list[str]:
    messages = answer["messages"]
    assert isinstance(messages, list)
    return [message["body"] for message in messages]


def test_the_printed_lines_work_as_they_are(service: Service) -> None:
    """Create, post, read: each one line, without a shell variable, answered in JSON."""
    lines = curl_lines(service.start())
    assert len(lines) == 3
    assert not any("$" in line for line in lines)
    answers = [paste(line) for line in lines]
    assert [answer["status"] for answer in answers] == ["ok"] * 3
    assert bodies(answers[2]) == ["Hello, world"]


def test_ctrl_c_ends_everything_and_the_next_start_finds_its_data(service: Service) -> None:
    """Within 20 s, and nothing is left running."""
    create, post, read = curl_lines(service.start())
    paste(create)
    paste(post)
    assert service.stop(signal.SIGINT) < STOP_S_MAX
    assert not service.processes()
    assert curl_lines(service.start()) == [create, post, read]
    assert bodies(paste(read)) == ["Hello, world"]


def test_sigterm_to_make_alone_ends_everything(service: Service) -> None:
    """As an init system would stop it."""
    service.start()
    assert service.process
    os.kill(service.process.pid, signal.SIGTERM)
    service.process.wait(STOP_S_MAX)
    wait_until(lambda: not service.processes(), within_s=STOP_S_MAX, what="end of all processes")


def test_a_start_after_kill_9_of_everything_works(service: Service) -> None:
    """Stale sockets and pid files are in nobody's way, and what was acknowledged is there."""
    create, post, read = curl_lines(service.start())
    paste(create)
    paste(post)
    service.kill_everything()
    assert list(service.run_dir.glob("*.sock"))
    service.start()
    assert bodies(paste(read)) == ["Hello, world"]


def test_what_a_killed_supervisord_left_running_is_ended_by_the_next_start(service: Service) -> None:
    """Its children still hold the ports and the store."""
    service.start()
    left = service.processes()
    supervisord = int((service.run_dir / "supervisord.pid").read_text())
    os.kill(supervisord, signal.SIGKILL)
    assert service.process
    os.killpg(service.process.pid, signal.SIGKILL)
    service.process.wait()
    said = service.start()
    assert "an earlier run had left behind" in said
    assert not set(left) & set(service.processes())


def test_a_killed_program_is_started_again(service: Service) -> None:
    """A front end or a node that dies is back without anybody's help."""
    _, _, read = curl_lines(service.start())
    create = curl_lines(service.said())[0]
    paste(create)
    status = queuey(service, "ctl", "status").stdout
    for line in status.splitlines():
        os.kill(int(line.split("pid ")[1].split(",")[0]), signal.SIGKILL)

    def is_served() -> bool:
        done = subprocess.run(["bash", "-c", read], capture_output=True, check=False)
        return done.returncode == 0 and json.loads(done.stdout)["status"] == "ok"

    wait_until(is_served, within_s=30, what="answer")


def test_a_second_run_of_one_configuration_is_refused(service: Service) -> None:
    """Two would fight for the store."""
    service.start()
    second = queuey(service, "run")
    assert second.returncode == 1
    assert "already running" in second.stderr


def test_two_configurations_run_side_by_side(service: Service, tmp_path: Path) -> None:
    """Nothing of them collides."""
    (tmp_path / "other").mkdir()
    other = Service(tmp_path / "other")
    try:
        service.start()
        other.start()
    finally:
        end(other)


def test_a_program_that_keeps_dying_is_named_with_the_end_of_its_log(service: Service) -> None:
    """Instead of waiting for ever."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", service.node_port))
        taken.listen()
        service.begin()
        wait_until(service.has_ended, within_s=60, what="end")
    assert "storage_node_0 keeps dying" in service.said()
    assert "endpoint_not_bound" in service.said()
    assert not service.processes()


def test_an_address_that_is_taken_is_named(service: Service) -> None:
    """Otherwise another service's answer would look like ours."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", service.port))
        taken.listen()
        service.begin()
        wait_until(service.has_ended, within_s=30, what="end")
    assert f"something else listens on 127.0.0.1:{service.port}" in service.said()


def test_a_wrong_configuration_is_refused_with_all_its_problems(service: Service) -> None:
    """Nothing is started."""
    service.file.write_text('[api]\nbind = "x"\ncolour = "red"\n')
    service.begin()
    wait_until(service.has_ended, within_s=30, what="end")
    assert all(key in service.said() for key in ("api.bind", "api.colour", "applications"))
    assert not service.run_dir.exists()


def test_with_a_key_of_ones_own_the_lines_show_a_variable(service: Service) -> None:
    """The configuration holds only its digest."""
    (service.directory / "first-key").unlink()
    assert all("Application $QUEUEY_KEY" in line for line in curl_lines(service.start()))


def test_secrets_are_readable_by_their_owner_alone(service: Service) -> None:
    """The first key, the control socket and its password, the messages."""
    service.start()
    private = [service.directory / "first-key", service.run_dir / "control-password"]
    private += [service.run_dir / "supervisor.sock", service.directory / "queuey.sqlite3"]
    assert {file.name: stat.S_IMODE(file.stat().st_mode) for file in private} == dict.fromkeys(
        (file.name for file in private), 0o600
    )


def test_the_control_socket_wants_the_password(service: Service) -> None:
    """And no process list or environment of a service process shows it."""
    service.start()
    place = f"unix://{service.run_dir / 'supervisor.sock'}"
    control = xmlrpc.client.ServerProxy("http://x", transport=SupervisorTransport("queuey", "guess", place))
    with pytest.raises(xmlrpc.client.ProtocolError, match="401"):
        control.supervisor.getState()
    password = (service.run_dir / "control-password").read_bytes().strip()
    for pid in service.processes():
        shown = Path(f"/proc/{pid}/environ").read_bytes() + Path(f"/proc/{pid}/cmdline").read_bytes()
        assert password not in shown
        assert service.key.encode() not in shown
    assert "RUNNING" in queuey(service, "ctl", "status").stdout
