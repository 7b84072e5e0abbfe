"""Outcomes by id, their life times, and the memory of numbered requests."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import nullcontext
from typing import Any

import pytest

from memory_r1_engine.futures import FutureStore, IdempotencyTable, Outcome
from memory_r1_engine.types import EngineError, SampleJob, SampleResult
from memory_r1_engine.worker import SampleTask, Worker


def done(value: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(value)
    return future


def failed(error: Exception) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_exception(error)
    return future


def fetch(store: FutureStore, request_id: str, seconds: float = 5.0) -> Outcome | None:
    return asyncio.run(store.wait(request_id, seconds))


def identity(value: Any) -> Any:
    return value


def test_outcomes() -> None:
    store = FutureStore()
    assert fetch(store, store.track(done({"ä": [1, 2.5]}), identity)) == Outcome(
        200, json.dumps({"ä": [1, 2.5]}).encode()
    )
    missing = fetch(store, store.track(failed(EngineError(404, "no ☃")), identity))
    assert missing == Outcome(404, json.dumps({"detail": "no ☃"}).encode())
    broken = fetch(store, store.track(failed(KeyError("x")), identity))
    assert broken == Outcome(500, b'{"detail": "KeyError: \'x\'"}')
    infinite = fetch(store, store.track(done(float("inf")), identity))
    assert infinite is not None
    assert infinite.status == 500
    assert b"not finite" in infinite.body
    cancelled: Future[Any] = Future()
    cancelled.cancel()
    assert fetch(store, store.track(cancelled, identity)) == Outcome(
        410, b'{"detail": "the request was dropped before it ran"}'
    )


def test_waiting_ends_with_the_result_or_the_time() -> None:
    store = FutureStore()
    source: Future[Any] = Future()
    request_id = store.track(source, identity)
    assert fetch(store, request_id, 0.01) is None
    threading.Timer(0.05, source.set_result, ("late",)).start()
    began = time.monotonic()
    # Two at once, as after a broken connection.
    assert fetch(store, request_id) == Outcome(200, b'"late"')
    assert time.monotonic() - began < 2
    assert fetch(store, request_id) == Outcome(200, b'"late"')


def test_ids_that_are_not_held() -> None:
    store = FutureStore(grace_seconds=10)
    for unknown in ("", "1", "x-1", "x-y"):
        with pytest.raises(EngineError) as caught:
            fetch(store, unknown)
        assert caught.value.status == 404
    request_id = store.track(done(1), identity)
    prefix = request_id.partition("-")[0]
    with pytest.raises(EngineError, match="never gave out"):
        fetch(store, f"{prefix}-2")
    with pytest.raises(EngineError, match="never gave out"):
        fetch(FutureStore(), request_id)


def test_what_was_fetched_goes_after_the_grace_period() -> None:
    store = FutureStore(grace_seconds=10, keep_seconds=100)
    fetched = store.track(done(1), identity)
    waiting = store.track(done(2), identity)
    running = store.track(Future(), identity)
    fetch(store, fetched)
    now = time.monotonic()
    store.sweep(now + 9)
    assert len(store) == 3
    store.sweep(now + 11)
    with pytest.raises(EngineError) as caught:
        fetch(store, fetched)
    assert caught.value.status == 410
    assert len(store) == 2
    store.sweep(now + 101)
    with pytest.raises(EngineError, match="is gone"):
        fetch(store, waiting)
    # What has not run yet is kept however long it takes.
    assert fetch(store, running, 0.01) is None


def test_memory_is_bounded() -> None:
    store = FutureStore(max_outcomes=3)
    ids = [store.track(done(number), identity) for number in range(5)]
    store.sweep()
    assert len(store) == 3
    assert fetch(store, ids[2]) == Outcome(200, b"2")
    table = IdempotencyTable(max_entries=2)
    for number in range(3):
        table.remember(("m", number), b"digest", str(number))
    assert table.find(("m", 0), b"digest") is None
    assert table.find(("m", 2), b"digest") == "2"


def test_idempotency() -> None:
    table = IdempotencyTable()
    first = table.digest("forward", b"{}")
    assert table.find(("m", 1), first) is None
    table.remember(("m", 1), first, "id")
    assert table.find(("m", 1), first) == "id"
    for other in (table.digest("forward", b"{ }"), table.digest("optim_step", b"{}")):
        with pytest.raises(EngineError, match="seq_id 1 was already used") as caught:
            table.find(("m", 1), other)
        assert caught.value.status == 409


def job() -> SampleJob:
    return SampleJob(tokens=(1,), num_samples=1, max_tokens=1)


def test_the_worker_stops() -> None:
    started = threading.Event()
    go_on = threading.Event()

    def hold() -> str:
        started.set()
        go_on.wait(5)
        return "finished"

    def sample(jobs: list[SampleJob]) -> list[SampleResult]:
        raise AssertionError("nothing is sampled after the stop")

    worker = Worker(sample, lambda: nullcontext(CountingRun([], lambda _: None)))
    worker.start()
    running = worker.submit(hold)
    started.wait(5)
    queued = worker.submit(lambda: 1)
    single = worker.submit_sample(SampleTask(job))
    member = worker.submit_sample(SampleTask(job, wave_key="w", wave_size=2))
    worker.stop()
    go_on.set()
    assert running.result(5) == "finished"
    for future in (queued, single, member):
        with pytest.raises(EngineError, match="shutting down"):
            future.result(5)
    with pytest.raises(EngineError, match="shutting down"):
        worker.submit(lambda: 1)
    worker.join(5)


class CountingRun:
    """A run whose jobs end after `max_tokens` steps; a prompt's first token names its job."""

    def __init__(self, log: list[str], on_step: Callable[[int], None]) -> None:
        self._log = log
        self._on_step = on_step
        self._left: dict[int, int] = {}
        self._names: list[int] = []
        self._steps = 0
        self._snapshot: str | None = None

    @property
    def is_empty(self) -> bool:
        return not self._left

    def can_join(self, job: SampleJob) -> bool:
        return not self._names or job.snapshot == self._snapshot

    def join(self, job: SampleJob) -> int:
        if job.tokens[0] == 400:
            raise EngineError(400, "bad job")
        self._snapshot = job.snapshot
        self._names.append(job.tokens[0])
        self._left[len(self._names) - 1] = job.max_tokens
        return len(self._names) - 1

    def step(self) -> list[tuple[int, SampleResult | EngineError]]:
        self._log.append(f"step {[self._names[number] for number in self._left]}")
        self._steps += 1
        self._on_step(self._steps)
        self._left = {number: left - 1 for number, left in self._left.items()}
        ended = [number for number, left in self._left.items() if left == 0]
        for number in ended:
            del self._left[number]
        broken = EngineError(400, "the constraint failed")
        return [
            (number, broken if self._names[number] == 13 else SampleResult([])) for number in ended
        ]


