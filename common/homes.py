"""Which data centre serves an application, where quorums are counted in one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from common.settings import Settings


def is_home(settings: Settings, application: str) -> bool:
    """Say whether a node of this configuration may serve the application: any may, where quorums are global."""
    known = settings.applications.get(application)
    return settings.store.quorum == "global" or (known is not None and known.home_dc == settings.store.local_dc)


def home_problems(settings: Settings) -> Iterator[tuple[str, str]]:
    """Return what is wrong with homes: key and reason."""
    is_local = settings.store.backend == "cassandra" and settings.store.quorum == "local"
    known = settings.store.replication
    for name, application in settings.applications.items():
        key, home = f"applications.{name}.home_dc", application.home_dc
        if is_local and not home:
            yield key, 'is missing: with [store] quorum = "local" every application has a home'
        elif home and not is_local:
            yield key, 'means nothing without [store] backend = "cassandra" and quorum = "local"'
        elif home and known is not None and home not in known:
            yield key, f"{home!r} is no data centre of [store] replication"
