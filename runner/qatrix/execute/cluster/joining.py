"""How this process comes to a Ray cluster, and leaves it: a local one is started and stopped, another is joined."""

from __future__ import annotations

import logging
import multiprocessing
import os
import platform
import secrets
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from qatrix.errors import EnvironmentUnusable, UsageError
from qatrix.execute.cluster.greeting import greeting
from qatrix.execute.scratch import short_path

INSTALL: Final = 'pip install "qatrix[ray]"'
_CONNECT_SECONDS: Final = 5.0
_ANSWER_SECONDS: Final = 60.0
_REMOVAL_SECONDS: Final = 10.0
# Little passes through it: what is small travels with Ray's messages. Ray's least is 75 MiB.
_OBJECT_STORE_BYTES: Final = 80 * 2**20
# Read by Ray when it is imported and when its processes start.
_SWITCHES: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    # Without these Ray tries for 15 minutes to join what does not answer.
    "RAY_NUM_REDIS_GET_RETRIES": "1",
    "RAY_py_gcs_connect_timeout_s": "10",
}
# Ray has no other way to be told that this machine's address is the loopback interface's, as it is on macOS.
_LOOPBACK: Final = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
# What Ray sets in its driver's environment.
_RAYS_OWN: Final = ("RAY_", "PYTHONBREAKPOINT")


@contextmanager
def joined(address: str | None, *, cpus: int) -> Iterator[None]:
    """Within it, Ray is connected: to the cluster at `address` (HOST:PORT or "auto"), or to a new one on this machine.

    A new one takes that many cases at a time, listens on the loopback interface and is
    stopped at the end. A cluster that this process is connected to already is used as it is.
    Raises EnvironmentUnusable where Ray is not installed or the cluster cannot be joined,
    UsageError where the address is none.
    """
    with _kept_settings():
        with _environment(_SWITCHES):
            ray = import_ray()
        if ray.is_initialized():
            yield
        elif address:
            _probe(address)
            with _connection(ray, _SWITCHES, address=address):
                yield
        else:
            with on_loopback(), _local(ray, cpus=cpus):
                yield


def import_ray() -> Any:
    """The package; raises EnvironmentUnusable where it cannot be used."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        msg = "the engine 'ray' needs Linux or macOS: on this system cases run in the driver's process only"
        raise EnvironmentUnusable(msg)
    try:
        import ray
    except ImportError as error:
        msg = f"Ray cannot be imported: {error}\nthe engine 'ray' needs it; install it with: {INSTALL}"
        raise EnvironmentUnusable(msg) from error
    return ray


@contextmanager
def on_loopback() -> Iterator[None]:
    """Within it, the clusters that this process starts listen on the loopback interface alone."""
    with _environment({_LOOPBACK: "0"}):
        from ray._private import ray_constants

        # Read when Ray was imported, which may have been before.
        kept = ray_constants.ENABLE_RAY_CLUSTER
        ray_constants.ENABLE_RAY_CLUSTER = False
        try:
            yield
        finally:
            ray_constants.ENABLE_RAY_CLUSTER = kept


@contextmanager
def _local(ray: Any, *, cpus: int) -> Iterator[None]:
    own = {
        # Ray would otherwise keep a token in the user's home, and use it for every other cluster.
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        # As fast as workers without Ray, also where other programs run.
        "RAY_worker_niceness": "0",
    }
    # Ray's sockets are in its folder, and their paths have 103 characters at most.
    with (
        _folder() as folder,
        short_path(folder) as short,
        _connection(
            ray,
            _SWITCHES | own,
            address="local",
            num_cpus=cpus,
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            _temp_dir=short,
        ),
    ):
        yield


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder for the files of a cluster, gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix="qatrix-ray-"))
    try:
        yield folder
    finally:
        # Processes of Ray outlive its shutdown for a moment, and write into what is being removed.
        until = time.monotonic() + _REMOVAL_SECONDS
        while folder.exists() and time.monotonic() < until:
            shutil.rmtree(folder, ignore_errors=True)
            time.sleep(0.05)


@contextmanager
def _connection(ray: Any, switches: dict[str, str], **wanted: Any) -> Iterator[None]:
    # Prints the end of a lost node's log, whatever the other options say.
    printing = ray._private.worker.print_to_stdstream
    ray._private.worker.print_to_stdstream = lambda *_, **__: None
    # Else SIGTERM would end this process where it is, and what is finished would never be reported.
    ending = ray._private.utils.set_sigterm_handler
    ray._private.utils.set_sigterm_handler = lambda _: None
    try:
        try:
            with _environment(switches):
                _read_switches(ray)
                ray.init(logging_level=logging.CRITICAL, log_to_driver=False, **wanted)
                _take_back_sigterm()
            _demand_answer(ray)
        except Exception as error:
            raise _refusal(ray, wanted["address"], error) from error
        yield
    finally:
        ray.shutdown()
        _read_switches(ray)
        ray._private.worker.print_to_stdstream = printing
        ray._private.utils.set_sigterm_handler = ending


def _take_back_sigterm() -> None:
    """Put Python's own handling of SIGTERM back in the place of Ray's library's, which ends the process 3 s later."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))


def _read_switches(ray: Any) -> None:
    """Have Ray read its switches once more: it remembers those of a cluster that this process was connected to."""
    raylet = ray._raylet
    # Releases before token authentication have no more to remember.
    if hasattr(raylet, "AuthenticationTokenLoader"):
        raylet.Config.initialize("")
        raylet.AuthenticationTokenLoader.instance().reset_cache()


def _demand_answer(ray: Any) -> None:
    """Raise where a task does not come back, for instance because its node has another token than this process."""
    task = ray.remote(num_cpus=0, num_returns="streaming", max_retries=0)(greeting())
    ready, _ = ray.wait([task.remote()], timeout=_ANSWER_SECONDS)
    if not ready:
        msg = f"a task did not come back within {_ANSWER_SECONDS:g} seconds (are RAY_AUTH_MODE and its token the same?)"
        raise TimeoutError(msg)


def _probe(address: str) -> None:
    """Raise at once where nothing answers at the address."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdecimal():
        msg = f"'{address}' is no address of a Ray cluster; expected HOST:PORT as `ray start --head` prints it, or auto"
        raise UsageError(msg)
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        told = f"no Ray cluster answers at {address}: {error}\nsee that it runs and that the address is right"
        raise EnvironmentUnusable(told) from error


def _refusal(ray: Any, address: str, error: Exception) -> EnvironmentUnusable:
    told = str(error).strip().partition("\n")[0] or type(error).__name__
    if address == "local":
        return EnvironmentUnusable(f"no local Ray cluster could be started: {told}")
    return EnvironmentUnusable(
        f"the Ray cluster at {address} cannot be joined: {told}\n"
        f"see that it runs, that this machine is one of its nodes (`ray start --address=HOST:PORT`), "
        f"and that its nodes have Ray {ray.__version__} and Python {platform.python_version()} as this one has"
    )


@contextmanager
def _environment(switches: dict[str, str]) -> Iterator[None]:
    """Set environment variables for a while; one that is set already stays as it is."""
    added = {name: value for name, value in switches.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


@contextmanager
def _kept_settings() -> Iterator[None]:
    """Undo what Ray does to its driver: variables of its own."""
    before = {name: value for name, value in os.environ.items() if name.startswith(_RAYS_OWN)}
    try:
        yield
    finally:
        for name in [name for name in os.environ if name.startswith(_RAYS_OWN)]:
            del os.environ[name]
        os.environ.update(before)
