"""Metrics, dashboard, rules and logs, with a real Prometheus."""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.support.deployment import Deployment
from tests.support.operations import prometheus, set_in_table
from tests.support.ports import free_ports
from tests.support.service import ROOT, wait_until
from tests.support.tools import require_program

TRACE = f"00-{'a' * 32}-{'b' * 16}-01"
DASHBOARD = ROOT / "deploy/grafana/queuey.json"


class Observed:
    """A deployment that shows its metrics."""

    def __init__(self, directory: Path) -> None:
        self.api_port, self.node_port = free_ports(2)
        self.deployment = Deployment(directory, workers=2)
        set_in_table(self.deployment, "api", f'metrics_bind = "127.0.0.1:{self.api_port}"')
        set_in_table(self.deployment, "storage_node", f'metrics_bind = "127.0.0.1:{self.node_port}"')

    @property
    def targets(self) -> dict[str, str]:
        """Job -> address."""
        return {
            "queuey_api": f"127.0.0.1:{self.api_port}",
            "queuey_storage_node": f"127.0.0.1:{self.node_port}",
        }

    def work(self, queue: str = "work") -> None:
        """Do something of every kind that is measured, once a refusal."""
        api = self.deployment.api()
        api.post("", data={"queue_name": queue})
        api.post(queue, data=b"x" * 100, headers={"traceparent": TRACE, "X-Request-Id": "seen-everywhere"})
        claims = api.post(f"{queue}/claims", json={}).json()["claims"]
        api.post(f"{queue}/acks", json={"receipts": [claim["receipt"] for claim in claims]})
        assert api.get("missing").status_code == 404

    def shown(self, port: int) -> str:
        """Return what is shown on a port."""
        return requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    made = Observed(tmp_path_factory.mktemp("observed"))
    with made.deployment:
        yield made


def value_of(text: str, line_begin: str) -> float:
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(line_begin))


def test_processes_are_added_up(observed: Observed) -> None:
    """Whichever worker served a request and whichever is asked, all are counted."""
    begin = 'queuey_http_request_seconds_count{application="queuey",operation="publish"}'
    before = value_of(observed.shown(observed.api_port), begin)
    observed.deployment.api().post("", data={"queue_name": "sums"})
    for _ in range(20):
        with observed.deployment.api() as api:
            api.post("sums", data=b"x")
    assert value_of(observed.shown(observed.api_port), begin) == before + 20
    assert value_of(observed.shown(observed.api_port), begin) == before + 20


def test_metrics_are_not_public(observed: Observed) -> None:
    """The public address knows no such path, and the metrics' address nothing else."""
    assert requests.get(f"{observed.deployment.url}/metrics", timeout=10).status_code == 404
    assert requests.get(f"http://127.0.0.1:{observed.api_port}/v1/queuey", timeout=10).status_code == 404


def test_no_label_is_made_up_by_clients(observed: Observed) -> None:
    """Neither queues nor unknown applications show."""
    observed.work("a-queue-of-its-own")
    requests.get(f"{observed.deployment.url}/v1/no-such-application", timeout=10)
    text = observed.shown(observed.api_port) + observed.shown(observed.node_port)
    assert "a-queue-of-its-own" not in text
    assert "no-such-application" not in text


def test_a_request_has_one_line_on_either_side(observed: Observed) -> None:
    """Under one id, which the client gets, and with the trace that it came with."""
    observed.work()
    for process in (observed.deployment.front, observed.deployment.node):
        lines = [json.loads(line) for line in process.log(10_000).splitlines() if "seen-everywhere" in line]
        assert {line["traceparent"] for line in lines} == {TRACE}
        assert {line["event"] for line in lines} <= {"request", "operation"}


def test_the_rules_are_good() -> None:
    """As promtool says."""
    promtool = require_program("promtool", "prometheus")
    for words in (["check", "rules", "rules.yml"], ["check", "config", "prometheus.yml"]):
        subprocess.run([promtool, *words], cwd=ROOT / "deploy/prometheus", check=True, capture_output=True)


def test_every_query_of_the_dashboard_has_data(observed: Observed, tmp_path: Path) -> None:
    """A real Prometheus scrapes both kinds of process."""
    queries = [
        target["expr"].replace("$__rate_interval", "15s")
        for panel in json.loads(DASHBOARD.read_text())["panels"]
        for target in panel["targets"]
    ]
    with prometheus(tmp_path / "prometheus", observed.targets) as url:

        def empty() -> list[str]:
            observed.work()
            return [query for query in queries if not has_data(url, query)]

        wait_until(lambda: not empty(), within_s=40, what="data for every query")
        rules = requests.get(f"{url}/api/v1/rules", timeout=10).json()["data"]["groups"][0]["rules"]
        assert {rule["health"] for rule in rules} == {"ok"}


def has_data(url: str, query: str) -> bool:
    answer = requests.get(f"{url}/api/v1/query", params={"query": query}, timeout=10).json()
    assert answer["status"] == "success", answer
    return any(not math.isnan(float(series["value"][1])) for series in answer["data"]["result"])
