"""The proxies that links go through: what each fault does to real connections, and whose it is."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from tests.fault.proxies import Pair, Proxies
from tests.support.ports import free_ports
from tests.support.service import wait_until

PAIR = Pair("caller", "target")


def _echo(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_answer, args=(connection,), daemon=True).start()


def _answer(connection: socket.socket) -> None:
    with connection:
        try:
            while content := connection.recv(1 << 16):
                connection.sendall(content)
        except OSError:
            return


@pytest.fixture
def proxies() -> Iterator[Proxies]:
    made = Proxies()
    made.start()
    made.name_caller(os.getpid(), PAIR.caller)
    yield made
    made.stop()


@pytest.fixture
def address(proxies: Proxies) -> Iterator[tuple[str, int]]:
    """Where an echo server is reached through a proxy."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_echo, args=(listener,), daemon=True)
        thread.start()
        told = ("127.0.0.1", free_ports(1)[0])
        proxies.listen(told, PAIR.target, listener.getsockname())
        yield told
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def ask(connection: socket.socket, text: bytes) -> bytes:
    connection.sendall(text)
    return connection.recv(1_000)


def test_bytes_go_both_ways_and_the_caller_is_known(proxies: Proxies, address: tuple[str, int]) -> None:
    """By its process."""
    with socket.create_connection(address, timeout=5) as connection:
        assert ask(connection, b"hello") == b"hello"
    assert proxies.callers_seen() == {PAIR.caller}


def test_a_cut_link_resets_what_is_open_and_refuses_what_is_new(proxies: Proxies, address: tuple[str, int]) -> None:
    """Until it is healed."""
    with socket.create_connection(address, timeout=5) as connection:
        ask(connection, b"hello")
        proxies.cut(PAIR)
        assert is_dead(connection)
    with socket.create_connection(address, timeout=5) as connection:
        assert is_dead(connection)
    proxies.heal(PAIR)
    with socket.create_connection(address, timeout=5) as connection:
        assert ask(connection, b"again") == b"again"


def test_what_a_held_link_was_given_arrives_when_it_is_healed(proxies: Proxies, address: tuple[str, int]) -> None:
    """In order, on the same connection: late, not lost."""
    with socket.create_connection(address, timeout=0.3) as connection:
        ask(connection, b"hello")
        proxies.hold(PAIR)
        connection.sendall(b"one ")
        connection.sendall(b"two")
        with pytest.raises(TimeoutError):
            connection.recv(100)
        proxies.heal(PAIR)
        connection.settimeout(5)
        came = b""
        while len(came) < 7:
            came += connection.recv(100)
        assert came == b"one two"


def test_a_delay_is_added_to_each_way_and_does_not_add_up(proxies: Proxies, address: tuple[str, int]) -> None:
    """Ten chunks sent together come together."""
    with socket.create_connection(address, timeout=10) as connection:
        ask(connection, b"hello")
        proxies.delay(PAIR, 0.2)
        begun_s = time.monotonic()
        for _ in range(10):
            connection.sendall(b"x" * 10)
        came = b""
        while len(came) < 100:
            came += connection.recv(100)
        assert 0.4 <= time.monotonic() - begun_s < 1.5


def test_a_fault_of_one_caller_is_not_another_ones(proxies: Proxies, address: tuple[str, int]) -> None:
    """Another process goes through while ours is cut."""
    code = (
        "import socket\n"
        f"connection = socket.create_connection({address!r}, timeout=5)\n"
        "input()\n"
        "connection = socket.create_connection(connection.getpeername(), timeout=5)\n"
        "connection.sendall(b'x')\n"
        "print(connection.recv(1))\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", code]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    proxies.name_caller(other.pid, "other")
    proxies.cut(PAIR)
    said, _ = other.communicate(b"\n", timeout=20)
    assert said == b"b'x'\n"
    wait_until(lambda: "other" in proxies.callers_seen(), within_s=5, what="connection of the other")


def is_dead(connection: socket.socket) -> bool:
    try:
        connection.sendall(b"x")
        return connection.recv(1) == b""
    except (ConnectionError, BrokenPipeError):
        return True