def test_samples_join_what_is_running() -> None:
    log: list[str] = []
    later: list[Future[Any]] = []

    def put(name: int, tokens: int, snapshot: str | None = None) -> Future[SampleResult]:
        job = SampleJob((name,), 1, tokens, snapshot=snapshot)
        return worker.submit_sample(SampleTask(lambda: job))

    def on_step(step: int) -> None:
        # The first run's second step: one that joins, one that is wrong, and one behind a call, which waits.
        if step == 2 and not later:
            later.extend([put(2, 3), put(400, 1), put(13, 1)])
            later.append(worker.submit(lambda: log.append("call")))
            later.extend([put(3, 1), put(4, 1, "other weights"), put(5, 1, "other weights")])

    worker = Worker(lambda _: [], lambda: nullcontext(CountingRun(log, on_step)))
    first = put(1, 3)
    worker.start()
    assert first.result(5) == SampleResult([])
    while len(later) < 7:
        time.sleep(0.001)
    wait(later, 5)
    worker.stop()
    assert log == [
        "step [1]",
        "step [1]",
        "step [1, 2, 13]",
        "step [2]",
        "step [2]",
        "call",
        "step [3]",
        "step [4, 5]",
    ]
    assert [str(future.exception() or "fine") for future in later] == [
        "fine",
        "bad job",
        "the constraint failed",
        *["fine"] * 4,
    ]


def test_a_run_that_breaks_fails_what_was_in_it() -> None:
    def on_step(step: int) -> None:
        if step == 2:
            raise MemoryError("no room")

    worker = Worker(lambda _: [], lambda: nullcontext(CountingRun([], on_step)))
    futures = [worker.submit_sample(SampleTask(lambda: SampleJob((1,), 1, 5))) for _ in range(2)]
    after = worker.submit(lambda: "goes on")
    worker.start()
    for future in futures:
        with pytest.raises(MemoryError, match="no room"):
            future.result(5)
    assert after.result(5) == "goes on"
    worker.stop()


def test_a_sample_that_nobody_waits_for_is_not_computed() -> None:
    log: list[str] = []
    worker = Worker(lambda _: [], lambda: nullcontext(CountingRun(log, lambda _: None)))
    gone = worker.submit_sample(SampleTask(job))
    kept = worker.submit_sample(SampleTask(job))
    assert gone.cancel()
    worker.start()
    kept.result(5)
    worker.stop()
    assert log == [f"step [{job().tokens[0]}]"] * job().max_tokens
