"""The Ray engine: what one machine's workers give, several nodes give too, even if one of them is lost."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
import types
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from qatrix.declare.spec import Case
from qatrix.errors import EnvironmentUnusable, QatrixError, UsageError
from qatrix.execute import cluster, workers
from qatrix.execute.cluster.batch import versions
from qatrix.execute.cluster.joining import on_loopback
from qatrix.execute.options import Execution
from qatrix.execute.scratch import temporary_files_in
from qatrix.outcomes import Record
from support import specs
from support.faults import run_faulty

pytestmark = [
    pytest.mark.processes,
    pytest.mark.xdist_group("ray"),
    # Ray leaves the pipes of its processes to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

LIMITS = Execution(workers=2, timeout=3.0, memory_limit=2**30)


@dataclass
class Nodes:
    """A simulated cluster of nodes with one processor each; the first has a GPU too."""

    simulated: Any

    @property
    def address(self) -> str:
        return str(self.simulated.address)

    def add(self) -> Any:
        return self.simulated.add_node(num_cpus=1)

    def kill(self, node: Any) -> None:
        self.simulated.remove_node(node, allow_graceful=False)


@pytest.fixture(scope="module", autouse=True)
def _importable() -> Iterator[None]:
    """What nodes unpickle is in the folders that pytest alone has on its path."""
    before = os.environ.get("PYTHONPATH")
    tests = Path(__file__).parents[1]
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(tests), str(tests.parent / "runner"), *([before] if before else [])]
    )
    yield
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


@pytest.fixture(scope="module")
def nodes(_importable: None) -> Iterator[Nodes]:
    # Not pytest's folder: the paths of Ray's sockets have 103 characters at most.
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        before = dict(os.environ)
        with on_loopback():
            from ray.cluster_utils import Cluster

            # Of Ray and of processes that are killed: their files.
            os.environ["TMPDIR"] = folder
            simulated: Any = Cluster(
                initialize_head=True,
                head_node_args={
                    "num_cpus": 1,
                    "num_gpus": 1,
                    "include_dashboard": False,
                    # A node's death is noticed within seconds, not half a minute.
                    "_system_config": {"health_check_period_ms": 1000, "health_check_failure_threshold": 3},
                },
            )
            simulated.add_node(num_cpus=1)
            os.environ.clear()
            os.environ.update(before)
            yield Nodes(simulated)
            simulated.shutdown()
        os.environ.clear()
        os.environ.update(before)


def case_of(kind: str, number: int, device: str = "cpu") -> Case:
    return specs.case(
        f"suite/{kind}/n={number},device={device}", pattern=specs.pattern(kind), device=specs.device(device)
    )


def executed(
    cases: list[Case],
    address: str | None,
    run: Callable[[Case], Record] = run_faulty,
    options: Execution = LIMITS,
    on_start: Callable[[Case], None] = lambda _: None,
) -> list[Record]:
    return list(cluster.execute(cases, options=options, on_start=on_start, address=address, run=run, preload=()))


def untimed(records: list[Record]) -> dict[str, Record]:
    return {record.case_id: replace(record, seconds=0.0) for record in records}


def run_noted(case: Case, *, folder: Path, hang_on: int | None = None) -> Record:
    """Note which process and which node run the case; then hang on that node, or kill the Ray task, or be good."""
    node = int(os.environ["RAY_RAYLET_PID"])
    (folder / f"{os.getpid()}.txt").write_text(f"{case.pattern.name} {node}", encoding="ascii")
    if case.pattern.name == "kill_task":
        os.kill(_parent_of(os.getppid()), signal.SIGKILL)
        time.sleep(600)
    if node == hang_on:
        time.sleep(600)
    return run_faulty(case)


def noted(folder: Path, about: str) -> list[int]:
    """The processes that noted it."""
    return [int(path.stem) for path in folder.iterdir() if about in path.read_text(encoding="ascii").split()]


def _parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[1])


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _until(done: Callable[[], object], seconds: float = 30.0) -> bool:
    deadline = time.monotonic() + seconds
    while not done() and time.monotonic() < deadline:
        time.sleep(0.05)
    return bool(done())


def run_telling_devices(case: Case) -> Record:
    return replace(run_faulty(case), summary=f"sees {os.environ.get('CUDA_VISIBLE_DEVICES')}")


def run_telling_address(case: Case) -> Record:
    """Name the addresses, as the kernel writes them, on which the processes of this node's cluster listen."""
    driver = _parent_of(int(os.environ["RAY_RAYLET_PID"]))
    cluster_sockets = {inode for pid in _processes_below(driver) for inode in _sockets(pid)}
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]
    ]
    listening = "0A"
    addresses = {row[1].partition(":")[0] for row in rows if row[3] == listening and row[9] in cluster_sockets}
    return replace(run_faulty(case), summary=" ".join(sorted(addresses)))


