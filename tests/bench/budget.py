"""Who spends the CPU of one publish: ``python -m tests.bench.budget``, or ``make bench-budget``.

Each stage is measured by itself, by CPU seconds, as the least of several repetitions: on a busy machine every one of
them costs more, their proportions stay.  What a front end does is measured in this process, the link and the node
with a real node and a real SQLite file, with 1 and with 16 calls under way.  Leaves ``var/bench/budget.md``.
"""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import gevent
import msgspec
from gunicorn.config import Config
from gunicorn.http.parser import RequestParser

from api.app import create_app
from api.auth.build import HttpsFetchers, build_authenticator
from api.node_client import NodeClient
from api.responses.answers import ENCODER
from api.responses.showing import publish_answer
from api.validation.messages import RawMessage, parse_raw_message
from common.clock import SYSTEM_CLOCK
from common.guarantees import Guarantee
from common.limits import BODY_BYTES_MAX
from common.protocol.codec import decode_answer, decode_request, encode_answer, encode_request, type_answer
from common.protocol.envelope import Request
from common.protocol.operations import Caller, NewMessage, Operation, Ping, Publish, Published, Stored
from common.settings import load_settings
from tests.bench.bare import app as bare
from tests.bench.processes import thread_cpu_s
from tests.support.deployment import Deployment, key_of

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

Rows = list[tuple[str, str, float]]

BODY: Final = b"x" * 100
CALLER: Final = Caller(principals=("app:queuey",))
PUBLISH: Final = Publish(
    application="queuey",
    caller=CALLER,
    queue="bench",
    messages=(NewMessage(body=BODY, content_type="text/plain"),),
    partition=1,
    attempt_key="0" * 24,
)
PUBLISHED: Final = Published(
    results=(Stored(message_id=bytes.fromhex("01f0c8a2b4d6e80f8000112233445566"), partition=1),),
    guarantee=Guarantee.AT_LEAST_ONCE,
    partitions=1,
)
AUTHORIZATION: Final = f"Application {key_of('queuey')}"
HEAD: Final = (
    f"POST /v1/queuey/bench HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nAuthorization: {AUTHORIZATION}\r\n"
    f"Content-Type: text/plain\r\nContent-Length: {len(BODY)}\r\n\r\n"
).encode()
REPEATS: Final = 7
CALLS: Final = 1_600


class Instant:
    """A way to the nodes that answers at once."""

    def call(self, operation: Operation, **_: object) -> msgspec.Struct:
        """Return what a publish returns."""
        return PUBLISHED

    def ready(self) -> bool:
        """Say yes."""
        return True


def main() -> int:
    """Measure and print."""
    with TemporaryDirectory(dir="var") as name, Deployment(Path(name)) as service:
        rows = _front(Path(name)) + _codec()
        with service.api() as api:
            api.post("", data={"queue_name": "bench"}).raise_for_status()
        service.front.stop()
        for under_way in (1, 16):
            rows += _link_and_node(service, under_way)
    lines = ["| Stage | Where | CPU, us |", "|---|---|---|", *[f"| {a} | {b} | {c:.1f} |" for a, b, c in rows]]
    text = "\n".join(lines) + "\n"
    Path("var/bench").mkdir(parents=True, exist_ok=True)
    Path("var/bench/budget.md").write_text(text)
    sys.stdout.write(text)
    return 0


def least_us(work: Callable[[], object], count: int = 400) -> float:
    """Return the CPU microseconds of one call, as the best repetition shows them."""
    work()
    best = float("inf")
    for _ in range(REPEATS):
        begun_s = time.process_time()
        for _ in range(count):
            work()
        best = min(best, (time.process_time() - begun_s) / count * 1e6)
    return best


