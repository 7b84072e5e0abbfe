"""The one thread that computes, and the order in which it does.

Calls run in the order of their arrival, one at a time: torch's threads are shared, and a fixed order is half of what
makes a run repeatable. Two exceptions:

* Sample requests at the head of the queue run together as one batch, and others join it while it runs, as long as they
  use the same weights, there is room, and nothing else stands in the queue before them.
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
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

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


class SampleRun(Protocol):
    """Jobs that decode together (`sampling.SampleRun`)."""

    @property
    def is_empty(self) -> bool: ...
    def can_join(self, job: SampleJob) -> bool: ...
    def join(self, job: SampleJob) -> int: ...
    def step(self) -> list[tuple[int, SampleResult | EngineError]]: ...


@dataclass
class _Call:
    run: Callable[[], Any]
    future: Future[Any]


@dataclass
class _Wave:
    tasks: list[SampleTask]


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
        start_run: Callable[[], AbstractContextManager[SampleRun]],
        *,
        wave_timeout_seconds: float = 60.0,
    ) -> None:
        self._sample = sample
        self._start_run = start_run
        self._wave_timeout_seconds = wave_timeout_seconds
        self._queue: deque[_Call | SampleTask | _Wave] = deque()
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
                    if isinstance(item, _Wave)
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
                self._queue.append(_Wave(wave.tasks))
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

    def _next(self) -> _Call | SampleTask | _Wave | None:
        with self._condition:
            while not self._queue and not self._stopped:
                self._condition.wait()
            return self._queue.popleft() if self._queue else None

    def _next_sample(self, job_fits: Callable[[SampleTask], bool]) -> SampleTask | None:
        """The sample at the head of the queue, taken out of it if it fits."""
        with self._condition:
            first = self._queue[0] if self._queue else None
        # Outside the lock: to see whether it fits may take reading its weights. Only this thread and `stop` remove.
        if not isinstance(first, SampleTask) or not job_fits(first):
            return None
        with self._condition:
            return first if self._queue and self._queue.popleft() is first else None

    def _loop(self) -> None:
        while (item := self._next()) is not None:
            if isinstance(item, _Call):
                _run(item)
            elif isinstance(item, _Wave):
                self._run_wave(item)
            else:
                self._run_samples(item)

    def _run_wave(self, wave: _Wave) -> None:
        # False: the caller went away while the task was waiting.
        tasks = [task for task in wave.tasks if task.future.set_running_or_notify_cancel()]
        try:
            # Without one of its members it would not be the batch that was asked for: one error fails them all.
            results = self._sample([task.prepare() for task in tasks]) if tasks else []
            if len(results) != len(tasks):
                raise RuntimeError(
                    f"{len(tasks)} samples were asked for and {len(results)} came back"
                )
        except Exception as error:
            log_failure(error)
            for task in tasks:
                task.future.set_exception(error)
        else:
            for task, result in zip(tasks, results, strict=True):
                task.future.set_result(result)

    def _run_samples(self, first: SampleTask) -> None:
        """Decode `first` and what joins it until nothing is left of them."""
        running: dict[int, SampleTask] = {}
        try:
            with self._start_run() as run:
                task: SampleTask | None = first
                while task is not None or not run.is_empty:
                    while task is not None:
                        _join(run, task, running)
                        task = self._next_sample(lambda waiting: _fits(run, waiting))
                    if not run.is_empty:
                        for number, outcome in run.step():
                            _finish(running.pop(number), outcome)
                    task = self._next_sample(lambda waiting: _fits(run, waiting))
        except Exception as error:
            log_failure(error)
            for task in running.values():
                task.future.set_exception(error)


def _fits(run: SampleRun, task: SampleTask) -> bool:
    try:
        return run.can_join(task.prepare())
    except Exception:
        # It is taken, to fail where its own future is at hand.
        return True


def _join(run: SampleRun, task: SampleTask, running: dict[int, SampleTask]) -> None:
    """Take a task into the run; what is wrong with it fails it alone."""
    if not task.future.set_running_or_notify_cancel():
        return
    try:
        number = run.join(task.prepare())
    except Exception as error:
        log_failure(error)
        task.future.set_exception(error)
    else:
        running[number] = task


def _finish(task: SampleTask, outcome: SampleResult | EngineError) -> None:
    if isinstance(outcome, EngineError):
        task.future.set_exception(outcome)
    else:
        task.future.set_result(outcome)


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
