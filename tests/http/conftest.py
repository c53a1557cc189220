"""One real service for all tests over HTTP; a failed test shows the ends of its logs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.deployment import Api, Deployment

_DEPLOYMENT = pytest.StashKey[Deployment]()


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Deployment]:
    """A gunicorn and a storage node on an empty SQLite store."""
    with Deployment(tmp_path_factory.mktemp("service")) as deployment:
        request.config.stash[_DEPLOYMENT] = deployment
        yield deployment


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
