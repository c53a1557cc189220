"""Real nginx and Prometheus processes beside a deployment."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import requests

from tests.support.deployment import Deployment, Process
from tests.support.ports import free_ports
from tests.support.service import ROOT, wait_until
from tests.support.tools import require_program

NGINX_CONF: Final = ROOT / "deploy/nginx/queuey.conf"
USER: Final = "user root;" if os.geteuid() == 0 else ""


def set_in_table(deployment: Deployment, table: str, *lines: str) -> None:
    """Add lines to a table of a configuration that was not used yet."""
    file = deployment.directory / "queuey.toml"
    head = f"[{table}]\n"
    text = file.read_text()
    assert head in text, text
    file.write_text(text.replace(head, head + "".join(f"{line}\n" for line in lines), 1))


def second_front(deployment: Deployment, directory: Path, *, workers: int = 1) -> Deployment:
    """Return a deployment of which only the front end is to be started: it asks the first one's node."""
    other = Deployment(directory, workers=workers)
    text = (deployment.directory / "queuey.toml").read_text()
    (directory / "queuey.toml").write_text(text.replace(f":{deployment.port}", f":{other.port}"))
    return other


@contextlib.contextmanager
def nginx(directory: Path, ports: tuple[int, int], changes: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run nginx with the shipped configuration in front of two front ends; yield its URL."""
    program = require_program("nginx", "nginx-light")
    (port,) = free_ports(1)
    text = NGINX_CONF.read_text()
    for before, after in {
        ":5000": f":{ports[0]}",
        ":5001": f":{ports[1]}",
        ":8080": f":{port}",
        **(changes or {}),
    }.items():
        assert before in text, before
        text = text.replace(before, after)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "site.conf").write_text(text)
    paths = "".join(
        f"{kind}_temp_path {directory}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (directory / "nginx.conf").write_text(
        f"{USER}\nworker_processes 1;\npid {directory}/nginx.pid;\nerror_log {directory}/error.log;\n"
        f"events {{ worker_connections 512; }}\nhttp {{ access_log {directory}/access.log;\n{paths}"
        f"include {directory}/site.conf;\n}}\n"
    )
    command = [program, "-p", str(directory), "-e", f"{directory}/error.log", "-c", f"{directory}/nginx.conf"]
    subprocess.run([*command, "-t", "-q"], check=True)
    running = subprocess.Popen([*command, "-g", "daemon off;"], stdin=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: _status(f"{url}/__ready__") == 200, within_s=20, what="nginx that reaches the service")
        yield url
    finally:
        running.terminate()
        running.wait(20)


@contextlib.contextmanager
def prometheus(directory: Path, targets: Mapping[str, str]) -> Iterator[str]:
    """Run Prometheus with the shipped rules, scraping job -> address every second; yield its URL."""
    program = require_program("prometheus", "prometheus")
    (port,) = free_ports(1)
    jobs = "".join(
        f'  - job_name: {job}\n    static_configs:\n      - targets: ["{target}"]\n'
        for job, target in targets.items()
    )
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "prometheus.yml").write_text(
        f"global:\n  scrape_interval: 1s\n  evaluation_interval: 1s\nrule_files:\n"
        f"  - {ROOT}/deploy/prometheus/rules.yml\nscrape_configs:\n{jobs}"
    )
    command = [
        program,
        f"--config.file={directory}/prometheus.yml",
        f"--storage.tsdb.path={directory}/data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]
    running = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: _status(f"{url}/-/ready") == 200, within_s=30, what="Prometheus")
        yield url
    finally:
        running.terminate()
        running.wait(20)


def start_front(deployment: Deployment) -> Process:
    """Start the front end alone and wait until it is ready."""
    deployment.front.start()
    wait_until(lambda: _status(f"{deployment.url}/__ready__") == 200, within_s=30, what="front end")
    return deployment.front


def _status(url: str) -> int:
    try:
        return requests.get(url, timeout=5).status_code
    except requests.RequestException:
        return 0
