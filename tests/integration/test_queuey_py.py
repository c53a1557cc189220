"""Programs written for queuey-py 0.2 (2012) run unchanged against the service."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlencode, urljoin, urlsplit

import pytest

from tests.support.queuey_py_session import observe
from tests.support.service import ROOT, Service, running_service
from tests.support.tools import skip_or_fail

PACKAGES: Final = ("queuey-py==0.2", "requests==0.13.0", "ujson==2.0.3", "chardet==4.0.0")
LIBRARY: Final = ROOT / "var" / "queuey-py-0.2"
SESSION: Final = ROOT / "tests" / "support" / "queuey_py_session.py"
EXPECTED: Final = {
    "connect": 200,
    "created": "mail",
    "created_again": "mail",
    "named_by_the_service": 32,
    "listed": [[False, 1], [True, 1]],
    "posted": 201,
    "batch": 201,
    "read": ["first", "second", "third"],
    "read_since": ["second", "third"],
    "read_limited": ["first", "second"],
    "read_backwards": ["third"],
    "own_language": ["caf\u00e9"],
    "message": ["body", "message_id", "partition", "timestamp"],
    "same_id": True,
    "timestamp_is_text": True,
    "put": 200,
    "changed": ["changed"],
    "own_id_unknown": [],
    "own_id": ["bookmark"],
    "delete": 200,
    "after_delete": ["second", "third", "bookmark"],
    "bad_partitions": 400,
    "bad_order": [400, True],
    "queue_deleted": 200,
    "queue_gone": 404,
}


class Response(NamedTuple):
    status_code: int
    text: str


class HTTPError(Exception):
    """A status and its response, as the library raises them."""


class SameForms:
    """Calls in the forms of queuey-py 0.2: URLs, parameters, headers and bodies as the library sends them."""

    def __init__(self, key: str, app_url: str) -> None:
        self._app_url = app_url
        self._headers = {"Authorization": f"Application {key}"}
        self._connection = http.client.HTTPConnection(urlsplit(app_url).netloc, timeout=5)

    def close(self) -> None:
        self._connection.close()

    def connect(self) -> Response:
        return self._call("HEAD", "/__heartbeat__")

    def get(self, url: str = "", params: Mapping[str, object] | None = None) -> Response:
        query = f"?{urlencode(params)}" if params else ""
        return self._call("GET", urljoin(self._app_url, url) + query)

    def post(self, url: str = "", data: str | list[str] | Mapping[str, object] = "") -> Response:
        headers, body = {}, data
        if isinstance(data, list):
            headers = {"content-type": "application/json"}
            body = json.dumps({"messages": [{"body": text, "ttl": 259200} for text in data]})
        elif isinstance(data, Mapping):
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            body = urlencode(data)
        assert isinstance(body, str)
        return self._call("POST", urljoin(self._app_url, url), body, headers)

    def put(self, url: str, data: str, headers: dict[str, str] | None = None) -> Response:
        return self._call("PUT", urljoin(self._app_url, url), data, headers or {})

    def delete(self, url: str) -> Response:
        return self._call("DELETE", urljoin(self._app_url, url))

    def create_queue(self, partitions: int = 1, queue_name: str | None = None) -> str:
        named = {} if queue_name is None else {"queue_name": queue_name}
        answer = json.loads(self._good(self.post(data={"partitions": partitions, **named})))
        return str(answer["queue_name"])

    def messages(
        self, queue_name: str, since: str | None = None, limit: int = 100, order: str = "ascending"
    ) -> list[dict[str, str]]:
        params = {"limit": limit, "order": order, "partitions": 1, **({"since": since} if since else {})}
        answer = json.loads(self._good(self.get(queue_name, params=params)))
        return [message for message in answer["messages"] if message["message_id"] != since]

    def _good(self, response: Response) -> str:
        if response.status_code >= 400:
            raise HTTPError(response.status_code, response)
        return response.text

    def _call(self, method: str, url: str, body: str = "", headers: Mapping[str, str] | None = None) -> Response:
        self._connection.request(method, url, body=body.encode(), headers={**self._headers, **(headers or {})})
        answer = self._connection.getresponse()
        return Response(answer.status, answer.read().decode())


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with running_service(tmp_path) as running:
        yield running


def python_27_or_none() -> str | None:
    """Return an interpreter that runs; a shim of another version counts for nothing."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    installed = [str(path) for path in pyenv.glob("versions/2.7*/bin/python2.7")]
    for python in [shutil.which("python2.7"), *installed]:
        if python and subprocess.run([python, "-c", "import ssl"], capture_output=True, check=False).returncode == 0:
            return python
    return None


def install_library(python: str) -> None:
    """Put the packages into ``var``, once."""
    if LIBRARY.exists():
        return
    begun = LIBRARY.with_suffix(".new")
    shutil.rmtree(begun, ignore_errors=True)
    command = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(begun), *PACKAGES]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        skip_or_fail(f"queuey-py can't be installed: {done.stderr}")
    begun.rename(LIBRARY)


def test_queuey_py_works_unchanged(service: Service) -> None:
    """The library itself, under Python 2.7 with requests 0.13."""
    python = python_27_or_none()
    if python is None:
        pytest.skip("no Python 2.7 here (Debian has none): the calls are made by our own code alone")
    install_library(python)
    done = subprocess.run(
        [python, str(SESSION), f"{service.url}/", service.key],
        env={"PYTHONPATH": str(LIBRARY), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == EXPECTED


def test_the_same_calls_in_the_same_forms_work(service: Service) -> None:
    """Whether or not there is a Python 2.7 to run the library."""
    with contextlib.closing(SameForms(service.key, f"{service.url}/")) as client:
        assert json.loads(json.dumps(observe(client))) == EXPECTED  # type: ignore[no-untyped-call]