def _processes_below(ancestor: int) -> Iterator[int]:
    for path in Path("/proc").glob("[0-9]*"):
        pid = int(path.name)
        try:
            while pid not in {0, ancestor}:
                pid = _parent_of(pid)
        except OSError:  # it has ended since
            continue
        if pid == ancestor:
            yield int(path.name)


def _sockets(pid: int) -> Iterator[str]:
    """The numbers of a process's sockets."""
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):  # closed since
            kind, _, number = str(link.readlink()).partition(":")
            if kind == "socket":
                yield number.strip("[]")


@pytest.mark.slow
def test_a_cluster_gives_the_records_that_workers_give(nodes: Nodes) -> None:
    kinds = ["good"] * 12 + ["raise", "kill", "hang", "leave", "exit", "vanish", "raise_a_foreign_one"]
    cases = [case_of(kind, number) for number, kind in enumerate(kinds)]
    started: list[str] = []

    records = executed(cases, nodes.address, on_start=lambda case: started.append(case.case_id))
    expected = list(workers.execute(cases, options=LIMITS, on_start=lambda _: None, run=run_faulty, preload=()))

    assert len(records) == len(cases)
    assert untimed(records) == untimed(expected)
    assert Counter(started) == Counter(case.case_id for case in cases)
    assert Counter(record.verdict for record in records) == {"exact": 12, "crashed": 6, "timed_out": 1}


@pytest.mark.slow
def test_a_lost_nodes_cases_run_again_elsewhere(nodes: Nodes, tmp_path: Path) -> None:
    cases = [case_of("good", number) for number in range(24)]
    # Before there is a node that this process must not be connected to.
    with cluster.joined(nodes.address, cpus=1):
        doomed = nodes.add()
        name = doomed.all_processes["raylet"][0].process.pid

        def kill_when_busy() -> None:
            if _until(lambda: noted(tmp_path, str(name))):
                nodes.kill(doomed)

        killing = threading.Thread(target=kill_when_busy)
        killing.start()
        run = functools.partial(run_noted, folder=tmp_path, hang_on=name)
        records = executed(cases, nodes.address, run, replace(LIMITS, timeout=600))
        killing.join()

    assert Counter(record.case_id for record in records) == {case.case_id: 1 for case in cases}
    assert {record.verdict for record in records} == {"exact"}
    assert len(noted(tmp_path, str(name))) == 1
    assert _until(lambda: not any(map(_lives, noted(tmp_path, str(name)))))


@pytest.mark.slow
def test_a_case_that_takes_its_ray_task_down_is_given_up_and_leaves_no_process(nodes: Nodes, tmp_path: Path) -> None:
    cases = [case_of("good", 0), case_of("kill_task", 1), case_of("good", 2)]

    run = functools.partial(run_noted, folder=tmp_path)
    records = {record.case_id: record for record in executed(cases, nodes.address, run, replace(LIMITS, timeout=600))}

    lost = records.pop(cases[1].case_id)
    assert lost.verdict == "crashed"
    assert lost.summary.startswith("lost 3 times with the Ray task that ran it, the last time on ")
    assert lost.summary.endswith("the process of the Ray task died")
    assert [record.verdict for record in records.values()] == ["exact", "exact"]
    assert len(noted(tmp_path, "kill_task")) == 3
    assert _until(lambda: not any(map(_lives, noted(tmp_path, "kill_task"))))


def test_an_abandoned_run_stops_its_workers_and_leaves_the_cluster(nodes: Nodes, tmp_path: Path) -> None:
    records = cluster.execute(
        [case_of("good", 0), case_of("hang", 1)],
        options=replace(LIMITS, timeout=600),
        on_start=lambda _: None,
        address=nodes.address,
        run=functools.partial(run_noted, folder=tmp_path),
        preload=(),
    )
    assert next(records).verdict == "exact"
    assert _until(lambda: noted(tmp_path, "hang"))
    records.close()  # type: ignore[attr-defined]  # a generator

    import ray

    assert not any(map(_lives, noted(tmp_path, "hang")))
    assert not ray.is_initialized()
    assert [record.verdict for record in executed([case_of("good", 3)], nodes.address)] == ["exact"]


