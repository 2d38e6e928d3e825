"""Several processes on one folder: killed, forked, and all at once."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cascade_nb.backends import disk as disk_module
from cascade_nb.backends.disk import DiskCacheBackend
from cascade_nb.backends.memory import InMemoryCacheBackend
from cascade_nb.errors import BackendError
from cascade_nb.loop import run_sync
from tests.backends.contents import LARGE, MIDDLE, content
from tests.backends.test_contract import keep
from tests.backends.worker import check_one, store_one

KEY = "a" * 64
ROOT = Path(__file__).parents[2]


def start(job: str, folder: Path, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.backends.worker", job, str(folder)]
    return subprocess.Popen(
        [*command, *map(str, arguments)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


async def assert_whole(folder: Path, acknowledged: list[str]) -> None:
    """All that was acknowledged is there, and there is nothing that nobody would miss."""
    backend = DiskCacheBackend(folder)
    for key in acknowledged:
        record = await backend.read_record(key)
        assert record is not None, f"{key} was acknowledged and is lost"
        assert await check_one(backend, key, record)
    needed = [record.decode() async for _, record in backend.records()]
    loose = leftovers(folder, backend)
    known = {path.name for path in (folder / "objects").rglob("*") if path.is_file()}
    in_files = set()
    for cid in known:
        assert await backend.has_content(cid), "a file that the table does not know"
        in_files.add(cid)
    assert loose == []
    assert in_files <= known
    assert len(needed) >= len(acknowledged)
    backend.close()


def leftovers(folder: Path, backend: DiskCacheBackend) -> list[str]:
    """Drafts and sessions of dead writers."""
    own = os.path.basename(backend._store.objects._session)
    names = [str(p.relative_to(folder / "partial")) for p in (folder / "partial").rglob("*")]
    return [name for name in names if not name.startswith(own)]


async def kill_in_mid_store(folder: Path, rounds: int) -> None:
    acknowledged: list[str] = []
    chance = random.Random(1)
    for number in range(rounds):
        writers = [start("fill", folder, f"{number}-{name}", 10_000, 0) for name in "ab"]
        # Well into its work, at a moment of its own.
        acknowledged += [writers[0].stdout.readline().strip() for _ in range(3)]
        time.sleep(chance.uniform(0, 0.05))
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
        for writer in writers:
            acknowledged += writer.stdout.read().split()
            writer.wait()
            writer.stdout.close()
    await assert_whole(folder, [key for key in acknowledged if key])


async def test_a_killed_writer_loses_nothing_and_leaves_nothing(folder):
    await kill_in_mid_store(folder, 2)


@pytest.mark.slow
async def test_many_killed_writers_lose_nothing_and_leave_nothing(folder):
    await kill_in_mid_store(folder, 40)


async def crowd(folder: Path, processes: int, count: int) -> None:
    limit = 400_000
    workers = [start("churn", folder, f"worker {n}", count, limit) for n in range(processes)]
    outputs = [worker.communicate(timeout=300)[0] for worker in workers]
    assert outputs == ["done\n"] * processes
    backend = DiskCacheBackend(folder, size=limit)
    assert await backend.size() <= limit
    total = 0
    async for key, record in backend.records():
        assert await check_one(backend, key, record), "a record without its content"
        total += len(record)
    on_disk = sum(p.stat().st_size for p in (folder / "objects").rglob("*") if p.is_file())
    assert on_disk + total <= await backend.size()
    assert leftovers(folder, backend) == []


async def test_processes_store_read_and_evict_at_once(folder):
    await crowd(folder, 3, 60)


@pytest.mark.slow
async def test_many_processes_store_read_and_evict_for_long(folder):
    await crowd(folder, 8, 1500)


async def test_processes_may_open_a_new_store_all_at_once(folder):
    workers = [start("fill", folder, f"worker-{n}", 3, 0) for n in range(4)]
    outputs = [worker.communicate(timeout=60)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 4
    keys = [key for output in outputs for key in output.split()]
    assert len(keys) == 12
    await assert_whole(folder, keys)


@pytest.mark.parametrize("child", ["no child", "fork"])
async def test_a_killed_holder_frees_its_lock_at_once(disk, folder, child):
    holder = start("hold", folder, KEY, child)
    forked = int(holder.stdout.readline().split()[1])
    try:
        assert await disk.try_lock(KEY) is None
        holder.kill()
        holder.wait()
        assert await disk.try_lock(KEY) is not None
    finally:
        holder.stdout.close()
        if forked:
            os.kill(forked, signal.SIGKILL)


def in_fork(work) -> int:
    """The exit code of a forked child that does `work`: 0, or 1 where it failed."""
    pid = os.fork()
    if pid:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.005)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise AssertionError("the child hung")
    try:
        work()
        os._exit(0)
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
        os._exit(1)


def test_a_forked_child_and_its_parent_go_on(disk, folder):
    run_sync(keep(disk, "before", MIDDLE))

    def work() -> None:
        assert run_sync(disk.read_record("before")) is not None
        run_sync(keep(disk, "child", LARGE))

    assert in_fork(work) == 0
    assert run_sync(disk.read_record("child")) is not None
    run_sync(keep(disk, "parent", LARGE))
    assert in_fork(lambda: run_sync(keep(disk, "second child", MIDDLE))) == 0
    assert {key for key, _ in listed(disk)} == {"before", "child", "parent", "second child"}


def listed(backend) -> list[tuple[str, bytes]]:
    async def collect():
        return [item async for item in backend.records()]

    return run_sync(collect())


def test_forks_while_threads_write_and_read(disk):
    """Where diskcache left alone hangs in every second child."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def busy(name: str) -> None:
        number = 0
        try:
            while not stop.is_set():
                number += 1
                run_sync(store_one(disk, f"{name}-{number % 20}", size=40_000))
                run_sync(disk.read_record(f"{name}-1"))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=busy, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    try:
        for number in range(10):
            assert (
                in_fork(lambda n=number: run_sync(store_one(disk, f"child-{n}", size=40_000))) == 0
            )
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    for number in range(10):
        record = run_sync(disk.read_record(f"child-{number}"))
        assert run_sync(check_one(disk, "child", record))


