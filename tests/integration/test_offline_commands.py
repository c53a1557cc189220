"""The commands for the store itself: backup and restore, export and import, schema, guarantee."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import Command
from tests.support.deployment import Api, Deployment, deployed, key_of

MESSAGES = 230
"""More than is read or written at once."""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Deployment]:
    with deployed(tmp_path / "service") as deployment:
        yield deployment


def queuey_of(deployment: Deployment) -> Command:
    """The command with the deployment's configuration."""
    file = str(deployment.directory / "queuey.toml")
    return Command(deployment.directory, {"QUEUEY_CONFIG": file, "QUEUEY_KEY": key_of("queuey")})


def api_of(deployment: Deployment, application: str = "queuey") -> Api:
    """A client that leaves no connection open: a front end that stops would wait for it."""
    api = deployment.api(application)
    api.headers["Connection"] = "close"
    return api


def publish(api: Api, queue: str, *bodies: str, **options: object) -> list[str]:
    """Publish one batch and return the keys."""
    answer = api.post(queue, json={"messages": [{"body": body, **options} for body in bodies]})
    answer.raise_for_status()
    return [stored["key"] for stored in answer.json()["messages"]]


def claim(api: Api, queue: str, **options: object) -> list[dict[str, str]]:
    answer = api.post(f"{queue}/claims", json=options)
    answer.raise_for_status()
    claims: list[dict[str, str]] = answer.json()["claims"]
    return claims


def messages(api: Api, queue: str) -> list[tuple[str, str]]:
    answer = api.get(queue, params={"limit": "1000", "partitions": "1,2"})
    answer.raise_for_status()
    return [(message["message_id"], message["body"]) for message in answer.json()["messages"]]


def test_a_backup_taken_under_load_has_everything_acknowledged_before_it(service: Deployment) -> None:
    """And is a store that a node serves, in the place of the one that was there."""
    api, queuey = api_of(service), queuey_of(service)
    api.post("", data={"queue_name": "busy"}).raise_for_status()
    acknowledged: list[str] = []
    enough, ending = threading.Event(), threading.Event()

    def write(number: int) -> None:
        own = api_of(service)
        while not ending.is_set():
            acknowledged.extend(publish(own, "busy", *[f"{number}" * 500] * 5))
            if len(acknowledged) >= MESSAGES:
                enough.set()

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    assert enough.wait(30)
    before = set(acknowledged)
    queuey.text("backup", "copy")
    ending.set()
    for writer in writers:
        writer.join()
    after = set(acknowledged) - before
    assert after
    copy = service.directory / "copy"
    assert copy.stat().st_mode & 0o777 == 0o600
    assert "in use" in queuey.refusal("restore", "copy")
    assert "not overwritten" in queuey.refusal("backup", "copy")
    service.stop()
    (restored,) = queuey.objects("restore", "copy")
    assert str(restored["earlier"]).endswith("messages.sqlite3.before-restore-1")
    service.start()
    assert before <= set(every_id(api_of(service), "busy"))
    publish(api_of(service), "busy", "it goes on")


def every_id(api: Api, queue: str) -> Iterator[str]:
    """Yield all ids of partition 1."""
    place: dict[str, str] = {"limit": "1000"}
    while True:
        page = api.get(queue, params=place).json()
        yield from (message["message_id"] for message in page["messages"])
        if not page["messages"]:
            return
        place = {"cursor": page["next"], "limit": "1000"}


def fill(api: Api) -> tuple[str, str]:
    """Make a queue with two partitions, delayed messages, edits, groups; return the receipts of two claims."""
    api.post("", data={"queue_name": "letters", "partitions": "2"}).raise_for_status()
    keys = publish(api, "letters", *[f"body {number}" for number in range(MESSAGES)], partition=1)
    publish(api, "letters", "other", "bytes", partition=2)
    publish(api, "letters", "due later", partition=2, delay=3_600)
    api.put(f"letters/1%3A{keys[1]}", data="edited").raise_for_status()
    api.delete(f"letters/1%3A{keys[2]}").raise_for_status()
    settled, held = claim(api, "letters", limit=2, lease=3_600, partitions=[1])
    api.post("letters/acks", json={"receipts": [settled["receipt"]]}).raise_for_status()
    api.put("letters/groups/late", json={"position": "end"}).raise_for_status()
    return settled["receipt"], held["receipt"]


