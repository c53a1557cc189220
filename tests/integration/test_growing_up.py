"""From SQLite to Cassandra and back, on the real ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.test_offline_commands import api_of, claim, fill, messages, publish, queuey_of
from tests.support.cassandra_store import store_lines
from tests.support.deployment import Deployment
from tests.support.service import wait_until

pytestmark = [pytest.mark.cassandra, pytest.mark.timeout(400)]

SQLITE = 'backend = "sqlite"\npath = "messages.sqlite3"'
KEYSPACE = "growing_up"


def test_a_first_run_grows_up_and_can_go_back(tmp_path: Path) -> None:
    """Ids, positions, leases and edits are the same on the other side; a plain log becomes a fenced one on demand."""
    with Deployment(tmp_path / "service") as service:
        _, held = fill(api_of(service, "careful"))
        expected = messages(api_of(service, "careful"), "letters")
        service.stop()
        queuey_of(service).text("export", "small")
        _move(service, SQLITE, store_lines(1, keyspace=KEYSPACE))
        queuey_of(service).text("import", "small")
        service.start()
        assert messages(api_of(service, "careful"), "letters") == expected
        assert api_of(service, "careful").get(f"letters/acks/{held}").json()["outcome"] == "leased"
        _make_plain(service)
        plain = messages(api_of(service), "notes")
        assert "stop the storage nodes" in queuey_of(service).refusal("export", "running")
        service.stop()
        _when_no_node_is_left(service, "switch-guarantee", "queuey", "notes", "exactly_once")
        service.start()
        assert messages(api_of(service), "notes") == plain
        assert [each["body"] for each in claim(api_of(service), "notes", limit=1_000)] == ["note 2", "note 3"]
        publish(api_of(service), "notes", "note 4")
        service.stop()
        _when_no_node_is_left(service, "export", "large")
        _move(service, store_lines(1, keyspace=KEYSPACE), SQLITE.replace("messages", "again"))
        queuey_of(service).text("migrate")
        queuey_of(service).text("import", "large")
        service.start()
        assert messages(api_of(service, "careful"), "letters") == expected
        assert [body for _, body in messages(api_of(service), "notes")][-1] == "note 4"
        assert api_of(service).get("notes/settings").json()["guarantee"] == "exactly_once"


def _when_no_node_is_left(service: Deployment, *words: str) -> None:
    """Run a command; a node that had to be killed, on a slow machine, is remembered for 10 s."""
    queuey = queuey_of(service)
    wait_until(lambda: queuey.run(*words).returncode == 0, within_s=30, what=f"success of {words[0]}")


def _make_plain(service: Deployment) -> None:
    api = api_of(service)
    api.post("", data={"queue_name": "notes"}).raise_for_status()
    publish(api, "notes", *[f"note {number}" for number in range(4)])
    claims = claim(api, "notes", limit=2)
    api.post("notes/acks", json={"receipts": [each["receipt"] for each in claims]}).raise_for_status()


def _move(service: Deployment, old: str, new: str) -> None:
    """Let the service keep everything elsewhere."""
    file = service.directory / "queuey.toml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
