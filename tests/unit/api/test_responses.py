"""The table of failures, and what of an answer depends on no service."""

from __future__ import annotations

import re
import subprocess
import sys

from api.openapi import document
from api.openapi.calls import CALLS
from api.responses.answers import failure_answer
from api.responses.showing import body_text, duration
from api.responses.statuses import MEANINGS, table
from api.routes.frame import one_form, request_id
from api.routes.known_queues import KnownQueue, KnownQueues
from api.routes.table import HEARTBEAT, ROUTES
from api.serial_ids import SerialIds
from common.guarantees import Guarantee
from common.protocol.failures import Code, Failure


def test_every_code_has_a_status_and_a_meaning() -> None:
    """A code added to the registry has to be given both."""
    assert set(MEANINGS) == set(Code)


def test_the_table_is_printed_as_markdown() -> None:
    """The documentation is made from it."""
    printed = subprocess.run([sys.executable, "-m", "api.responses"], capture_output=True, text=True, check=True)
    assert printed.stdout == table()
    assert "| 422 | `idempotency_conflict` | `no` |" in printed.stdout


def test_a_refusal_names_field_code_and_retry() -> None:
    """v1's body with two more keys; what passes says when to come back."""
    answer = failure_answer(Failure(Code.OVERLOADED, "node", "busy", 1_500, {"b": "c"}))
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "2"
    assert answer.json == {
        "status": "error",
        "error_msg": {"node": "busy", "b": "c"},
        "code": "overloaded",
        "retry": "later",
    }


def test_a_denial_holds_the_words_that_clients_look_for() -> None:
    """Whatever the node calls it."""
    answer = failure_answer(Failure(Code.ACCESS_DENIED, "access", "no"))
    assert answer.status_code == 403
    assert "Access was denied" in answer.get_data(as_text=True)


def test_the_document_describes_exactly_the_routes() -> None:
    """Method, path and name."""
    described = {(call.method.upper(), call.path, call.name) for call in CALLS}
    served = {
        (route.method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route.path), route.name) for route in (*ROUTES, HEARTBEAT)
    }
    assert described == served
    assert document()["openapi"] == "3.1.0"


def test_a_path_has_one_form() -> None:
    """Trailing and doubled slashes mean nothing."""
    assert one_form("//v1//a///b/") == "/v1/a/b"
    assert one_form("/") == "/"


def test_a_request_id_is_taken_over_only_if_harmless() -> None:
    """It ends up in logs and headers."""
    ids = SerialIds()
    assert request_id("abc-1.2:x_", ids) == "abc-1.2:x_"
    assert request_id("x" * 65, ids) != "x" * 65
    assert request_id('a"b', ids) != 'a"b'


def test_text_stays_text_and_other_bytes_become_base64() -> None:
    """NUL is text; a broken sequence is not."""
    assert body_text("a\x00ä".encode())[0] == "a\x00ä"
    assert body_text(b"\xff\x00") == ("/wA=", "base64")


def test_durations_are_whole_seconds_where_they_can() -> None:
    """A number either way."""
    assert (duration(30_000), duration(1_500)) == (30, 1.5)


def test_only_the_queues_used_last_are_remembered() -> None:
    """Memory is bounded whatever the number of queues."""
    known = KnownQueues(queues_max=2)
    for number in range(3):
        known.learn("a", f"q{number}", KnownQueue(number + 1, Guarantee.AT_LEAST_ONCE))
    assert known.get("a", "q0") is None
    assert known.get("a", "q2") == KnownQueue(3, Guarantee.AT_LEAST_ONCE)
    known.forget("a", "q2")
    assert known.get("a", "q2") is None


def test_serial_ids_are_all_different() -> None:
    """Within an object they count; two objects begin elsewhere."""
    one, other = SerialIds(), SerialIds()
    made = [ids.next() for ids in (one, other) for _ in range(1_000)]
    assert len(set(made)) == len(made)
    assert {len(text) for text in made} == {24}
