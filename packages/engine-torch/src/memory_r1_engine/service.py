"""What the engine's calls mean, without HTTP: sessions, models, samplers and their life times.

Methods that answer a request id queue work for the worker thread and return at once. They are called from one thread
(the event loop); only what the worker finishes touches the tables from another, under the lock.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from memory_r1_engine import protocol, types
from memory_r1_engine.checkpoints import CheckpointKind, CheckpointStore, checkpoint_path
from memory_r1_engine.futures import FutureStore, IdempotencyTable
from memory_r1_engine.types import EngineError
from memory_r1_engine.worker import SampleRun, SampleTask, Worker

#: Saved sampler weights kept in memory at a time; an older one is read again when it is next used.
MAX_LOADED_SAMPLERS = 4


class Engine(Protocol):
    """What the service needs of the tensor core (`core.TorchEngine`).

    Called from the worker thread only. The save calls make their folder whole or not at all.
    """

    @property
    def max_context_length(self) -> int: ...
    @property
    def eos_token_ids(self) -> tuple[int, ...]: ...
    @property
    def tokenizer(self) -> Any: ...
    @property
    def supports_packing(self) -> bool: ...
    @property
    def training_settings(self) -> dict[str, Any]: ...
    @property
    def prefix_block_tokens(self) -> int: ...
    @property
    def prefix_cache_bytes(self) -> int: ...

    def count_prefix_cache(self) -> dict[str, int]: ...
    def count_drafts(self) -> dict[str, int]: ...
    def create_model(
        self, model_id: str, role: types.ModelRole, lora: types.LoraConfig
    ) -> None: ...
    def unload_model(self, model_id: str) -> None: ...
    def forward(
        self,
        model_id: str,
        data: list[types.Datum],
        loss_fn: types.LossFunction,
        config: dict[str, float] | None = None,
    ) -> types.ForwardBackwardOutput: ...
    def forward_backward(
        self,
        model_id: str,
        data: list[types.Datum],
        loss_fn: types.LossFunction,
        config: dict[str, float] | None = None,
    ) -> types.ForwardBackwardOutput: ...
    def optim_step(self, model_id: str, parameters: types.AdamParams) -> dict[str, float]: ...
    def save_weights(self, model_id: str, directory: Path) -> None: ...
    def load_weights(self, model_id: str, directory: Path, optimizer: bool) -> None: ...
    def create_snapshot(self, model_id: str) -> str: ...
    def save_snapshot(self, model_id: str, directory: Path) -> None: ...
    def load_snapshot(self, directory: Path) -> str: ...
    def drop_snapshot(self, snapshot_id: str) -> None: ...
    def sample(self, jobs: list[types.SampleJob]) -> list[types.SampleResult]: ...
    def start_sampling(self) -> SampleRun: ...


@dataclass(frozen=True)
class ServedModel:
    """The base model: the name clients use, and where it lies."""

    name: str
    directory: Path

    def is_called(self, name: str) -> bool:
        return name in (self.name, str(self.directory)) or (
            Path(name).is_absolute() and Path(name).resolve() == self.directory.resolve()
        )


@dataclass
class _Model:
    session_id: str
    role: types.ModelRole
    lora: protocol.LoraConfig
    status: Literal["created", "active"] = "created"
    #: The highest numbers of training requests taken so far: of all of them, and of optim_step.
    last_seq_id: int = -1
    last_step_seq_id: int = -1
    #: The sampler that the next save_weights_for_sampler replaces.
    sampler: SamplingSession | None = None


@dataclass
class SamplingSession:
    """Where samples come from: the base model, a snapshot of a model in training, or saved sampler weights."""

    id: str
    #: Orders the sessions of a wave.
    ordinal: int
    session_id: str
    snapshot: str | None = None
    directory: Path | None = None
    #: Requests accepted and not finished; the snapshot lives until it is 0.
    pending: int = 0
    #: Why no new request is accepted, or None.
    ended: str | None = None


class EngineService:
    """One engine's state."""

    def __init__(
        self,
        engine: Engine,
        base: ServedModel,
        checkpoints_directory: Path,
        *,
        futures: FutureStore | None = None,
        wave_timeout_seconds: float = 60.0,
    ) -> None:
        self.engine = engine
        self.base = base
        self.futures = FutureStore() if futures is None else futures
        self.worker = Worker(
            self._sample, self._sampling, wave_timeout_seconds=wave_timeout_seconds
        )
        self._checkpoints = CheckpointStore(checkpoints_directory)
        self._idempotency = IdempotencyTable()
        self._lock = threading.RLock()
        self._sessions: set[str] = set()
        self._models: dict[str, _Model] = {}
        self._samplers: dict[str, SamplingSession] = {}
        self._sampler_count = 0
        # Ended samplers that are remembered only to say 410 instead of 404.
        self._ended_samplers: OrderedDict[str, str] = OrderedDict()
        # Snapshot ids of saved weights by folder, most recently used last. Worker thread only.
        self._loaded: OrderedDict[Path, str] = OrderedDict()

    # Sessions and models

    def create_session(self) -> str:
        session_id = f"session_{secrets.token_hex(6)}"
        self._sessions.add(session_id)
        return session_id

    def check_session(self, session_id: str) -> None:
        if session_id not in self._sessions:
            raise EngineError(
                404,
                f"no session {session_id}: call create_session first (sessions end with the engine)",
            )

    def create_model(self, request: protocol.CreateModelRequest) -> tuple[str, str]:
        """Returns the model's id, at once valid in requests that follow, and the request id."""
        self.check_session(request.session_id)
        self._check_base(request.base_model)
        # Unique across processes, which share the checkpoints folder.
        model_id = f"model_{secrets.token_hex(6)}"
        model = _Model(request.session_id, request.model_role, request.lora_config)
        self._models[model_id] = model

        def run() -> dict[str, Any]:
            try:
                self.engine.create_model(model_id, model.role, model.lora.to_value())
            except Exception:
                self._models.pop(model_id, None)
                raise
            model.status = "active"
            return {
                "model_id": model_id,
                "base_model": self.base.name,
                "lora_config": model.lora.model_dump(),
                "model_role": model.role,
            }

        return model_id, self._queue(run)

    def unload_model(self, model_id: str) -> str:
        model = self._model(model_id)

        def run() -> dict[str, Any]:
            self.engine.unload_model(model_id)
            return {"model_id": model_id, "status": "unloaded", "type": "unload_model"}

        request_id = self._queue(run)
        del self._models[model_id]
        if model.sampler is not None:
            self._end_sampler(model.sampler, f"its model {model_id} was unloaded")
        return request_id

    def get_info(self, model_id: str) -> dict[str, Any]:
        model = self._model(model_id)
        return {
            "model_id": model_id,
            "status": model.status,
            "model_data": {
                "base_model": self.base.name,
                "model_name": self.base.name,
                "lora_config": model.lora.model_dump(),
                "model_role": model.role,
            },
        }

    # Training

    def forward(self, request: protocol.ForwardRequest, body: bytes) -> str:
        return self._pass("forward", request.model_id, request.seq_id, request.forward_input, body)

    def forward_backward(self, request: protocol.ForwardBackwardRequest, body: bytes) -> str:
        return self._pass(
            "forward_backward",
            request.model_id,
            request.seq_id,
            request.forward_backward_input,
            body,
        )

    def _pass(
        self,
        kind: Literal["forward", "forward_backward"],
        model_id: str,
        seq_id: int | None,
        given: protocol.ForwardBackwardInput,
        body: bytes,
    ) -> str:
        model = self._model(model_id)

        def run() -> dict[str, Any]:
            call = self.engine.forward if kind == "forward" else self.engine.forward_backward
            data = [datum.to_value() for datum in given.data]
            return protocol.forward_backward_output(
                call(model_id, data, given.loss_fn, given.loss_fn_config)
            )

        def begin() -> str:
            _take_number(model, seq_id, is_step=False)
            return self._queue(run)

        return self._once(("train", model_id, seq_id), kind, body, begin)

    def optim_step(self, request: protocol.OptimStepRequest, body: bytes) -> str:
        model_id = request.model_id
        model = self._model(model_id)
        parameters = request.adam_params.to_value()

        def run() -> dict[str, Any]:
            return {"metrics": self.engine.optim_step(model_id, parameters)}

        def begin() -> str:
            _take_number(model, request.seq_id, is_step=True)
            return self._queue(run)

        return self._once(("train", model_id, request.seq_id), "optim_step", body, begin)

    # Checkpoints

    def save_weights(self, request: protocol.SaveWeightsRequest, body: bytes) -> str:
        self._model(request.model_id)

        def begin() -> str:
            folder = self._checkpoints.reserve(request.model_id, "weights", request.path)

            def run() -> dict[str, Any]:
                self._checkpoints.write(
                    folder, lambda target: self.engine.save_weights(request.model_id, target)
                )
                path = checkpoint_path(request.model_id, "weights", request.path)
                return {"path": path, "type": "save_weights"}

            return self._queue(run)

        return self._once(("save", request.model_id, request.seq_id), "save_weights", body, begin)

    def load_weights(self, request: protocol.LoadWeightsRequest) -> str:
        self._model(request.model_id)
        # Without its optimiser a model can also go on from weights that were kept for sampling.
        kind: CheckpointKind = "weights"
        if not request.optimizer and "/sampler_weights/" in request.path:
            kind = "sampler_weights"
        folder = self._checkpoints.locate(request.path, kind)

        def run() -> dict[str, Any]:
            # It may have been accepted while the folder was still to be written.
            self._checkpoints.locate(request.path, kind)
            self.engine.load_weights(request.model_id, folder, request.optimizer)
            return {"type": "load_weights"}

        return self._queue(run)

    def save_weights_for_sampler(
        self, request: protocol.SaveWeightsForSamplerRequest, body: bytes
    ) -> str:
        model = self._model(request.model_id)

        def begin() -> str:
            if request.path is None:
                return self._queue(lambda: self._new_sampler(request.model_id, model))
            return self._save_sampler(request.model_id, request.path)

        key = ("save", request.model_id, request.seq_id)
        return self._once(key, "save_weights_for_sampler", body, begin)

    def _save_sampler(self, model_id: str, name: str) -> str:
        folder = self._checkpoints.reserve(model_id, "sampler_weights", name)

        def run() -> dict[str, Any]:
            self._checkpoints.write(
                folder, lambda target: self.engine.save_snapshot(model_id, target)
            )
            return {
                "path": checkpoint_path(model_id, "sampler_weights", name),
                "sampling_session_id": None,
                "type": "save_weights_for_sampler",
            }

        return self._queue(run)

    def _new_sampler(self, model_id: str, model: _Model) -> dict[str, Any]:
        """A sampler of the weights as they are now, in place of the one before. Worker thread."""
        snapshot = self.engine.create_snapshot(model_id)
        with self._lock:
            sampler = self._add_sampler(model.session_id, snapshot=snapshot)
            previous, model.sampler = model.sampler, sampler
            if previous is not None:
                self._end_sampler(
                    previous, f"a newer sampler of {model_id} replaced it: sample {sampler.id}"
                )
            if model_id not in self._models:
                self._end_sampler(sampler, f"its model {model_id} was unloaded")
        return {
            "path": None,
            "sampling_session_id": sampler.id,
            "type": "save_weights_for_sampler",
        }

    # Sampling

    def create_sampling_session(self, request: protocol.CreateSamplingSessionRequest) -> str:
        self.check_session(request.session_id)
        if request.base_model is not None:
            self._check_base(request.base_model)
            return self._add_sampler(request.session_id).id
        assert request.model_path is not None
        return self._path_sampler(request.session_id, request.model_path).id

    def describe_sampler(self, sampler_id: str) -> dict[str, Any]:
        """What Tinker's SDK asks of a sampler, to find its tokenizer by the base model's name."""
        self._sampler(sampler_id)
        return {"sampler_id": sampler_id, "base_model": self.base.name, "model_path": None}

    def sampler_named(self, name: str) -> SamplingSession | None:
        """What a standard client's `model` means: None is not known. Raises EngineError for an ended sampler."""
        if self.base.is_called(name):
            return SamplingSession(id=self.base.name, ordinal=0, session_id="")
        if name.startswith("memory-r1://"):
            folder = self._checkpoints.locate(name, "sampler_weights")
            return SamplingSession(id=name, ordinal=0, session_id="", directory=folder)
        if name in self._samplers or name in self._ended_samplers:
            return self._sampler(name)
        return None

    def asample(self, request: protocol.SampleRequest, body: bytes) -> str:
        key = ("sample", request.sampling_session_id, request.seq_id)
        # Before the sampler is looked up: a repeated request keeps its future after the sampler has ended.
        digest = IdempotencyTable.digest("asample", body)
        known = self._idempotency.find(key, digest)
        if known is not None:
            return known
        sampler = self._sampler(request.sampling_session_id)
        parameters = request.sampling_params
        future = self.sample(
            sampler,
            types.SampleJob(
                tokens=request.prompt.tokens(),
                num_samples=request.num_samples,
                max_tokens=parameters.max_tokens,
                temperature=parameters.temperature,
                top_p=parameters.top_p,
                top_k=parameters.top_k,
                seed=fresh_seed() if parameters.seed is None else parameters.seed,
                stop=parameters.stop_tokens(),
                stop_strings=parameters.stop_strings(),
                constraint=None
                if parameters.constraint is None
                else parameters.constraint.to_value(),
                prompt_logprobs=request.prompt_logprobs is True,
            ),
            order=(request.seq_id, sampler.ordinal),
            wave=request.wave,
        )
        request_id = self.futures.track(future, protocol.sample_output)
        self._idempotency.remember(key, digest, request_id)
        return request_id

    def sample(
        self,
        sampler: SamplingSession,
        job: types.SampleJob,
        *,
        order: tuple[int, ...] = (),
        wave: protocol.Wave | None = None,
    ) -> Future[types.SampleResult]:
        """Queues one sample of a sampler; the job's `snapshot` is set when it runs."""
        self._check_job(job)
        task = SampleTask(
            prepare=lambda: self._with_weights(sampler, job),
            order=order,
            wave_key=None if wave is None else (sampler.session_id, wave.id),
            wave_size=0 if wave is None else wave.size,
        )
        with self._lock:
            sampler.pending += 1
        try:
            future = self.worker.submit_sample(task)
        except EngineError:
            self._finish(sampler)
            raise
        future.add_done_callback(lambda _: self._finish(sampler))
        return future

    def _check_job(self, job: types.SampleJob) -> None:
        # Refused here, before a wave is built around it.
        if not job.tokens:
            raise EngineError(400, "the prompt is empty: it needs one token at least")
        limit = self.engine.max_context_length
        if len(job.tokens) + job.max_tokens > limit:
            raise EngineError(
                400,
                f"the prompt has {len(job.tokens)} tokens and max_tokens is {job.max_tokens}: "
                f"together they exceed the model's context of {limit} tokens",
            )

    def _with_weights(self, sampler: SamplingSession, job: types.SampleJob) -> types.SampleJob:
        snapshot = sampler.snapshot
        if sampler.directory is not None:
            snapshot = self._load_sampler(sampler.directory)
        return replace(job, snapshot=snapshot)

    def _load_sampler(self, folder: Path) -> str:
        snapshot = self._loaded.pop(folder, None)
        if snapshot is None:
            snapshot = self.engine.load_snapshot(folder)
        self._loaded[folder] = snapshot
        return snapshot

    def _sample(self, jobs: list[types.SampleJob]) -> list[types.SampleResult]:
        try:
            return self.engine.sample(jobs)
        finally:
            self._drop_surplus_samplers()

    @contextmanager
    def _sampling(self) -> Iterator[SampleRun]:
        try:
            yield self.engine.start_sampling()
        finally:
            self._drop_surplus_samplers()

    def _drop_surplus_samplers(self) -> None:
        # Only after a batch: it may use more of them than are kept.
        while len(self._loaded) > MAX_LOADED_SAMPLERS:
            _, snapshot = self._loaded.popitem(last=False)
            self.engine.drop_snapshot(snapshot)

    # Samplers' lives

    def _add_sampler(
        self, session_id: str, *, snapshot: str | None = None, directory: Path | None = None
    ) -> SamplingSession:
        with self._lock:
            self._sampler_count += 1
            sampler = SamplingSession(
                id=f"sampling_{secrets.token_hex(6)}",
                ordinal=self._sampler_count,
                session_id=session_id,
                snapshot=snapshot,
                directory=directory,
            )
            self._samplers[sampler.id] = sampler
            return sampler

    def _path_sampler(self, session_id: str, path: str) -> SamplingSession:
        folder = self._checkpoints.locate(path, "sampler_weights")
        return self._add_sampler(session_id, directory=folder)

    def _sampler(self, sampler_id: str) -> SamplingSession:
        with self._lock:
            ended = self._ended_samplers.get(sampler_id)
            if ended is not None:
                raise EngineError(410, f"the sampler {sampler_id} is gone: {ended}")
            sampler = self._samplers.get(sampler_id)
        if sampler is None:
            raise EngineError(
                404,
                f"no sampler {sampler_id}: create one with create_sampling_session or "
                "save_weights_for_sampler (samplers end with the engine)",
            )
        return sampler

    def _end_sampler(self, sampler: SamplingSession, reason: str) -> None:
        """Takes no new requests for it and drops its weights after the last accepted one."""
        with self._lock:
            sampler.ended = reason
            self._samplers.pop(sampler.id, None)
            self._ended_samplers[sampler.id] = reason
            while len(self._ended_samplers) > 4096:
                self._ended_samplers.popitem(last=False)
            self._drop_if_unused(sampler)

    def _finish(self, sampler: SamplingSession) -> None:
        with self._lock:
            sampler.pending -= 1
            self._drop_if_unused(sampler)

    def _drop_if_unused(self, sampler: SamplingSession) -> None:
        if sampler.ended is None or sampler.pending > 0 or sampler.snapshot is None:
            return
        snapshot, sampler.snapshot = sampler.snapshot, None
        try:
            self.worker.submit(lambda: self.engine.drop_snapshot(snapshot))
        except EngineError:
            # The worker has stopped: the process ends, and its memory with it.
            return

    # Helpers

    def _queue(self, run: Callable[[], dict[str, Any]]) -> str:
        return self.futures.track(self.worker.submit(run), lambda result: result)

    def _once(
        self, key: tuple[Hashable, ...], kind: str, body: bytes, begin: Callable[[], str]
    ) -> str:
        """Begins the work, unless an equal request with the same number has begun it. No number: always."""
        if key[-1] is None:
            return begin()
        digest = IdempotencyTable.digest(kind, body)
        known = self._idempotency.find(key, digest)
        if known is not None:
            return known
        request_id = begin()
        self._idempotency.remember(key, digest, request_id)
        return request_id

    def _model(self, model_id: str) -> _Model:
        model = self._models.get(model_id)
        if model is None:
            raise EngineError(
                404,
                f"no model {model_id}: create it with create_model (models end with the engine; "
                "load_weights brings back what was saved)",
            )
        return model

    def _check_base(self, name: str) -> None:
        if not self.base.is_called(name):
            raise EngineError(
                400,
                f'this engine serves "{self.base.name}", not "{name}": start one with that model',
            )


def _take_number(model: _Model, seq_id: int | None, *, is_step: bool) -> None:
    """Refuses a request that a step of a higher number has overtaken, and a step that comes after its successors.

    Requests run as they arrive. Gradients add up in any order, so only optim_step divides what may be exchanged.
    """
    if seq_id is None:
        return
    overtaken_by = model.last_seq_id if is_step else model.last_step_seq_id
    if seq_id < overtaken_by:
        raise EngineError(
            409,
            f"seq_id {seq_id} came after {overtaken_by}, and an optim_step is between them: it was not run; send "
            "the requests of a model in the order of their numbers, and load the last checkpoint where this one "
            "belonged to a step that has run",
        )
    model.last_seq_id = max(model.last_seq_id, seq_id)
    if is_step:
        model.last_step_seq_id = seq_id


def fresh_seed() -> int:
    """For requests without a seed, which ask for a result that differs each time."""
    return secrets.randbits(52)
