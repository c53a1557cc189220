"""One test per failure that a client can meet: status, code, retry, and when to come back."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from common.limits import BATCH_MESSAGES_MAX, BODY_BYTES_MAX, CONNECT_DEADLINE_MS
from tests.support.deployment import Api, Deployment, deployed
from tests.support.http_calls import claim, new_queue, post, refusal


def test_invalid_request(api: Api) -> None:
    """A field out of its bounds."""
    assert refusal(api.get(new_queue(api), params={"limit": "0"}), 400, "invalid_request")


def test_invalid_parameter(api: Api) -> None:
    """No JSON; a cursor that this service did not make."""
    queue = new_queue(api)
    assert refusal(api.post(queue, data="{", headers={"Content-Type": "application/json"}), 400, "invalid_parameter")
    assert set(refusal(api.get(queue, params={"cursor": "AAAA"}), 400, "invalid_parameter")) == {"cursor"}


def test_invalid_update(api: Api) -> None:
    """Fewer partitions."""
    assert refusal(api.put(new_queue(api, partitions=2), data={"partitions": "1"}), 400, "invalid_update")


def test_invalid_message_id(api: Api) -> None:
    """Not hex; more than 100."""
    queue = new_queue(api)
    assert refusal(api.get(f"{queue}/zz"), 400, "invalid_message_id")
    assert refusal(api.get(f"{queue}/{','.join(['a' * 32] * 101)}"), 400, "invalid_message_id")


def test_invalid_application_key(service: Deployment) -> None:
    """An unknown key."""
    with service.api(key="unknown") as stranger:
        assert refusal(stranger.get(""), 401, "invalid_application_key")


def test_invalid_credentials(service: Deployment) -> None:
    """Another kind of credential that does not count has its own code, and is a 401."""
    for credential in ("Bearer x", "BrowserID x", "Link x"):
        with Api(f"{service.url}/v1/queuey", credential) as stranger:
            assert refusal(stranger.get(""), 401, "scheme_not_enabled")


def test_access_denied(anonymous: Api) -> None:
    """No key."""
    assert refusal(anonymous.get(""), 403, "access_denied")


def test_queue_not_found(api: Api) -> None:
    """For its application."""
    assert refusal(api.get("missing"), 404, "queue_not_found")
    assert refusal(api.post("missing/claims"), 404, "queue_not_found")
    assert refusal(api.get("missing/settings"), 404, "queue_not_found")


def test_not_found(api: Api) -> None:
    """No such path."""
    assert refusal(api.get("/v2/queuey"), 404, "not_found")


def test_method_not_allowed(api: Api) -> None:
    """With ``Allow``."""
    assert refusal(api.patch(""), 405, "method_not_allowed")


def test_not_leased(service: Deployment) -> None:
    """Under at_most_once, before receipts are looked at."""
    with service.api("careless") as api:
        reply = api.post(f"{new_queue(api)}/acks", json={"receipts": ["x" * 5000]})
        assert refusal(reply, 409, "not_leased")


def test_bad_receipt(api: Api) -> None:
    """One that was not made here, or was made for another queue."""
    queue, second = new_queue(api), new_queue(api)
    post(api, queue)
    (message,) = claim(api, queue)
    for receipt in ("x", "x" * 5000, "", message["receipt"]):
        assert refusal(api.post(f"{second}/acks", json={"receipts": [receipt]}), 400, "bad_receipt")
    assert refusal(api.get(f"{queue}/acks/nonsense"), 400, "bad_receipt")


def test_body_too_large(api: Api) -> None:
    """A raw body, one of a batch, too many of them; the limit itself is fine."""
    queue = new_queue(api)
    post(api, queue, b"x" * BODY_BYTES_MAX)
    assert refusal(api.post(queue, data=b"x" * (BODY_BYTES_MAX + 1)), 413, "body_too_large")
    large = {"messages": [{"body": "x" * (BODY_BYTES_MAX + 1)}]}
    assert set(refusal(api.post(queue, json=large), 413, "body_too_large")) == {"0.body"}
    many = {"messages": [{"body": "x"}] * (BATCH_MESSAGES_MAX + 1)}
    assert refusal(api.post(queue, json=many), 413, "body_too_large")


def test_idempotency_conflict(api: Api) -> None:
    """The same key, another body."""
    queue = new_queue(api)
    post(api, queue, "a", Idempotency_Key="k")
    assert refusal(api.post(queue, data="b", headers={"Idempotency-Key": "k"}), 422, "idempotency_conflict")


def test_too_many_in_flight(api: Api) -> None:
    """Nothing can be claimed before something is settled; says when to come back."""
    queue = new_queue(api, max_in_flight=1)
    post(api, queue)
    post(api, queue)
    assert len(claim(api, queue)) == 1
    reply = api.post(f"{queue}/claims")
    assert refusal(reply, 429, "too_many_in_flight")
    assert reply.json()["retry"] == "later"
    assert int(reply.headers["Retry-After"]) >= 1


def test_unavailable(tmp_path: Path) -> None:
    """No node: 503 within 2 s, and it recovers by itself when the node is back."""
    with deployed(tmp_path) as service, service.api() as api:
        queue = new_queue(api)
        service.node.kill()
        begun_s = time.monotonic()
        reply = api.get(queue)
        assert time.monotonic() - begun_s < CONNECT_DEADLINE_MS / 1000 + 0.5
        assert refusal(reply, 503, "unavailable")
        assert reply.json()["retry"] == "later"
        assert int(reply.headers["Retry-After"]) >= 1
        assert api.get("/__ready__").status_code == 503
        assert api.get("/__heartbeat__").status_code == 200
        service.start()
        assert api.get(queue).status_code == 200


def test_outcome_unknown(tmp_path: Path) -> None:
    """The node is killed with a publish in its hands: not reported as failed."""
    with deployed(tmp_path) as service, service.api() as api:
        queue = new_queue(api)
        service.node.signal(signal.SIGSTOP)
        reply = api.post(queue, data="x")
        service.node.signal(signal.SIGCONT)
        assert reply.status_code == 503
        assert reply.json()["code"] in {"outcome_unknown", "unavailable"}
        assert "Retry-After" in reply.headers
