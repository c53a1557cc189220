"""The commands for a running service, as an operator types them."""

from __future__ import annotations

import itertools
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import Command
from tests.support.deployment import Deployment, deployed, key_of
from tests.support.service import wait_until

_names = itertools.count()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("commands")) as deployment:
        yield deployment


@pytest.fixture
def queuey(service: Deployment, tmp_path: Path) -> Command:
    """The command as a stranger to the configuration has it: a URL and a key."""
    return Command(tmp_path, {"QUEUEY_URL": f"{service.url}/v1/queuey", "QUEUEY_KEY": key_of("queuey")})


@pytest.fixture
def operator(service: Deployment, tmp_path: Path) -> Command:
    """The command beside the service, with its configuration."""
    file = str(service.directory / "queuey.toml")
    return Command(tmp_path, {"QUEUEY_CONFIG": file, "QUEUEY_KEY": key_of("careful")})


@pytest.fixture
def queue() -> str:
    return f"letters-{next(_names)}"


def test_what_is_published_can_be_peeked_at(queuey: Command, queue: str) -> None:
    """Given texts, standard input as a whole, and line by line; bytes that are no text come back as they were."""
    stored = queuey.objects("publish", queue, "one", "two", "--create")
    assert len({str(message["key"]) for message in stored}) == 2
    queuey.text("publish", queue, stdin=b"a\nb\xff")
    queuey.text("publish", queue, "--lines", stdin="".join(f"{number}\n" for number in range(150)).encode())
    bodies = [message["body"] for message in queuey.objects("peek", queue, "--limit", "1000")]
    assert bodies[:2] == ["one", "two"]
    assert bodies[3:] == [str(number) for number in range(150)]
    assert b"a\nb\xff\n" in queuey.run("peek", queue, "--limit", "3").stdout
    assert queuey.objects("peek", queue, "--newest", "--limit", "1")[0]["body"] == "149"


def test_queues_are_listed_with_their_guarantee(queuey: Command, operator: Command, queue: str) -> None:
    """For the application of the URL, and for the one whose key it is in the configuration."""
    queuey.text("publish", queue, "one", "--create")
    operator.text("publish", queue, "one", "--create")
    line = next(line for line in queuey.text("queues", "--count").splitlines() if line.startswith(queue))
    assert line.split() == [queue, "at_least_once", "1", "1"]
    assert f"{queue} exactly_once" in " ".join(operator.text("queues").split())
    assert queuey.objects("queues", "--offset", queue, "--limit", "1")[0]["queue_name"] == queue


def test_a_queue_is_followed(queuey: Command, queue: str) -> None:
    """What is there when asked for, what comes later at once, until Ctrl-C."""
    queuey.text("publish", queue, "early", "--create")
    following = queuey.start("tail", queue, "--from-start", "--json")
    assert following.stdout
    assert json.loads(following.stdout.readline())["body"] == "early"
    for body in ("later", "latest"):
        queuey.text("publish", queue, body)
        assert json.loads(following.stdout.readline())["body"] == body
    following.send_signal(signal.SIGINT)
    assert following.wait(10) == 130
    following.stdout.close()
    assert len(queuey.objects("tail", queue, "--from-start", "--count", "2")) == 2


def test_a_group_is_moved(service: Deployment, queuey: Command, queue: str) -> None:
    """To the end: nothing to claim; to the start: all of it again."""
    queuey.text("publish", queue, "one", "two", "--create")
    api = service.api()
    for position, expected in (("end", 0), ("start", 2)):
        queuey.text("seek", queue, position)
        assert len(api.post(f"{queue}/claims", json={}).json()["claims"]) == expected


def test_dead_letters_go_back(service: Deployment, queuey: Command, queue: str) -> None:
    """All of them, and it is told how many."""
    dead = f"{queue}-dead"
    api = service.api()
    api.post("", data={"queue_name": dead}).raise_for_status()
    made = {"queue_name": queue, "max_deliveries": "1", "dead_letter_queue": dead}
    api.post("", data=made).raise_for_status()
    queuey.text("publish", queue, "one", "two")
    receipts = [claim["receipt"] for claim in api.post(f"{queue}/claims", json={}).json()["claims"]]
    api.post(f"{queue}/releases", json={"receipts": receipts}).raise_for_status()
    api.post(f"{queue}/claims", json={}).raise_for_status()
    wait_until(lambda: len(queuey.objects("peek", dead)) == 2, within_s=10, what="dead letters")
    assert queuey.objects("redrive", dead) == [{"redriven": 2, "remaining": 0}]
    assert len(api.post(f"{queue}/claims", json={"wait": 10}).json()["claims"]) == 2


def test_the_nodes_are_told_over_the_link(operator: Command) -> None:
    """Address, state, version, load."""
    (node,) = operator.objects("nodes")
    assert node["state"] == "serving"
    assert node["version"] == "1.0.0"
    assert {"in_flight", "waiting", "started_ms", "member_id"} <= node.keys()
    assert str(node["address"]) in operator.text("nodes")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("peek", "no-such-queue"), "404"),
        (("seek", "no-such-queue", "start"), "404"),
        (("publish", "no-such-queue", "x"), "404"),
    ],
)
def test_what_fails_says_why(queuey: Command, words: tuple[str, ...], reason: str) -> None:
    """Status and reason on standard error, exit status 1."""
    assert reason in queuey.refusal(*words)


def test_no_key_is_shown_when_it_is_refused(service: Deployment, tmp_path: Path) -> None:
    """A wrong key, a wrong address."""
    for url in (f"{service.url}/v1/queuey", "http://127.0.0.1:9/v1/queuey", "ftp://x/v1/queuey", f"{service.url}"):
        told = Command(tmp_path, {"QUEUEY_URL": url, "QUEUEY_KEY": "wrong-key-8163"}).refusal("queues")
        assert "wrong-key-8163" not in told
        assert told.startswith("queuey: ")