def test_a_case_of_a_gpu_goes_where_one_is_and_sees_that_one_alone(nodes: Nodes) -> None:
    cases = [case_of("good", 0, "cuda"), case_of("good", 1, "cpu")]

    records = executed(cases, nodes.address, run_telling_devices)

    assert {record.case_id: record.summary for record in records}[cases[0].case_id] == "sees 0"


def test_a_node_with_other_versions_is_refused(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    there = versions()["torch"]
    monkeypatch.setattr("qatrix.execute.cluster.versions", lambda: versions() | {"torch": "2.3.1"})

    with pytest.raises(
        EnvironmentUnusable, match=rf"^node .*127\.0\.0\.1.* has torch {there}, but .* has torch 2\.3\.1;"
    ):
        executed([case_of("good", 0)], nodes.address)


def test_a_node_that_cannot_import_the_engine_is_refused(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_batch(*_: object) -> Iterator[object]:
        yield from ()

    only_here = types.ModuleType("only_here")
    run_batch.__module__, run_batch.__qualname__ = only_here.__name__, run_batch.__name__
    vars(only_here)["run_batch"] = run_batch
    monkeypatch.setitem(sys.modules, "only_here", only_here)
    monkeypatch.setattr("qatrix.execute.cluster.run_batch", run_batch)

    with pytest.raises(
        EnvironmentUnusable, match="cannot run cases: ModuleNotFoundError: No module named 'only_here'\n"
    ):
        executed([case_of("good", 0)], nodes.address)


@pytest.mark.slow
def test_without_an_address_a_cluster_is_started_on_the_loopback_interface_and_stopped(tmp_path: Path) -> None:
    with temporary_files_in(tmp_path):
        records = executed([case_of("good", 0)], None, run_telling_address)

    import ray

    assert {address[-8:] for address in records[0].summary.split()} == {"0100007F"}
    assert not ray.is_initialized()
    assert not list(tmp_path.glob("qatrix-ray-*"))


def test_a_clusters_folder_is_gone_although_something_is_written_while_it_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    removing = shutil.rmtree
    written: list[Path] = []

    def remove_and_write(folder: Path, *, ignore_errors: bool) -> None:
        removing(folder, ignore_errors=ignore_errors)
        if not written:
            folder.mkdir()
            written.append(folder / "log")
            written[0].touch()

    monkeypatch.setattr("shutil.rmtree", remove_and_write)
    with temporary_files_in(tmp_path), cluster.joined(None, cpus=1):
        pass

    assert written
    assert not list(tmp_path.glob("qatrix-ray-*"))


def test_sigterm_stays_the_drivers_while_it_is_connected() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with cluster.joined(None, cpus=1):
            assert signal.getsignal(signal.SIGTERM) is handler
            signal.raise_signal(signal.SIGTERM)
            # Ray's library, if it had been asked first, ends this process after 3 s.
            time.sleep(4)
    finally:
        signal.signal(signal.SIGTERM, before)

    assert heard == [signal.SIGTERM]


def test_a_local_cluster_keeps_its_files_in_the_folder_of_temporary_ones(tmp_path: Path) -> None:
    folder = tmp_path / "/".join(["a-very-long-name-of-a-folder"] * 8)
    folder.mkdir(parents=True)
    with temporary_files_in(folder):
        with cluster.joined(None, cpus=1):
            assert list(folder.glob("qatrix-ray-*/session_*/sockets"))
            records = executed([case_of("good", 0)], None)
        assert not list(folder.glob("qatrix-ray-*"))

    assert [record.verdict for record in records] == ["exact"]


def test_without_ray_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)

    with pytest.raises(EnvironmentUnusable, match=r'pip install "qatrix\[ray\]"$'):
        executed([case_of("good", 0)], None)


@pytest.mark.parametrize(
    ("address", "error", "message"),
    [
        pytest.param("there", UsageError, "'there' is no address of a Ray cluster; expected HOST:PORT", id="no port"),
        pytest.param("ray://there:1", UsageError, "'ray://there:1' is no address of a Ray cluster", id="Ray client"),
        pytest.param(
            "127.0.0.1:{free}", EnvironmentUnusable, "no Ray cluster answers at 127.0.0.1:{free}", id="nobody"
        ),
    ],
)
def test_an_address_without_a_cluster_is_an_error(address: str, error: type[QatrixError], message: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        free = unused.getsockname()[1]

    with pytest.raises(error, match=message.format(free=free)):
        executed([case_of("good", 0)], address.format(free=free))
