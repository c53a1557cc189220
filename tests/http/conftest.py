"""One real service on each store for all tests over HTTP; a failed test shows the ends of its logs."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support.cassandra_store import store_lines
from tests.support.deployment import SQLITE, Api, Deployment

_DEPLOYMENT = pytest.StashKey[Deployment]()


@pytest.fixture(scope="session", params=["sqlite", pytest.param("cassandra", marks=pytest.mark.cassandra)])
def service(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Deployment]:
    """A gunicorn and a storage node on an empty store."""
    lines = SQLITE if request.param == "sqlite" else store_lines(1, keyspace=f"http_{os.urandom(4).hex()}")
    with Deployment(tmp_path_factory.mktemp("service"), store=lines) as deployment:
        request.config.stash[_DEPLOYMENT] = deployment
        yield deployment


@pytest.fixture
def log(service: Deployment) -> str:
    """The kind of log that a queue of ``queuey`` has unless it asks for another: plain only on Cassandra."""
    return "fenced" if service.is_embedded else "plain"


@pytest.fixture
def api(service: Deployment) -> Iterator[Api]:
    """The application ``queuey`` (at_least_once)."""
    with service.api() as session:
        yield session


@pytest.fixture
def anonymous(service: Deployment) -> Iterator[Api]:
    """Somebody without a key."""
    with service.anonymous() as session:
        yield session


@pytest.fixture
def other(service: Deployment) -> Iterator[Api]:
    """The application ``other``, asking for things of ``queuey``."""
    with Api(f"{service.url}/v1/queuey", service.api("other").headers["Authorization"].__str__()) as session:
        yield session


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Add the logs to the report of a failed test."""
    report: pytest.TestReport = yield  # type: ignore[assignment]
    deployment = item.config.stash.get(_DEPLOYMENT, None)
    if report.failed and deployment is not None:
        report.sections.append(("service", deployment.logs()))
    return report  # type: ignore[return-value]
