"""What goes wrong between a trainer and its engine: killed processes, odd requests, bad data, company.

The engine that is killed is a fork of this process that serves over HTTP: the real server and the real tensor core on
a tiny model, ready at once. A fork of the untouched parent is what a restarted engine is.
"""

from __future__ import annotations

import os
import pkgutil
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn

from helpers import build_groups
from memory_r1_engine.checkpoints import verify_folder
from memory_r1_engine.core import TorchEngine
from memory_r1_engine.server import ServerSettings, create_app
from memory_r1_engine.types import Datum
from serving import ADAM, MODEL_NAME, TOKEN, Caller, serving

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


@dataclass
class Forked:
    """A server in a process of its own."""

    pid: int
    caller: Caller
    reached: int

    def wait_until_reached(self) -> None:
        """Until the process has come to the place where it was told to stop."""
        assert select.select([self.reached], [], [], 30)[0], "the place was never reached"
        assert os.read(self.reached, 1) == b"!"

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


@contextmanager
def forked(
    engine: TorchEngine, folder: Path, stop_at: tuple[str, int] | None = None
) -> Iterator[Forked]:
    """Serves `engine`; the call number `stop_at[1]` of the function `stop_at[0]` never returns."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    reached, reach = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            if stop_at is not None:
                stop(*stop_at, folder / "armed", reach)
            settings = ServerSettings(
                token=TOKEN,
                model_name=MODEL_NAME,
                model_directory=folder / "model",
                checkpoints_directory=folder / "checkpoints",
            )
            config = uvicorn.Config(create_app(engine, settings), log_config=None, access_log=False)
            uvicorn.Server(config).run(sockets=[listener])
        finally:
            # Never back into the tests, whatever happens.
            os._exit(1)
    listener.close()
    os.close(reach)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30) as http:
        caller = Caller(http)
        server = Forked(pid, caller, reached)
        try:
            caller.session_id = caller.ok("/create_session", {"tags": []})["session_id"]
            yield server
        finally:
            with suppress(ProcessLookupError, ChildProcessError):
                server.kill()
            os.close(reached)


def stop(place: str, number: int, armed: Path, reach: int) -> None:
    """In the child: a function stands still at its call `number`, counted from when the file `armed` is there."""
    original = pkgutil.resolve_name(place)
    left = number

    def run(*arguments: Any, **named: Any) -> Any:
        nonlocal left
        if armed.exists():
            left -= 1
        if left == 0:
            os.write(reach, b"!")
            time.sleep(60)
        return original(*arguments, **named)

    pytest.MonkeyPatch().setattr(place, run)


def to_wire(datum: Datum) -> dict[str, Any]:
    inputs = {
        name: {"data": list(getattr(datum, name))}
        for name in ("target_tokens", "logprobs", "advantages", "values", "returns")
    }
    chunks = [{"type": "encoded_text", "tokens": list(chunk)} for chunk in datum.chunks]
    return {"model_input": {"chunks": chunks}, "loss_fn_inputs": inputs}


def backward_body(model_id: str, data: list[Datum], seq_id: int | None = None) -> dict[str, Any]:
    given = {"data": [to_wire(datum) for datum in data], "loss_fn": "ppo"}
    return {"model_id": model_id, "forward_backward_input": given, "seq_id": seq_id}


def step_body(model_id: str, seq_id: int | None = None) -> dict[str, Any]:
    return {
        "model_id": model_id,
        "adam_params": {**ADAM, "learning_rate": 0.01},
        "seq_id": seq_id,
    }


def train(caller: Caller, model_id: str, seed: int) -> None:
    caller.result("/forward_backward", backward_body(model_id, build_groups(seed)))
    caller.result("/optim_step", step_body(model_id))


def sample_request(sampler: str) -> dict[str, Any]:
    return {
        "prompt": {"chunks": [{"type": "encoded_text", "tokens": [40, 9, 12]}]},
        "num_samples": 2,
        "sampling_params": {"max_tokens": 6, "temperature": 1.0, "seed": 3},
        "sampling_session_id": sampler,
        "seq_id": 1,
    }


def save(caller: Caller, model_id: str, name: str) -> str:
    return str(caller.result("/save_weights", {"model_id": model_id, "path": name})["path"])


def begin(caller: Caller) -> tuple[str, str]:
    """The first training step and its checkpoint."""
    model_id = caller.create_model()
    train(caller, model_id, 0)
    return model_id, save(caller, model_id, "one")


def go_on(caller: Caller, model_id: str) -> Any:
    """The second step, from a sample to the checkpoint `two`; returns what was sampled."""
    sampled = caller.result("/asample", sample_request(caller.model_sampler(model_id)))
    train(caller, model_id, 1)
    save(caller, model_id, "two")
    return sampled


def read_weights(folder: Path, model_id: str) -> list[bytes]:
    """Adapter and optimiser of the checkpoint `two`."""
    saved = folder / "checkpoints" / model_id / "weights" / "two"
    return [
        (saved / name).read_bytes()
        for name in ("adapter_model.safetensors", "optimizer.safetensors")
    ]


@pytest.fixture(scope="module")
def uninterrupted(
    engine: TorchEngine, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, list[bytes]]:
    folder = tmp_path_factory.mktemp("uninterrupted")
    with forked(engine, folder) as server:
        model_id, _ = begin(server.caller)
        sampled = go_on(server.caller, model_id)
    return sampled, read_weights(folder, model_id)


def sample_killed(caller: Caller, model_id: str) -> tuple[str, dict[str, Any]]:
    return "/asample", sample_request(caller.model_sampler(model_id))


def backward_killed(caller: Caller, model_id: str) -> tuple[str, dict[str, Any]]:
    # A gradient that has accumulated already is lost too, and must not be missed.
    caller.result("/forward_backward", backward_body(model_id, build_groups(1)[:2]))
    return "/forward_backward", backward_body(model_id, build_groups(1)[2:])


def save_killed(caller: Caller, model_id: str) -> tuple[str, dict[str, Any]]:
    train(caller, model_id, 1)
    return "/save_weights", {"model_id": model_id, "path": "two"}


@pytest.mark.parametrize(
    ("place", "number", "last_request"),
    [
        ("memory_r1_engine.language_model.LanguageModel.compute_logits", 3, sample_killed),
        ("memory_r1_engine.training.torch.autograd.backward", 2, backward_killed),
        ("memory_r1_engine.core.write_tensors", 1, save_killed),
        ("memory_r1_engine.checkpoints._synchronise", 3, save_killed),
        ("memory_r1_engine.checkpoints.os.replace", 1, save_killed),
    ],
)
def test_a_killed_engine_costs_no_more_than_the_step(
    engine: TorchEngine,
    tmp_path: Path,
    uninterrupted: tuple[Any, list[bytes]],
    place: str,
    number: int,
    last_request: Callable[[Caller, str], tuple[str, dict[str, Any]]],
) -> None:
    """Killed while it samples, in a backward pass, in a save: the next engine ends in the same bytes."""
    armed = tmp_path / "armed"
    with forked(engine, tmp_path, (place, number)) as server:
        model_id, path = begin(server.caller)
        call, body = last_request(server.caller, model_id)
        armed.touch()
        request_id = server.caller.ok(call, body)["request_id"]
        server.wait_until_reached()
        server.kill()
        with pytest.raises(httpx2.TransportError):
            server.caller.retrieve(request_id)
    kept = tmp_path / "checkpoints" / model_id / "weights"
    assert verify_folder(kept / "one")
    assert not (kept / "two").exists()

    with forked(engine, tmp_path) as server:
        # The engine that died knew this model; this one does not, and says so.
        server.caller.detail("/optim_step", step_body(model_id), 404)
        again = server.caller.create_model(seed=77)
        load = {"model_id": again, "path": path, "optimizer": True}
        server.caller.result("/load_weights", load)
        sampled = go_on(server.caller, again)
    expected_sample, expected_weights = uninterrupted
    assert sampled == expected_sample
    assert read_weights(tmp_path, again) == expected_weights


def read_saved(folder: Path, model_id: str, caller: Caller) -> list[bytes]:
    save(caller, model_id, "two")
    return read_weights(folder, model_id)


def test_duplicates_and_poison_change_nothing(engine: TorchEngine, tmp_path: Path) -> None:
    """One trainer's step with repeated, refused and poisoned requests in between, another's without."""
    data = build_groups()
    with serving(engine, tmp_path) as caller:
        model_id = caller.create_model()
        first = backward_body(model_id, data, 1)
        request_id = caller.ok("/forward_backward", first)
        # Sent again before and after its answer, as a client does whose connection broke.
        assert caller.ok("/forward_backward", first) == request_id
        assert caller.retrieve(request_id["request_id"])[0] == 200
        assert caller.ok("/forward_backward", first) == request_id

        prompt = (data[1].chunks[0] * 30)[:600]
        long = Datum((prompt, *data[1].chunks[1:]), **without_chunks(data[1]))
        status, detail = caller.failure(
            "/forward_backward", backward_body(model_id, [data[0], long, data[2]], 2)
        )
        tokens = sum(len(chunk) for chunk in long.chunks)
        assert status == 400
        assert detail == f"datum 1: {tokens} tokens, the model's context holds 512"

        size = len(data[2].target_tokens)
        hostile = Datum(
            data[2].chunks, **{**without_chunks(data[2]), "logprobs": (-1000.0,) * size}
        )
        hostile = Datum(hostile.chunks, **{**without_chunks(hostile), "advantages": (-1.0,) * size})
        status, detail = caller.failure(
            "/forward_backward", backward_body(model_id, [*data[:2], hostile], 3)
        )
        assert status == 400
        assert detail.startswith("datum 2: the loss of target 0 is inf: nothing was accumulated")

        step = step_body(model_id, 4)
        request_id = caller.ok("/optim_step", step)
        assert caller.ok("/optim_step", step) == request_id
        assert caller.retrieve(request_id["request_id"])[1]["metrics"]["step:last"] == 1
        found = read_saved(tmp_path, model_id, caller)

        calm = caller.create_model()
        caller.result("/forward_backward", backward_body(calm, data, 1))
        caller.result("/optim_step", step_body(calm, 2))
        assert read_saved(tmp_path, calm, caller) == found


def without_chunks(datum: Datum) -> dict[str, Any]:
    return {key: value for key, value in vars(datum).items() if key != "chunks"}


def test_reordered_requests_are_refused_where_it_matters(
    engine: TorchEngine, tmp_path: Path
) -> None:
    data = build_groups()
    with serving(engine, tmp_path) as caller:
        model_id = caller.create_model()
        caller.result("/forward_backward", backward_body(model_id, data[:4], 1))
        # Gradients add up in any order: a client may send the parts of one call as it likes.
        caller.result("/forward_backward", backward_body(model_id, data[8:], 3))
        caller.result("/forward_backward", backward_body(model_id, data[4:8], 2))
        caller.result("/optim_step", step_body(model_id, 5))
        # 4 belonged to the step that has run: it would go into the next one in silence.
        detail = caller.detail("/forward_backward", backward_body(model_id, data, 4), 409)
        assert "seq_id 4 came after 5, and an optim_step is between them: it was not run" in detail
        # A step after its successor would take a gradient that was not meant for it.
        caller.result("/forward_backward", backward_body(model_id, data, 8))
        detail = caller.detail("/optim_step", step_body(model_id, 7), 409)
        assert "seq_id 7 came after 8" in detail
        assert caller.result("/optim_step", step_body(model_id, 9))["metrics"]["step:last"] == 2
        found = read_saved(tmp_path, model_id, caller)

        calm = caller.create_model()
        for number, part in enumerate((data[:4], data[8:], data[4:8])):
            caller.result("/forward_backward", backward_body(calm, part, number))
        caller.result("/optim_step", step_body(calm, 3))
        caller.result("/forward_backward", backward_body(calm, data, 4))
        caller.result("/optim_step", step_body(calm, 5))
        assert read_saved(tmp_path, calm, caller) == found


def test_two_trainers_on_one_engine_do_not_notice_each_other(
    engine: TorchEngine, tmp_path: Path
) -> None:
    """Two sessions at once, each sampling, training and saving; then each alone."""

    def work(caller: Caller, seed: int) -> tuple[Any, list[bytes]]:
        session = Caller(caller.http)
        session.session_id = session.ok("/create_session", {"tags": []})["session_id"]
        model_id = session.create_model(seed=seed)
        sampled = []
        for step in range(3):
            sampled.append(
                session.result("/asample", sample_request(session.model_sampler(model_id, step)))
            )
            train(session, model_id, 10 * seed + step)
        save(session, model_id, "two")
        return sampled, read_weights(tmp_path, model_id)

    with serving(engine, tmp_path) as caller:
        together: dict[int, tuple[Any, list[bytes]]] = {}
        start = threading.Barrier(2)

        def run(seed: int) -> None:
            start.wait(10)
            together[seed] = work(caller, seed)

        threads = [threading.Thread(target=run, args=(seed,)) for seed in (1, 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        alone = {seed: work(caller, seed) for seed in (1, 2)}
    assert together == alone
    assert together[1][1] != together[2][1]
