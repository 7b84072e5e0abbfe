"""A scripted engine and a small client, for tests of the server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from fastapi.testclient import TestClient

from memory_r1_engine import types
from memory_r1_engine.ranking import TextReranker
from memory_r1_engine.server import ServerSettings, TextEmbedder, create_app
from memory_r1_engine.service import Engine
from memory_r1_engine.types import EngineError

TOKEN = "secret-token"
MODEL_NAME = "tiny"


@dataclass
class ScriptedEngine:
    """Answers without computing and writes down what it was asked, in order.

    A sample's tokens are its prompt's first token, repeated; a prompt that begins with 400 or 500 fails that way.
    """

    tokenizer: Any = None
    max_context_length: int = 64
    eos_token_ids: tuple[int, ...] = (2,)
    supports_packing: bool = True
    training_settings: dict[str, Any] = field(default_factory=lambda: {"micro_batch_tokens": 9})
    prefix_block_tokens: int = 128
    prefix_cache_bytes: int = 1 << 20
    log: list[str] = field(default_factory=list)
    batches: list[list[types.SampleJob]] = field(default_factory=list)
    steps: int = 0
    #: Closed, calls that compute wait.
    gate: threading.Event = field(default_factory=threading.Event)
    snapshots: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.gate.set()

    def _note(self, line: str) -> None:
        assert self.gate.wait(10), "the test never opened the gate"
        self.log.append(line)

    def create_model(self, model_id: str, role: types.ModelRole, lora: types.LoraConfig) -> None:
        if lora.rank > 64:
            raise EngineError(400, "rank is too large")
        self._note(f"create {role} {lora.rank}")

    def unload_model(self, model_id: str) -> None:
        self._note("unload")

    def forward(
        self,
        model_id: str,
        data: list[types.Datum],
        loss_fn: types.LossFunction,
        config: dict[str, float] | None = None,
    ) -> types.ForwardBackwardOutput:
        self._note(f"forward {loss_fn}")
        value = float("nan") if data[0].target_tokens[0] == 13 else -1.5
        outputs = [types.DatumOutput(logprobs=[value] * len(datum.target_tokens)) for datum in data]
        return types.ForwardBackwardOutput(outputs, {"loss:sum": 1.0})

    def forward_backward(
        self,
        model_id: str,
        data: list[types.Datum],
        loss_fn: types.LossFunction,
        config: dict[str, float] | None = None,
    ) -> types.ForwardBackwardOutput:
        if data[0].target_tokens[0] == 7:
            raise RuntimeError("out of memory")
        self._note(f"forward_backward {loss_fn}")
        return types.ForwardBackwardOutput(
            [types.DatumOutput(values=[0.5]) for _ in data], {"loss:sum": 2.0}
        )

    def optim_step(self, model_id: str, parameters: types.AdamParams) -> dict[str, float]:
        self._note("optim_step")
        self.steps += 1
        return {"grad_norm:last": float(self.steps)}

    def save_weights(self, model_id: str, directory: Path) -> None:
        self._note("save_weights")
        directory.mkdir(parents=True)

    def load_weights(self, model_id: str, directory: Path, optimizer: bool) -> None:
        self._note(f"load_weights {directory.name} {optimizer}")

    def create_snapshot(self, model_id: str) -> str:
        name = f"snapshot-{len(self.snapshots) + 1}"
        self.snapshots[name] = "live"
        self._note(f"create {name}")
        return name

    def save_snapshot(self, model_id: str, directory: Path) -> None:
        self._note("save_snapshot")
        directory.mkdir(parents=True)

    def load_snapshot(self, directory: Path) -> str:
        name = f"loaded-{directory.name}"
        self.snapshots[name] = "live"
        self._note(f"load {name}")
        return name

    def drop_snapshot(self, snapshot_id: str) -> None:
        assert self.snapshots[snapshot_id] == "live"
        self.snapshots[snapshot_id] = "dropped"
        self._note(f"drop {snapshot_id}")

    def count_prefix_cache(self) -> dict[str, int]:
        return {"tokens_found": 3}

    def count_drafts(self) -> dict[str, int]:
        return {"guessed": 5, "right": 4}

    def start_sampling(self) -> ScriptedRun:
        return ScriptedRun(self)

    def sample(self, jobs: list[types.SampleJob]) -> list[types.SampleResult]:
        self._note(f"sample {[job.tokens[0] for job in jobs]}")
        self.batches.append(jobs)
        for job in jobs:
            self.check(job)
        return [
            types.SampleResult(
                [
                    types.SampledSequence([job.tokens[0]] * 2, [-0.5, -0.25], "length")
                    for _ in range(job.num_samples)
                ]
            )
            for job in jobs
        ]

    def check(self, job: types.SampleJob) -> None:
        if job.snapshot is not None:
            assert self.snapshots[job.snapshot] == "live"
        if job.tokens[0] == 400:
            raise EngineError(400, "bad job")
        if job.tokens[0] == 500:
            raise ValueError("broken")


class ScriptedRun:
    """A run whose jobs all end with the next step."""

    def __init__(self, engine: ScriptedEngine) -> None:
        self._engine = engine
        self._jobs: list[types.SampleJob] = []
        self._count = 0

    @property
    def is_empty(self) -> bool:
        return not self._jobs

    def can_join(self, job: types.SampleJob) -> bool:
        return not self._jobs or self._jobs[0].snapshot == job.snapshot

    def join(self, job: types.SampleJob) -> int:
        self._engine.check(job)
        self._jobs.append(job)
        self._count += 1
        return self._count - 1

    def step(self) -> list[tuple[int, types.SampleResult | EngineError]]:
        jobs, self._jobs = self._jobs, []
        results = self._engine.sample(jobs)
        return list(enumerate(results, start=self._count - len(jobs)))


class Caller:
    """Talks to a server as the TypeScript client does."""

    def __init__(self, http: httpx2.Client) -> None:
        self.http = http
        self.session_id = ""

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        response = self.http.post(f"/api/v1{path}", json=body)
        return response.status_code, response.json()

    def ok(self, path: str, body: Any) -> Any:
        status, answer = self.post(path, body)
        assert status == 200, answer
        return answer

    def detail(self, path: str, body: Any, status: int) -> str:
        found, answer = self.post(path, body)
        assert found == status, answer
        assert list(answer) == ["detail"]
        return str(answer["detail"])

    def retrieve(self, request_id: str) -> tuple[int, Any]:
        while True:
            status, answer = self.post("/retrieve_future", {"request_id": request_id})
            if status != 408:
                return status, answer

    def result(self, path: str, body: Any) -> Any:
        """The result of a call that answers a request id."""
        status, answer = self.retrieve(self.ok(path, body)["request_id"])
        assert status == 200, answer
        return answer

    def failure(self, path: str, body: Any) -> tuple[int, str]:
        """Status and detail of a call whose work fails."""
        status, answer = self.retrieve(self.ok(path, body)["request_id"])
        assert status >= 400, answer
        assert list(answer) == ["detail"]
        return status, str(answer["detail"])

    def create_model(self, role: str = "policy", seed: int = 0) -> str:
        answer = self.ok(
            "/create_model",
            {
                "session_id": self.session_id,
                "base_model": MODEL_NAME,
                "lora_config": {"rank": 4, "seed": seed},
                "model_role": role,
            },
        )
        status, result = self.retrieve(answer["request_id"])
        assert status == 200, result
        return str(answer["model_id"])

    def base_sampler(self) -> str:
        answer = self.ok(
            "/create_sampling_session",
            {
                "session_id": self.session_id,
                "sampling_session_seq_id": 0,
                "base_model": MODEL_NAME,
            },
        )
        return str(answer["sampling_session_id"])

    def model_sampler(self, model_id: str, number: int = 0) -> str:
        answer = self.result(
            "/save_weights_for_sampler",
            {"model_id": model_id, "sampling_session_seq_id": number},
        )
        assert answer["path"] is None
        return str(answer["sampling_session_id"])


def sample_body(sampler: str, seq_id: int, token: int = 5, **more: Any) -> dict[str, Any]:
    return {
        "prompt": {"chunks": [{"type": "encoded_text", "tokens": [token, 9]}]},
        "num_samples": 1,
        "sampling_params": {"max_tokens": 2, "temperature": 1.0, "seed": seq_id},
        "sampling_session_id": sampler,
        "seq_id": seq_id,
        **more,
    }


def training_input(target: int = 5) -> dict[str, Any]:
    return {
        "data": [
            {
                "model_input": {
                    "chunks": [
                        {"type": "encoded_text", "tokens": [3, 4]},
                        {"type": "encoded_text", "tokens": [5]},
                    ]
                },
                "loss_fn_inputs": {
                    "target_tokens": {"data": [target, 2], "dtype": "int64", "shape": [2]},
                    "weights": {"data": [1, 0.5], "dtype": "float32", "shape": [2]},
                },
            }
        ],
        "loss_fn": "cross_entropy",
    }


ADAM = {
    "learning_rate": 1e-3,
    "beta1": 0.9,
    "beta2": 0.95,
    "eps": 1e-12,
    "weight_decay": 0.0,
    "grad_clip_norm": 0.0,
}


@contextmanager
def serving(
    engine: Engine,
    folder: Path,
    *,
    embedder: TextEmbedder | None = None,
    reranker: TextReranker | None = None,
    long_poll_seconds: float = 30.0,
    wave_timeout_seconds: float = 60.0,
    result_grace_seconds: float = 60.0,
) -> Iterator[Caller]:
    """A server in this process, with a session opened."""
    settings = ServerSettings(
        token=TOKEN,
        model_name=MODEL_NAME,
        model_directory=folder / "model",
        checkpoints_directory=folder / "checkpoints",
        embedding_name=None if embedder is None else "tiny-encoder",
        reranker_name=None if reranker is None else "tiny-reranker",
        long_poll_seconds=long_poll_seconds,
        wave_timeout_seconds=wave_timeout_seconds,
        result_grace_seconds=result_grace_seconds,
        housekeeping_seconds=0.02,
    )
    app = create_app(engine, settings, embedder, reranker)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with TestClient(app, headers=headers, raise_server_exceptions=False) as http:
        caller = Caller(http)
        caller.session_id = caller.ok("/create_session", {"tags": []})["session_id"]
        yield caller


def decode_events(body: str) -> list[Any]:
    """The data of server-sent events, the closing mark left out."""
    lines = [line.removeprefix("data: ") for line in body.splitlines() if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]
