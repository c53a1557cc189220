"""The service and its description agree: whatever the document allows or forbids gets an answer that it describes."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from api.openapi import document
from api.openapi.calls import CALLS, Call
from tests.support.deployment import Deployment, key_of
from tests.support.http_calls import new_queue

SHARED_QUEUE = "shared-queue"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    unsupported_method,
]


SCHEMA = schemathesis.openapi.from_dict(document())
DESTRUCTIVE = {"delete_queue", "purge_queue"}


@pytest.fixture(scope="module")
def base_url(service: Deployment) -> str:
    """The running service, with a queue that most calls are about."""
    with service.api() as api:
        new_queue(api, queue_name=SHARED_QUEUE, partitions=3, principles="app:queuey")
        assert api.get("/openapi.json").json() == document()
    return service.url


@pytest.mark.parametrize("call", CALLS, ids=[call.name for call in CALLS])
@settings(max_examples=25, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_answer_is_one_that_the_document_describes(base_url: str, call: Call, data: st.DataObject) -> None:
    """Status, content type and shape, for good and bad input; with the application's key and mostly a real queue."""
    mode = data.draw(st.sampled_from(list(schemathesis.GenerationMode)))
    case = data.draw(SCHEMA[call.path][call.method.upper()].as_strategy(generation_mode=mode))
    if "application" in case.path_parameters:
        case.path_parameters["application"] = "queuey"
    if "queue" in case.path_parameters and call.name not in DESTRUCTIVE:
        case.path_parameters["queue"] = SHARED_QUEUE
    for fields in (case.query, case.body):
        if isinstance(fields, dict):
            fields.pop("wait", None)
    case.call_and_validate(
        base_url=base_url,
        headers={"Authorization": f"Application {key_of('queuey')}"},
        checks=CHECKS,
        timeout=30,
    )
