"""The Java command lines: of a server node, and of the server's own command line tool."""

from __future__ import annotations

from pathlib import Path

from deploy.cassandra.layout import Layout

_EXPORTS = (
    "java.base/java.lang.ref",
    "java.base/jdk.internal.misc",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.sql/java.sql",
    "jdk.attach/sun.tools.attach",
    "jdk.compiler/com.sun.tools.javac.file",
    "jdk.unsupported/sun.misc",
)
_OPENS = (
    "java.base/java.io",
    "java.base/java.lang",
    "java.base/java.lang.module",
    "java.base/java.lang.reflect",
    "java.base/java.util",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.util.jar",
    "java.base/sun.nio.ch",
    "jdk.compiler/com.sun.tools.javac",
    "jdk.management/com.sun.management.internal",
)
# How long a node waits for what it hears of a ring to be whole. The server's own 30 s is for real networks; over
# loopback a change reaches every node within three gossip rounds of a second. A ring of one has nobody to wait for.
_RING_WAIT_MS = 8_000
_NO_RING_WAIT = ("-Dcassandra.ring_delay_ms=2000", "-Dcassandra.skip_wait_for_gossip_to_settle=0")


def server_command(layout: Layout, *, java: Path, number: int, jmx_port: int) -> list[str]:
    """The command that runs node `number` in the foreground."""
    node_dir = layout.node_dir(number)
    conf_dir = node_dir / "conf"
    return [
        *(str(java), "-ea", f"-Xms{layout.heap_mb}m", f"-Xmx{layout.heap_mb}m", "-Xss256k"),
        *("-XX:+UseG1GC", "-XX:+ParallelRefProcEnabled", "-XX:MaxGCPauseMillis=300"),
        *("-XX:+ExitOnOutOfMemoryError", "-XX:+PerfDisableSharedMem", "-Djava.net.preferIPv4Stack=true"),
        f"-javaagent:{_single_jar(layout.lib_dir, 'jamm-*.jar')}",
        *_module_flags(),
        *("-Dio.netty.tryReflectionSetAccessible=true", "-Dio.netty.allocator.useCacheForAllThreads=true"),
        f"-Dcassandra.config=file:{conf_dir / 'cassandra.yaml'}",
        f"-Dcassandra.storagedir={node_dir}",
        f"-Dcassandra.logdir={node_dir}",
        f"-Dlogback.configurationFile={conf_dir / 'logback.xml'}",
        f"-Dcassandra.jmx.local.port={jmx_port}",
        "-Dcassandra-foreground=yes",
        *_waits(layout),
        *("-cp", f"{conf_dir}:{layout.lib_dir}/*", "org.apache.cassandra.service.CassandraDaemon"),
    ]


def nodetool_command(layout: Layout, *, java: Path, number: int, jmx_port: int, words: list[str]) -> list[str]:
    """The command that runs the server's administration tool against running node `number`."""
    logback = layout.node_dir(number) / "conf" / "logback-tools.xml"
    return [
        *(str(java), "-Xmx128m", *_module_flags(), f"-Dlogback.configurationFile={logback}"),
        *("-cp", f"{layout.lib_dir}/*", "org.apache.cassandra.tools.NodeTool"),
        *("-h", "127.0.0.1", "-p", str(jmx_port), *words),
    ]


def _waits(layout: Layout) -> tuple[str, ...]:
    if layout.fast_start:  # the less thorough compiler halves what a short-lived process spends on compiling
        return (*_NO_RING_WAIT, "-Dcassandra.superuser_setup_delay_ms=0", "-XX:TieredStopAtLevel=1")
    return _NO_RING_WAIT if layout.nodes == 1 else (f"-Dcassandra.ring_delay_ms={_RING_WAIT_MS}",)


def _module_flags() -> list[str]:
    flags = ["-Djdk.attach.allowAttachSelf=true"]
    flags += [word for package in _EXPORTS for word in ("--add-exports", f"{package}=ALL-UNNAMED")]
    flags += [word for package in _OPENS for word in ("--add-opens", f"{package}=ALL-UNNAMED")]
    return flags


def _single_jar(lib_dir: Path, pattern: str) -> Path:
    (jar,) = lib_dir.glob(pattern)
    return jar
