"""One of two front ends is frozen: it takes connections and never answers, so nothing but the balancer notices."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import requests

from tests.support.deployment import Deployment
from tests.support.operations import nginx, second_front, start_front

CLIENTS: Final = 8
PATIENCE_S: Final = 4.0
WATCHED_S: Final = 8.0


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[str, Deployment]]:
    """The balancer's URL and the deployment of the front end that is to freeze."""
    first = Deployment(tmp_path / "first")
    second = second_front(first, tmp_path / "second")
    with first:
        try:
            start_front(second)
            with nginx(tmp_path / "nginx", (first.port, second.port)) as url:
                yield url, second
        finally:
            second.front.signal(signal.SIGCONT)
            second.front.stop()


def test_most_calls_go_to_the_front_end_that_answers(site: tuple[str, Deployment]) -> None:
    """Few clients wait for the frozen one at a time; the calls of all others succeed."""
    url, frozen = site
    frozen.front.signal(signal.SIGSTOP)
    end_s = time.monotonic() + WATCHED_S
    answered = [0] * CLIENTS
    stuck = [0] * CLIENTS

    def call(number: int) -> None:
        while time.monotonic() < end_s:
            try:
                requests.get(f"{url}/__live__", timeout=PATIENCE_S)
                answered[number] += 1
            except requests.RequestException:
                stuck[number] += 1

    threads = [threading.Thread(target=call, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(answered) > 10 * sum(stuck), (answered, stuck)
