"""The server's jars, assembled by Maven once for each state of the pom, and the Java that runs them."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from deploy.cassandra.problems import ClusterError

POM = Path(__file__).with_name("pom.xml")
JAVA_MAJOR = 17
_STAMP = ".pom-sha256"

Progress = Callable[[str], None]


def assemble(lib_dir: Path, *, progress: Progress) -> None:
    """Fill `lib_dir` with the server and its dependencies, unless it already holds what the pom asks for.

    The folder is replaced in one step, so a stopped download never leaves a half-filled one behind.
    """
    wanted = hashlib.sha256(POM.read_bytes()).hexdigest()
    stamp = lib_dir / _STAMP
    if stamp.exists() and stamp.read_text() == wanted:
        return
    progress("assembling the server from its Maven artifact (about 70 MB, only when the pom changed)")
    fresh = lib_dir.with_name(f"{lib_dir.name}.new-{os.getpid()}")
    _copy_dependencies(fresh)
    (fresh / _STAMP).write_text(wanted)
    shutil.rmtree(lib_dir, ignore_errors=True)
    fresh.rename(lib_dir)


def find_java() -> Path:
    """A Java 17, from JAVA_HOME, the path, or where Debian puts it."""
    for candidate in _java_candidates():
        if candidate.exists() and _major_version(candidate) == JAVA_MAJOR:
            return candidate
    raise ClusterError(
        f"Java {JAVA_MAJOR} is missing: apt-get install openjdk-{JAVA_MAJOR}-jre-headless (or set JAVA_HOME)"
    )


def _copy_dependencies(target: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise ClusterError("Maven is missing: apt-get install maven")
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    command = [
        *(maven, "--batch-mode", "--no-transfer-progress", "--file", str(POM)),
        *("dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={target}"),
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        shutil.rmtree(target, ignore_errors=True)
        errors = [line for line in done.stdout.splitlines() if line.startswith("[ERROR]")]
        raise ClusterError("Maven could not fetch the server:\n" + "\n".join(errors[:10] or [done.stderr]))


def _java_candidates() -> Iterator[Path]:
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home, "bin", "java")
    if found := shutil.which("java"):
        yield Path(found)
    for folder in sorted(Path("/usr/lib/jvm").glob(f"java-{JAVA_MAJOR}-*")):
        yield folder / "bin" / "java"


def _major_version(java: Path) -> int | None:
    done = subprocess.run([str(java), "-version"], check=False, capture_output=True, text=True)
    found = re.search(r'version "(\d+)', done.stderr)
    return int(found.group(1)) if found else None
