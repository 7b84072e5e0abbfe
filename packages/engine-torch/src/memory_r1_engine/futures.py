"""Results that clients come back for, and the memory of which requests were already taken."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import sys
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from typing import Any

from memory_r1_engine.types import EngineError


@dataclass(frozen=True)
class Outcome:
    """An HTTP answer: 200 and the result's JSON, or the status of the failure and `{"detail"}`."""

    status: int
    body: bytes


def error_body(detail: str) -> bytes:
    return json.dumps({"detail": detail}).encode()


def describe(error: BaseException) -> tuple[int, str]:
    """Status and detail of a failure. What is not an EngineError is a defect or a lack of resources: 500."""
    if isinstance(error, EngineError):
        return error.status, error.detail
    return 500, f"{type(error).__name__}: {error}"


def log_failure(error: BaseException) -> None:
    """The traceback of an unexpected error on standard error; expected ones say enough by themselves."""
    if not isinstance(error, EngineError):
        traceback.print_exception(error, file=sys.stderr)


def _outcome(future: Future[Any], encode: Callable[[Any], Any]) -> Outcome:
    try:
        return Outcome(200, json.dumps(encode(future.result()), allow_nan=False).encode())
    except CancelledError:
        return Outcome(410, error_body("the request was dropped before it ran"))
    except Exception as error:  # every failure must reach the client that waits
        if isinstance(error, ValueError) and "JSON compliant" in str(error):
            detail = (
                "the result holds a number that is not finite (nan or infinite): "
                "the weights have diverged; lower the learning rate or load an earlier checkpoint"
            )
            return Outcome(500, error_body(detail))
        status, detail = describe(error)
        return Outcome(status, error_body(detail))


@dataclass
class _Entry:
    done: Future[Outcome] = field(default_factory=Future)
    #: Monotonic seconds; None while it is not so.
    finished_at: float | None = None
    fetched_at: float | None = None


class FutureStore:
    """Outcomes by request id.

    An outcome stays until it was fetched and a grace period has passed, so that a client whose connection broke in
    the middle of the answer can ask again. One that nobody fetches goes after `keep_seconds`, or when more than
    `max_outcomes` are waiting, oldest first. Thread-safe.
    """

    def __init__(
        self,
        *,
        grace_seconds: float = 60.0,
        keep_seconds: float = 3600.0,
        max_outcomes: int = 16_384,
    ) -> None:
        self._grace_seconds = grace_seconds
        self._keep_seconds = keep_seconds
        self._max_outcomes = max_outcomes
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._lock = threading.Lock()
        self._count = 0
        # Ids of an earlier process must not name results of this one.
        self._prefix = secrets.token_hex(4)

    def track(self, source: Future[Any], encode: Callable[[Any], Any]) -> str:
        """Gives the work an id under which its encoded result will be found."""
        entry = _Entry()
        with self._lock:
            self._count += 1
            request_id = f"{self._prefix}-{self._count}"
            self._entries[request_id] = entry

        def finish(future: Future[Any]) -> None:
            entry.done.set_result(_outcome(future, encode))
            entry.finished_at = time.monotonic()

        source.add_done_callback(finish)
        return request_id

    def knew(self, request_id: str) -> bool:
        """Whether this process once gave out the id."""
        prefix, _, number = request_id.partition("-")
        return prefix == self._prefix and number.isdecimal() and 0 < int(number) <= self._count

    async def wait(self, request_id: str, timeout_seconds: float) -> Outcome | None:
        """The outcome, or None when it is not there in time. Raises EngineError for an id that is not held."""
        with self._lock:
            entry = self._entries.get(request_id)
        if entry is None:
            if self.knew(request_id):
                raise EngineError(410, f"the result of {request_id} was fetched before and is gone")
            raise EngineError(404, f"no request {request_id}: this engine never gave out that id")
        if not entry.done.done():
            await asyncio.wait({asyncio.wrap_future(entry.done)}, timeout=timeout_seconds)
        if not entry.done.done():
            return None
        if entry.fetched_at is None:
            entry.fetched_at = time.monotonic()
        return entry.done.result()

    def sweep(self, now: float | None = None) -> None:
        """Drops what is past its time. Called regularly."""
        at = time.monotonic() if now is None else now
        with self._lock:
            finished = [
                (request_id, entry)
                for request_id, entry in self._entries.items()
                if entry.finished_at is not None
            ]
            surplus = len(finished) - self._max_outcomes
            for request_id, entry in finished:
                fetched = (
                    entry.fetched_at is not None and at - entry.fetched_at > self._grace_seconds
                )
                stale = (
                    entry.finished_at is not None and at - entry.finished_at > self._keep_seconds
                )
                if fetched or stale or surplus > 0:
                    del self._entries[request_id]
                    surplus -= 1

    def __len__(self) -> int:
        return len(self._entries)


class IdempotencyTable:
    """Which future answers which numbered request.

    Kept longer than the outcomes: a training request that is repeated late must not run a second time. Bounded by
    count; the oldest entries go first.
    """

    def __init__(self, max_entries: int = 65_536) -> None:
        self._max_entries = max_entries
        self._entries: OrderedDict[Hashable, tuple[bytes, str]] = OrderedDict()

    @staticmethod
    def digest(kind: str, body: bytes) -> bytes:
        return hashlib.sha256(kind.encode() + b"\0" + body).digest()

    def find(self, key: Hashable, digest: bytes) -> str | None:
        """The id given to an equal request. Raises EngineError 409 when the number was used for another one."""
        known = self._entries.get(key)
        if known is None:
            return None
        if known[0] != digest:
            raise EngineError(
                409,
                f"seq_id {_number(key)} was already used for another request: number each request once, "
                "and repeat a request with the same body",
            )
        return known[1]

    def remember(self, key: Hashable, digest: bytes, request_id: str) -> None:
        self._entries[key] = (digest, request_id)
        while len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)


def _number(key: Hashable) -> Hashable:
    return key[-1] if isinstance(key, tuple) else key