def _front(directory: Path) -> Rows:
    settings = load_settings(directory / "queuey.toml")
    authenticator = build_authenticator(
        settings.applications,
        directory=directory,
        run_directory=directory / "run",
        fetchers=HttpsFetchers(SYSTEM_CLOCK),
        processes=1,
    )
    own = create_app(settings, Instant(), SYSTEM_CLOCK, authenticator=authenticator)
    raw = RawMessage(body=BODY, content_type="text/plain")
    now_ms = int(time.time() * 1000)
    config, shown = Config(), sys.stderr
    with Path(os.devnull).open("w") as nowhere:  # the lines of the log are made and written, but not kept
        sys.stderr = nowhere
        whole, flask = least_us(lambda: _serve(own.wsgi_app)), least_us(lambda: _serve(bare.wsgi_app))
        sys.stderr = shown
    return [
        ("parse the request's head", "front, gunicorn", least_us(lambda: _parsed(config))),
        ("context, routing and answer of a bare endpoint", "front, Flask", flask),
        ("all of ours but the link, Flask included", "front", whole),
        (
            "authenticate",
            "front, in the above",
            least_us(lambda: authenticator.authenticate("queuey", authorization=AUTHORIZATION, now_ms=now_ms)),
        ),
        ("validate", "front, in the above", least_us(lambda: parse_raw_message(raw, BODY_BYTES_MAX))),
        (
            "make the answer's JSON",
            "front, in the above",
            least_us(lambda: ENCODER.encode(publish_answer(PUBLISHED))),
        ),
    ]


def _parsed(config: Config) -> None:
    next(RequestParser(config, iter([HEAD + BODY]), ("127.0.0.1", 1)))


def _serve(application: WSGIApplication) -> None:
    answer: Iterable[bytes] = application(_environ(), lambda *_: lambda _: None)
    for _ in answer:
        pass


def _environ() -> WSGIEnvironment:
    return {
        "wsgi.input": io.BytesIO(BODY),
        "wsgi.input_terminated": True,
        "wsgi.url_scheme": "http",
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/v1/queuey/bench",
        "SCRIPT_NAME": "",
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "127.0.0.1:8000",
        "HTTP_AUTHORIZATION": AUTHORIZATION,
        "CONTENT_TYPE": "text/plain",
        "CONTENT_LENGTH": str(len(BODY)),
    }


def _codec() -> Rows:
    request = Request(request_id=1, operation=PUBLISH, sent_ms=1 << 33, budget_ms=10_000, log_id="0" * 24)
    frame, answer = encode_request(request), encode_answer(1, PUBLISHED)
    return [
        ("encode the request", "front, link", least_us(lambda: encode_request(request))),
        ("decode the request", "node, link", least_us(lambda: decode_request(frame))),
        ("encode the reply", "node, link", least_us(lambda: encode_answer(1, PUBLISHED))),
        ("decode the reply", "front, link", least_us(lambda: type_answer(decode_answer(answer), Published))),
    ]


def _link_and_node(service: Deployment, under_way: int) -> Rows:
    client = NodeClient([load_settings(service.directory / "queuey.toml").storage_node.endpoint(0)])
    while not client.ready():
        gevent.sleep(0.05)
    empty, full = (_least_costs(service, client, each, under_way) for each in (Ping(), PUBLISH))
    client.close()
    where = f"{under_way} under way"
    return [
        ("an empty call: front end", f"{where}, link", empty["front"]),
        ("an empty call: node", f"{where}, link", empty["loop"] + empty["link"]),
        ("a publish: front end's side of the link", where, full["front"]),
        ("a publish: node's event loop (decode, dispatch, log, reply)", where, full["loop"]),
        ("a publish: node's store thread (insert, commit, fsync)", where, full["store"]),
        ("a publish: node's ZeroMQ thread", where, full["link"]),
    ]


def _least_costs(service: Deployment, client: NodeClient, operation: Operation, under_way: int) -> dict[str, float]:
    best: dict[str, float] = {}
    for _ in range(REPEATS):
        found = _costs(service, client, operation, under_way)
        if not best or sum(found.values()) < sum(best.values()):
            best = found
    return best


def _costs(service: Deployment, client: NodeClient, operation: Operation, under_way: int) -> dict[str, float]:
    """Return CPU microseconds a call: this process, and the node's threads."""

    def work() -> None:
        for _ in range(CALLS // under_way):
            client.call(operation, request_id="0" * 24)

    before, begun_s = thread_cpu_s(service.node.pid), time.process_time()
    gevent.joinall([gevent.spawn(work) for _ in range(under_way)], raise_error=True)
    found = {"front": time.process_time() - begun_s, "loop": 0.0, "store": 0.0, "link": 0.0}
    for (number, name), seconds in thread_cpu_s(service.node.pid).items():
        part = "loop" if number == service.node.pid else "link" if name.startswith("ZMQ") else "store"
        found[part] += seconds - before.get((number, name), 0.0)
    return {part: seconds / CALLS * 1e6 for part, seconds in found.items()}


if __name__ == "__main__":
    sys.exit(main())
