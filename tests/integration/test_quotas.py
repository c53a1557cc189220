"""What one application may use, over real HTTP; another is not touched by it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest
import requests

from tests.support.deployment import Deployment
from tests.support.operations import set_in_table
from tests.support.service import wait_until

QUOTAS = {
    "queuey": "queues = 2\nmessage_bytes = 100\nstored_bytes = 250",
    "careless": "requests_per_second = 5",
    "careful": "bytes_per_second = 1000",
    "other": "in_flight = 2",
}


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    more = "".join(f"[applications.{name}.quotas]\n{lines}\n" for name, lines in QUOTAS.items())
    made = Deployment(tmp_path_factory.mktemp("quotas"), more=more)
    set_in_table(made, "api", "body_bytes_max = 2000")
    with made:
        yield made


def assert_over(answer: requests.Response, quota: str) -> None:
    assert answer.status_code == 429, answer.text
    assert answer.json()["code"] == "quota_exceeded"
    assert list(answer.json()["error_msg"]) == [quota]
    assert int(answer.headers["Retry-After"]) >= 1


def test_queues_and_bytes_are_counted_where_all_traffic_is_seen(deployment: Deployment) -> None:
    """The third queue and the message that would pass the bound are refused; a queue that is there is none more."""
    api = deployment.api("queuey")
    assert [api.post("", data={"queue_name": name}).status_code for name in ("a", "b", "a")] == [201, 201, 201]
    assert_over(api.post("", data={"queue_name": "c"}), "queues")
    assert [api.post("a", data=b"x" * 100).status_code for _ in range(2)] == [201, 201]
    assert_over(api.post("a", data=b"x" * 100), "stored_bytes")
    assert api.post("a", data=b"x" * 101).status_code == 413


def test_requests_are_bounded_per_second(deployment: Deployment) -> None:
    """A second's worth goes through at once, then the rate; another application goes on."""
    answers = [deployment.api("careless").get("") for _ in range(20)]
    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(refused) >= 10
    assert_over(refused[-1], "requests_per_second")
    assert deployment.api("other").get("").status_code == 200


def test_who_has_no_good_key_is_not_told_of_an_application_over_its_rate(deployment: Deployment) -> None:
    """The answer is that of any other application, also of one that there is not; who has the key is told."""
    strangers = [deployment.api(name, key="Some-other-key") for name in ("careless", "other", "nobody")]
    for _ in range(20):
        answer = deployment.api("careless").get("")
    assert_over(answer, "requests_per_second")
    answers = [stranger.get("") for stranger in strangers]
    assert [answer.status_code for answer in answers] == [401, 401, 401]
    assert len({answer.text for answer in answers}) == 1
    linked = deployment.anonymous("careless").get("?link=no-link")
    assert linked.status_code == 401


def test_bytes_are_bounded_per_second(deployment: Deployment) -> None:
    """A large body is taken, and what follows waits for it; none is larger than the service's own bound."""
    api = deployment.api("careful")
    api.post("", data={"queue_name": "q"})
    assert api.post("q", data=b"x" * 2_000).status_code == 201
    assert_over(api.post("q", data=b"x"), "bytes_per_second")
    assert deployment.api("other").post("q", data=b"x" * 2_001).status_code == 413


def poll_claim(deployment: Deployment) -> int:
    """Poll, again for as long as the test's own question holds the place; return the status."""
    while True:
        answer = deployment.api("other").post("q/claims", json={"wait": 20})
        if answer.status_code != 429:
            return answer.status_code


def test_requests_under_way_are_bounded(deployment: Deployment) -> None:
    """Long polls count: a third one beside two is refused at once, and served when one of them has ended."""
    api, another = deployment.api("other"), deployment.api("queuey")
    for each, queue in ((api, "q"), (another, "a")):
        assert each.post("", data={"queue_name": queue}).status_code == 201
    ended: list[int] = []
    polls = [threading.Thread(target=lambda: ended.append(poll_claim(deployment))) for _ in range(2)]
    for poll in polls:
        poll.start()
    refused: list[requests.Response] = []

    def is_refused() -> bool:
        answer = api.get("q")
        refused.extend([answer] if answer.status_code == 429 else [])
        return bool(refused)

    wait_until(is_refused, within_s=10, what="refusal")
    assert_over(refused[0], "in_flight")
    assert another.get("").status_code == 200
    assert another.get("a").status_code == 200
    assert ended == []
    deployment.front.signal(signal.SIGTERM)
    for poll in polls:
        poll.join(20)
    assert ended == [200, 200]
    deployment.front.stop()
    deployment.start()
    assert deployment.api("other").get("q").status_code == 200
