"""The one thread that computes, and the order in which it does.

Calls run in the order of their arrival, one at a time: torch's threads are shared, and a fixed order is half of what
makes a run repeatable. Two exceptions:

* Sample requests that stand together at the head of the queue run as one batch.
* A wave (`wave_id`, `wave_size`) stands in the queue from the moment its last member arrives, and runs as one batch
  of exactly its members, ordered by `order`. Until then its members wait beside the queue, so an unfinished wave holds
  nobody up: a training request that arrives in the meantime runs first. That is safe because a sampler's weights
  never change. A wave whose last member does not come in time fails all its members.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from memory_r1_engine.futures import log_failure
from memory_r1_engine.types import EngineError, SampleJob, SampleResult

Result = TypeVar("Result")


@dataclass
class SampleTask:
    """One sample request.

    `prepare` makes the job on the worker thread, when it is known which weights it means; `order` is its place inside
    a wave; `wave_key` is equal for the members of one wave.
    """

    prepare: Callable[[], SampleJob]
    order: tuple[int, ...] = ()
    wave_key: Hashable = None
    wave_size: int = 0
    future: Future[SampleResult] = field(default_factory=Future)


@dataclass
class _Call:
    run: Callable[[], Any]
    future: Future[Any]


@dataclass
class _Batch:
    tasks: list[SampleTask]
    is_wave: bool


@dataclass
class _OpenWave:
    size: int
    deadline: float
    tasks: list[SampleTask] = field(default_factory=list)


class Worker:
    """Runs calls and samples one after another on a thread of its own."""

    def __init__(
        self,
        sample: Callable[[list[SampleJob]], Sequence[SampleResult]],
        *,
        wave_timeout_seconds: float = 60.0,
    ) -> None:
        self._sample = sample
        self._wave_timeout_seconds = wave_timeout_seconds
        self._queue: deque[_Call | SampleTask | _Batch] = deque()
        self._waves: dict[Hashable, _OpenWave] = {}
        self._condition = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._loop, name="engine-worker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Takes no more work and fails what has not begun; what runs, runs to its end."""
        with self._condition:
            self._stopped = True
            waiting: list[Future[Any]] = []
            for item in self._queue:
                waiting += (
                    [task.future for task in item.tasks]
                    if isinstance(item, _Batch)
                    else [item.future]
                )
            for wave in self._waves.values():
                waiting += [task.future for task in wave.tasks]
            self._queue.clear()
            self._waves.clear()
            self._condition.notify_all()
        for future in waiting:
            _fail(future, EngineError(503, "the engine is shutting down"))

    def join(self, timeout_seconds: float | None = None) -> None:
        self._thread.join(timeout_seconds)

    def submit(self, run: Callable[[], Result]) -> Future[Result]:
        """Queues a call."""
        future: Future[Result] = Future()
        self._put(_Call(run, future))
        return future

    def submit_sample(self, task: SampleTask) -> Future[SampleResult]:
        """Queues a sample. Raises EngineError 400 when its wave was announced with another size."""
        if task.wave_key is None:
            self._put(task)
            return task.future
        with self._condition:
            self._check_running()
            wave = self._waves.get(task.wave_key)
            deadline = time.monotonic() + self._wave_timeout_seconds
            if wave is None:
                wave = self._waves[task.wave_key] = _OpenWave(task.wave_size, deadline)
            elif wave.size != task.wave_size:
                raise EngineError(
                    400,
                    f"wave.size is {task.wave_size} but the wave's first request said {wave.size}: "
                    "every request of a wave must give the same size",
                )
            # A wave that is still growing is alive: time counts from its latest member.
            wave.deadline = deadline
            wave.tasks.append(task)
            if len(wave.tasks) == wave.size:
                del self._waves[task.wave_key]
                wave.tasks.sort(key=lambda member: member.order)
                self._queue.append(_Batch(wave.tasks, is_wave=True))
                self._condition.notify()
        return task.future

    def expire_waves(self, now: float | None = None) -> None:
        """Fails the members of waves that are past their time. Called regularly."""
        at = time.monotonic() if now is None else now
        with self._condition:
            expired = [key for key, wave in self._waves.items() if wave.deadline < at]
            waves = [self._waves.pop(key) for key in expired]
        for wave in waves:
            # Not 408, which tells a client to poll again.
            error = EngineError(
                424,
                f"the wave was not whole in time: {len(wave.tasks)} of its {wave.size} requests arrived "
                f"and no other came for {self._wave_timeout_seconds:g} s; send the wave again under a new id",
            )
            for task in wave.tasks:
                _fail(task.future, error)

    def _check_running(self) -> None:
        if self._stopped:
            raise EngineError(503, "the engine is shutting down")

    def _put(self, item: _Call | SampleTask) -> None:
        with self._condition:
            self._check_running()
            self._queue.append(item)
            self._condition.notify()

    def _next(self) -> _Call | _Batch | None:
        with self._condition:
            while not self._queue and not self._stopped:
                self._condition.wait()
            if not self._queue:
                return None
            first = self._queue.popleft()
            if not isinstance(first, SampleTask):
                return first
            tasks = [first]
            while self._queue and isinstance(self._queue[0], SampleTask):
                task = self._queue.popleft()
                assert isinstance(task, SampleTask)
                tasks.append(task)
            return _Batch(tasks, is_wave=False)

    def _loop(self) -> None:
        while (item := self._next()) is not None:
            if isinstance(item, _Call):
                _run(item)
            else:
                self._run_batch(item)

    def _run_batch(self, batch: _Batch) -> None:
        # False: the caller went away while the task was waiting.
        tasks = [task for task in batch.tasks if task.future.set_running_or_notify_cancel()]
        ready: list[tuple[SampleTask, SampleJob]] = []
        for task in tasks:
            try:
                ready.append((task, task.prepare()))
            except Exception as error:
                log_failure(error)
                if batch.is_wave:
                    # Without this member it would not be the batch that was asked for.
                    for member in tasks:
                        member.future.set_exception(error)
                    return
                task.future.set_exception(error)
        if ready:
            self._sample_all(ready, batch.is_wave)

    def _sample_all(self, ready: list[tuple[SampleTask, SampleJob]], is_wave: bool) -> None:
        try:
            results = self._sample([job for _, job in ready])
            if len(results) != len(ready):
                raise RuntimeError(
                    f"{len(ready)} samples were asked for and {len(results)} came back"
                )
        except EngineError as error:
            if is_wave or len(ready) == 1:
                for task, _ in ready:
                    task.future.set_exception(error)
                return
            # They met by chance in one batch: the one at fault must not fail the others.
            for pair in ready:
                self._sample_all([pair], is_wave=False)
        except Exception as error:
            log_failure(error)
            for task, _ in ready:
                task.future.set_exception(error)
        else:
            for (task, _), result in zip(ready, results, strict=True):
                task.future.set_result(result)


def _run(call: _Call) -> None:
    if not call.future.set_running_or_notify_cancel():
        return
    try:
        result = call.run()
    except Exception as error:
        log_failure(error)
        call.future.set_exception(error)
    else:
        call.future.set_result(result)


def _fail(future: Future[Any], error: Exception) -> None:
    if future.set_running_or_notify_cancel():
        future.set_exception(error)
