"""gunicorn's settings for the front ends; all that an operator changes comes from Queuey's own configuration.

No socket of ZeroMQ and no hub of gevent is made here: this file is read in the master, before any worker is forked.
"""

import os
import resource
import shutil
import sys

from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker

from api.worker import watch_master
from common.limits import ATTRIBUTES_MAX, AUTHORIZATION_CHARS_MAX, REQUEST_DEADLINE_MS, STREAMS_PER_PROCESS_MAX
from common.settings import BadSettingsError, config_file, load_settings, metrics_dir, run_dir

try:
    _settings = load_settings()
except BadSettingsError as error:
    sys.exit(str(error))

_run_dir = run_dir(config_file())

# Each connection is a file descriptor, and many systems begin with 1,024: take what may be taken.
_files_soft, _files_hard = resource.getrlimit(resource.RLIMIT_NOFILE)
_files = max(_files_soft, min(_files_hard, 65_536) if _files_hard != resource.RLIM_INFINITY else 65_536)
resource.setrlimit(resource.RLIMIT_NOFILE, (_files, _files_hard))

bind = [_settings.api.bind]
if _settings.api.metrics_bind:
    # The workers keep what they measured in files, and any of them shows the sum on this second address.
    bind.append(_settings.api.metrics_bind)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(metrics_dir(config_file()))
workers = _settings.api.workers
worker_class = "api.worker.DrainingWorker"
# All event streams that a process may serve, and two thousand others.
worker_connections = STREAMS_PER_PROCESS_MAX + 2000
backlog = 2048
preload_app = False

# A worker that gives no sign of life for this long is replaced.
timeout = 60
# Longer than any call may take that came while notice was given; shorter than stopwaitsecs in supervisord.conf.
graceful_timeout = REQUEST_DEADLINE_MS // 1000 + 2
# Idle connections end well within graceful_timeout.  A load balancer closes its idle connections sooner than this.
keepalive = 5

# A cursor or 100 message ids fit the request line; 32 attributes and a full Authorization header the rest.
limit_request_line = 8190
limit_request_fields = ATTRIBUTES_MAX + 40
limit_request_field_size = AUTHORIZATION_CHARS_MAX + 256
forwarded_allow_ips = "127.0.0.1,::1"

control_socket = str(_run_dir / "gunicorn.sock")
control_socket_mode = 0o600
# A UNIX socket in bind is open to the load balancer's group, too.
umask = 0o007

# The service writes its own line per request.
accesslog = None
errorlog = "-"
loglevel = "warning"


def on_starting(arbiter: Arbiter) -> None:
    """Let workers know when all end; begin all measurements at 0, while a reload of the workers goes on counting."""
    watch_master(arbiter)
    if _settings.api.metrics_bind:
        shutil.rmtree(metrics_dir(config_file()), ignore_errors=True)
        metrics_dir(config_file()).mkdir(mode=0o700, parents=True)


def post_worker_init(worker: Worker) -> None:
    """Let event streams end by themselves once the worker is told to; begin to measure its event loop."""
    worker.wsgi.extensions["front"].is_serving = lambda: worker.alive
    worker.wsgi.extensions["pulse"].start()


def child_exit(_: Arbiter, worker: Worker) -> None:
    """Take a worker's gauges out of the sums; what it counted stays in."""
    if _settings.api.metrics_bind:
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