def test_a_fork_in_the_middle_of_a_write_is_left_without_a_store(disk, monkeypatch):
    run_sync(disk.write_record(KEY, b"1", None))
    monkeypatch.setattr(disk_module, "_FORK_PATIENCE_SECONDS", 0.05)
    inside, go_on = threading.Event(), threading.Event()

    def write_for_long() -> None:
        with disk._store.rows.transaction():
            inside.set()
            go_on.wait(30)

    def work() -> None:
        with pytest.raises(BackendError, match="when this process was forked"):
            run_sync(disk.read_record(KEY))

    writer = threading.Thread(target=write_for_long)
    writer.start()
    inside.wait(30)
    try:
        assert in_fork(work) == 0
    finally:
        go_on.set()
        writer.join()
    assert run_sync(disk.read_record(KEY)) == b"1"


def test_a_child_neither_frees_nor_holds_its_parents_lock(disk, folder):
    lock = run_sync(disk.try_lock(KEY))

    def work() -> None:
        lock.release()
        assert run_sync(disk.try_lock(KEY)) is None

    assert in_fork(work) == 0
    assert run_sync(DiskCacheBackend(folder).try_lock(KEY)) is None
    lock.release()
    assert run_sync(disk.try_lock(KEY)) is not None


def test_a_store_in_memory_is_copied_by_a_fork():
    backend = InMemoryCacheBackend()
    run_sync(keep(backend, KEY, LARGE))
    lock = run_sync(backend.try_lock("lock"))
    assert lock is not None

    def work() -> None:
        assert run_sync(backend.read_record(KEY)) is not None
        run_sync(backend.write_record("child", b"1", None))
        assert run_sync(backend.try_lock("lock")) is not None

    assert in_fork(work) == 0
    assert run_sync(backend.read_record("child")) is None


def test_what_a_child_changes_in_a_large_value_stays_in_the_child(disk):
    cid, data = content(8 << 20)
    run_sync(disk.write_content(cid, [data]))
    buffer = run_sync(disk.read_content(cid))

    def work() -> None:
        buffer[0] = (buffer[0] + 1) % 256

    assert in_fork(work) == 0
    assert buffer == data


def test_children_of_a_pool_share_the_store(disk, folder):
    run_sync(disk.write_record(KEY, b"from the parent", None))
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(read_in_pool, [str(folder)] * 4) == [b"from the parent"] * 4


def read_in_pool(folder: str) -> bytes | None:
    return run_sync(DiskCacheBackend(folder).read_record(KEY))


def test_nothing_of_the_store_is_open_in_a_child(disk, folder):
    run_sync(keep(disk, KEY, MIDDLE))
    lock = run_sync(disk.try_lock(KEY))

    def work() -> None:
        targets = []
        for name in os.listdir("/proc/self/fd"):
            try:
                targets.append(os.readlink(f"/proc/self/fd/{name}"))
            except OSError:
                continue
        assert not [target for target in targets if target.startswith(str(folder))]

    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("no /proc")
    assert in_fork(work) == 0
    lock.release()


def test_closing_a_store_that_is_gone_is_harmless(folder):
    backend = DiskCacheBackend(folder)
    run_sync(keep(backend, KEY, MIDDLE))
    run_sync(backend.read_record(KEY))
    (folder / "cache.db").unlink()
    backend.close()
