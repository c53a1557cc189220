"""Structure that matters and that import contracts (setup.cfg) can't say."""

from __future__ import annotations

import ast
import importlib.metadata
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("api", "cli", "common", "storage_node")
SERVICES = ("api", "common", "storage_node")
CLOCK = "common.clock"
READS_THE_ENVIRONMENT = {"common.settings", "common.tracing"}
READS_THE_CLOCK = {"time", "now", "utcnow", "today", "time_ns", "monotonic", "monotonic_ns", "perf_counter"}


def modules(packages: tuple[str, ...]) -> Iterator[tuple[str, ast.Module]]:
    for package in packages:
        for file in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
            yield name, ast.parse(file.read_text("utf-8"))


def imports_of(tree: ast.Module) -> set[str]:
    plain = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


def names_of(tree: ast.Module) -> set[str]:
    return {
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }


def test_every_module_of_common_is_used_by_both_sides() -> None:
    """What one side alone needs lives on that side."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    one_sided = {
        name: users
        for name in graph.modules
        if name.startswith("common.") and not graph.find_children(name)
        if not {"api", "storage_node"}
        <= (users := {user.split(".")[0] for user in graph.find_downstream_modules(name)})
    }
    assert not one_sided


@pytest.mark.parametrize("package", PACKAGES)
def test_no_other_distribution_brings_a_package_of_this_name(package: str) -> None:
    """Installed beside ours, it would be imported instead, silently."""
    assert set(importlib.metadata.packages_distributions().get(package, [])) <= {"queuey-service"}


def test_time_is_read_in_one_module() -> None:
    """Elsewhere it is an argument, so that the simulation can bend it."""
    readers = {name for name, tree in modules(PACKAGES) if "time" in imports_of(tree)}
    dated = {
        name
        for name, tree in modules(PACKAGES)
        if {f"{owner}.{call}" for owner in ("datetime", "date", "time") for call in READS_THE_CLOCK} & names_of(tree)
    }
    assert readers | dated == {CLOCK}


def test_the_environment_is_read_where_it_must_be() -> None:
    """A process is configured by one file; from outside come the file's name and OpenTelemetry's own settings."""
    assert {name for name, tree in modules(SERVICES) if names_of(tree) & {"os.environ", "os.getenv"}} == (
        READS_THE_ENVIRONMENT
    )


def test_services_do_not_print() -> None:
    """They log."""
    printing = {
        name
        for name, tree in modules(SERVICES)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    }
    assert not printing
