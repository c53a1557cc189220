"""The key of a secure development cluster and the certificate by which clients know it, made by Java's own tool."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from deploy.cassandra.configuration import KEY_STORE_PASSWORD
from deploy.cassandra.layout import Layout
from deploy.cassandra.problems import ClusterError

_DAYS_VALID = "3650"
_PATIENCE_SECONDS = 60.0


def ensure_certificate(layout: Layout, *, java: Path) -> None:
    """Make one key for all nodes, whose certificate names their addresses and is its own authority; once."""
    authority = layout.authority_file
    if authority is None or authority.exists():
        return
    authority.parent.mkdir(parents=True, exist_ok=True)
    layout.key_store.unlink(missing_ok=True)
    addresses = ",".join(f"ip:{address}" for address in {*layout.addresses, *layout.client_addresses})
    kind = ["-keyalg", "EC", "-groupname", "secp256r1", "-dname", "CN=queuey", "-validity"]
    extensions = (f"san={addresses}", "bc:critical=ca:true", "ku=digitalSignature,keyCertSign")
    words = [word for each in extensions for word in ("-ext", each)]
    _keytool(layout, java, "-genkeypair", *kind, _DAYS_VALID, *words)
    _keytool(layout, java, "-exportcert", "-rfc", "-file", str(authority))


def _keytool(layout: Layout, java: Path, *words: str) -> None:
    tool = java.resolve().with_name("keytool")
    program = str(tool) if tool.exists() else shutil.which("keytool")
    if program is None:
        raise ClusterError("keytool is missing; it comes with Java: apt-get install openjdk-17-jre-headless")
    place = ["-keystore", str(layout.key_store), "-storetype", "PKCS12", "-storepass", KEY_STORE_PASSWORD]
    done = subprocess.run(
        [program, *words, "-alias", "queuey", *place],
        check=False,
        capture_output=True,
        text=True,
        timeout=_PATIENCE_SECONDS,
    )
    if done.returncode != 0:
        raise ClusterError(f"keytool failed: {done.stdout.strip()} {done.stderr.strip()}")