def test_an_export_is_taken_in_with_ids_positions_and_receipts(service: Deployment, tmp_path: Path) -> None:
    """Into another store; repeated, it changes nothing."""
    api, queuey = api_of(service, "careful"), queuey_of(service)
    settled, held = fill(api)
    expected = messages(api, "letters")
    assert "in use" in queuey.refusal("export", "all")
    service.stop()
    queuey.text("export", "all")
    assert (service.directory / "all").stat().st_mode & 0o777 == 0o600
    with Deployment(tmp_path / "other") as other:
        other.stop()
        there = queuey_of(other)
        file = str(service.directory / "all")
        assert "1 queues taken in, 0 were there" in there.text("import", file)
        assert there.objects("import", file) == [{"taken": 0, "were_there": 1}]
        other.start()
        api = api_of(other, "careful")
        assert messages(api, "letters") == expected
        outcomes = [api.get(f"letters/acks/{receipt}").json()["outcome"] for receipt in (settled, held)]
        assert outcomes == ["acked", "leased"]
        bodies = [each["body"] for each in claim(api, "letters", limit=1_000)]
        assert sorted(bodies) == sorted(body for _, body in expected if body not in {"body 0", "edited"})
        assert claim(api, "letters", group="late") == []
        publish(api, "letters", "it goes on", partition=1)
        assert [each["body"] for each in claim(api, "letters", group="late")] == ["it goes on"]


def test_an_import_that_was_cut_off_can_be_repeated(service: Deployment, tmp_path: Path) -> None:
    """What it left behind is completed, nothing is there twice; a file without its end is not begun."""
    fill(api_of(service))
    expected = messages(api_of(service), "letters")
    service.stop()
    queuey_of(service).text("export", "all")
    lines = (service.directory / "all").read_bytes().splitlines(keepends=True)
    with Deployment(tmp_path / "other") as other:
        other.stop()
        there = queuey_of(other)
        cut = other.directory / "cut"
        cut.write_bytes(b"".join(lines[:-1]))
        assert "its end is missing" in there.refusal("import", "cut")
        half = [line for line in lines if b'"queue_end"' not in line]
        cut.write_bytes(b"".join(half[:-1]) + lines[-1])
        there.text("import", "cut")
        there.text("import", str(service.directory / "all"))
        other.start()
        assert messages(api_of(other), "letters") == expected


def test_a_backup_can_be_exported_while_the_service_runs(service: Deployment) -> None:
    """An export needs no stop where there is a backup."""
    api_of(service).post("", data={"queue_name": "letters"}).raise_for_status()
    publish(api_of(service), "letters", "one")
    queuey = queuey_of(service)
    queuey.text("backup", "copy")
    queuey.text("export", "all", "--sqlite", "copy", "--application", "queuey")
    records = [json.loads(line) for line in (service.directory / "all").read_text().splitlines()]
    assert records[-1] == {"record": "end", "queues": 1, "messages": 1}


def test_a_queue_is_switched_to_another_guarantee(service: Deployment) -> None:
    """Not while a node runs, not while messages are leased; then every reply names the new one."""
    api, queuey = api_of(service), queuey_of(service)
    api.post("", data={"queue_name": "letters"}).raise_for_status()
    publish(api, "letters", "one", "two")
    (held,) = claim(api, "letters", limit=1, lease=3_600)
    switch = ("switch-guarantee", "queuey", "letters")
    assert "in use" in queuey.refusal(*switch, "exactly_once")
    service.stop()
    assert "1 messages are leased" in queuey.refusal(*switch, "exactly_once")
    service.start()
    api.post("letters/acks", json={"receipts": [held["receipt"]]}).raise_for_status()
    for guarantee in ("exactly_once", "at_most_once", "at_least_once"):
        service.stop()
        assert guarantee in queuey.text(*switch, guarantee)
        service.start()
        assert api.get("letters/settings").json()["guarantee"] == guarantee
    assert [each["body"] for each in claim(api, "letters")] == ["two"]
    service.stop()
    assert "no queue" in queuey.refusal("switch-guarantee", "queuey", "other", "exactly_once")


def test_the_schema_is_brought_up_to_date(tmp_path: Path) -> None:
    """A file that is not there is made; one that is right stays as it is."""
    (tmp_path / "queuey.toml").write_text(f'[applications.notes]\nkey_sha256 = "{"0" * 64}"\n')
    queuey = Command(tmp_path, {"QUEUEY_CONFIG": str(tmp_path / "queuey.toml")})
    assert int(str(queuey.objects("migrate")[0]["steps"])) >= 1
    assert queuey.objects("migrate") == [{"steps": 0}]
    assert os.stat(tmp_path / "queuey.sqlite3").st_mode & 0o777 == 0o600
