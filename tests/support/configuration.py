"""Changes to the configuration of a deployment that was not started yet."""

from __future__ import annotations

from tests.support.deployment import Deployment


def configure(deployment: Deployment, table: str, *lines: str) -> Deployment:
    """Add lines to a table that the configuration has."""
    file = deployment.directory / "queuey.toml"
    text, head = file.read_text(), f"[{table}]\n"
    assert head in text, f"no {head.strip()} in {text}"
    file.write_text(text.replace(head, head + "".join(f"{line}\n" for line in lines), 1))
    return deployment
