"""Running tasks on this machine: on the loop, in the calling thread, or in pools on request."""

from __future__ import annotations

import asyncio
import contextvars
import multiprocessing
import threading
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures import Executor as Pool
from functools import partial
from typing import Any

import cloudpickle

from cascade_nb import files
from cascade_nb.errors import ConfigurationError
from cascade_nb.loop import carrying, driven_by_hand, here, on_loop
from cascade_nb.records import Reads
from cascade_nb.tasks import Task


class LocalExecutor:
    """Runs async bodies on the caller's loop and plain ones in the calling thread.

    With `threads` or `processes`, plain bodies of awaited Calls run in a pool of that many instead
    (a plain call always stays in its thread). Bodies for processes travel by cloudpickle.
    """

    def __init__(self, *, threads: int | None = None, processes: int | None = None) -> None:
        for name, count in (("threads", threads), ("processes", processes)):
            if count is not None and (type(count) is not int or count < 1):
                raise ConfigurationError(f"{name} must be a whole number from 1, not {count!r}")
        if threads and processes:
            raise ConfigurationError("give threads= or processes=, not both")
        self._threads = threads
        self._processes = processes
        self._pool: Pool | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        pools = (("threads", self._threads), ("processes", self._processes))
        given = ", ".join(f"{name}={count}" for name, count in pools if count)
        return f"{type(self).__name__}({given})"

    async def execute(self, task: Task) -> Any:
        """The value of the task's body; what it raises comes out unchanged."""
        if task.asynchronous:
            return await on_loop(await here(task.call))
        if driven_by_hand() or not (self._threads or self._processes):
            return await here(task.call)
        loop = asyncio.get_running_loop()
        if self._threads:
            body = partial(carrying, task.call)
            return await loop.run_in_executor(self._opened(), contextvars.copy_context().run, body)
        pool = self._opened()
        try:
            answer = await loop.run_in_executor(pool, _run_payload, cloudpickle.dumps(task.call))
        except BrokenExecutor:
            # A worker that dies takes its pool along, but not the tasks to come.
            self._forget(pool)
            raise
        value, reads = cloudpickle.loads(answer)
        files.inherit(reads)
        return value

    def close(self) -> None:
        """Stop the pool's workers; a later task starts new ones."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()

    def _forget(self, pool: Pool) -> None:
        with self._lock:
            if self._pool is pool:
                self._pool = None

    def _opened(self) -> Pool:
        with self._lock:
            if self._pool is None:
                if self._threads:
                    self._pool = ThreadPoolExecutor(self._threads, "cascade-nb")
                else:
                    # A fork of a process with threads (a kernel has many) may hang.
                    context = multiprocessing.get_context("spawn")
                    self._pool = ProcessPoolExecutor(self._processes, mp_context=context)
            return self._pool


def _run_payload(payload: bytes) -> bytes:
    """In the worker process: run a body; its value and the files it read."""
    with files.Recorder() as recorder:
        value = carrying(cloudpickle.loads(payload))
    reads: Reads = recorder.reads
    answer: bytes = cloudpickle.dumps((value, reads))
    return answer
