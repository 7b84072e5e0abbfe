"""The protocol over HTTP: with a scripted engine for order and errors, with the real one on a tiny model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from memory_r1_engine.core import TorchEngine
from serving import (
    ADAM,
    MODEL_NAME,
    TOKEN,
    Caller,
    ScriptedEngine,
    sample_body,
    serving,
    training_input,
)

SOURCE = Path(__file__).parents[1] / "src"


@pytest.fixture
def scripted() -> ScriptedEngine:
    return ScriptedEngine()


@pytest.fixture
def caller(scripted: ScriptedEngine, tmp_path: Path) -> Iterator[Caller]:
    with serving(scripted, tmp_path) as caller:
        yield caller


def test_health_needs_no_token_and_everything_else_does(caller: Caller) -> None:
    http = caller.http
    http.headers.pop("Authorization")
    assert http.get("/api/v1/healthz").json() == {"status": "ok"}
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}):
        response = http.get("/api/v1/get_server_capabilities", headers=headers)
        assert response.status_code == 401
        assert "Authorization: Bearer" in response.json()["detail"]
    # Not even which paths exist is told without it.
    assert http.get("/nowhere").status_code == 401
    for headers in ({"Authorization": f"bearer {TOKEN}"}, {"X-API-Key": TOKEN}):
        response = http.get("/api/v1/get_server_capabilities", headers=headers)
        assert response.status_code == 200


def test_capabilities(caller: Caller) -> None:
    answer = caller.http.get("/api/v1/get_server_capabilities").json()
    assert answer["supported_models"] == [{"model_name": MODEL_NAME}]
    assert answer["engine"]["protocol_version"] == 1
    assert answer["adam_fields"] == list(ADAM)
    assert answer["max_context_length"] == 64
    assert answer["shared_prefix_packing"] is True
    assert answer["waves"] is True
    assert set(answer["loss_fn_settings"]) == set(answer["loss_fns"])
    assert {"cispo", "gspo", "ppo_critic"} < set(answer["loss_fns"])
    assert "dual_clip" in answer["loss_fn_settings"]["ppo"]
    assert answer["loss_fn_settings"]["cross_entropy"] == []
    assert answer["constraints"] == ["regex", "json_schema", "tools"]
    assert answer["prefix_cache"] == {"block_tokens": 128, "max_bytes": 1 << 20}
    assert caller.http.get("/api/v1/metrics").json() == {
        "prefix_cache": {"tokens_found": 3},
        "drafts": {"guessed": 5, "right": 4},
    }


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "detail"),
    [
        ("GET", "/nowhere", None, 404, "no such path: GET /nowhere"),
        ("GET", "/api/v1/asample", None, 405, "/api/v1/asample does not take GET"),
        ("POST", "/api/v1/create_session", "{", 422, "no valid JSON"),
        ("POST", "/api/v1/get_info", "{}", 422, "model_id: Field required"),
        ("POST", "/api/v1/get_info", '{"model_id": 3}', 422, "model_id: Input should be a valid"),
        ("POST", "/api/v1/get_info", '{"model_id": "x", "y": 1}', 422, "y: Extra inputs are not"),
        ("POST", "/api/v1/get_info", '{"model_id": "x"}', 404, "no model x: create it"),
        ("POST", "/api/v1/session_heartbeat", '{"session_id": "x"}', 404, "no session x"),
        ("POST", "/api/v1/retrieve_future", '{"request_id": "1"}', 404, "no request 1"),
    ],
)
def test_every_error_is_json_with_a_detail(
    caller: Caller, method: str, path: str, body: str | None, status: int, detail: str
) -> None:
    headers = {"Content-Type": "application/json"}
    response = caller.http.request(method, path, content=body, headers=headers)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    assert list(response.json()) == ["detail"]
    assert detail in response.json()["detail"]


def test_numbers_are_checked(caller: Caller) -> None:
    model_id = caller.create_model()
    nan = training_input()
    nan["data"][0]["loss_fn_inputs"]["weights"]["data"] = [1, 2]
    text = json.dumps({"model_id": model_id, "forward_input": nan}).replace("[1, 2]", "[1, NaN]")
    headers = {"Content-Type": "application/json"}
    response = caller.http.post("/api/v1/forward", content=text, headers=headers)
    assert response.status_code == 422
    assert "weights.data.1: Input should be a finite number" in response.json()["detail"]
    shape = training_input()
    shape["data"][0]["loss_fn_inputs"]["target_tokens"]["shape"] = [3]
    detail = caller.detail("/forward", {"model_id": model_id, "forward_input": shape}, 422)
    assert "target_tokens: shape is [3] but data holds 2 numbers" in detail
    negative = training_input(-1)
    detail = caller.detail("/forward", {"model_id": model_id, "forward_input": negative}, 422)
    assert "target_tokens.data.0" in detail


def test_models_and_training(caller: Caller, scripted: ScriptedEngine) -> None:
    model_id = caller.create_model("critic")
    info = caller.ok("/get_info", {"model_id": model_id})
    assert info["status"] == "active"
    assert info["model_data"]["model_role"] == "critic"
    assert info["model_data"]["lora_config"]["alpha"] == 32
    given = training_input()
    forward = caller.result("/forward", {"model_id": model_id, "forward_input": given})
    assert forward["loss_fn_outputs"] == [
        {"logprobs": {"data": [-1.5, -1.5], "dtype": "float32", "shape": [2]}}
    ]
    backward = caller.result(
        "/forward_backward", {"model_id": model_id, "forward_backward_input": given}
    )
    assert backward["loss_fn_outputs"][0]["values"]["data"] == [0.5]
    assert backward["metrics"] == {"loss:sum": 2.0}
    step = caller.result("/optim_step", {"model_id": model_id, "adam_params": ADAM})
    assert step == {"metrics": {"grad_norm:last": 1.0}}
    caller.result("/unload_model", {"model_id": model_id})
    assert "no model" in caller.detail("/get_info", {"model_id": model_id}, 404)
    assert scripted.log == [
        "create critic 4",
        "forward cross_entropy",
        "forward_backward cross_entropy",
        "optim_step",
        "unload",
    ]


def test_requests_as_tinkers_own_sdk_sends_them(caller: Caller, scripted: ScriptedEngine) -> None:
    """Recorded from tinker 0.24.1; tests/tinker_sdk/drive_engine.py runs the SDK itself."""
    config = caller.ok("/client/config", {"sdk_version": "0.24.1"})
    assert config["pjwt_auth_enabled"] is False
    session = caller.ok(
        "/create_session",
        {
            "tags": [],
            "user_metadata": None,
            "sdk_version": "0.24.1",
            "project_id": None,
            "type": "create_session",
        },
    )["session_id"]
    lora = {"rank": 8, "seed": None, "train_unembed": False, "train_mlp": True, "train_attn": True}
    created = caller.ok(
        "/create_model",
        {
            "session_id": session,
            "model_seq_id": 0,
            "base_model": MODEL_NAME,
            "user_metadata": None,
            "lora_config": lora,
            "type": "create_model",
        },
    )
    assert caller.retrieve(created["request_id"])[0] == 200
    model_id = created["model_id"]
    tensor = {
        "data": [1],
        "dtype": "int64",
        "shape": [1],
        "sparse_crow_indices": None,
        "sparse_col_indices": None,
    }
    given = training_input()
    given["data"][0]["loss_fn_inputs"] = {"target_tokens": tensor}
    given["data"][0]["model_input"] = {"chunks": [{"tokens": [1], "type": "encoded_text"}]}
    given["loss_fn_config"] = None
    caller.result(
        "/forward_backward",
        {"model_id": model_id, "forward_backward_input": given, "seq_id": 1},
    )
    step = {"model_id": model_id, "adam_params": ADAM, "seq_id": 2, "type": "optim_step"}
    caller.result("/optim_step", step)
    save = {
        "model_id": model_id,
        "path": None,
        "sampling_session_seq_id": 0,
        "seq_id": 3,
        "ttl_seconds": None,
        "type": "save_weights_for_sampler",
    }
    sampler = caller.result("/save_weights_for_sampler", save)["sampling_session_id"]
    sample = {
        "num_samples": 1,
        "prompt": {"chunks": [{"tokens": [7], "type": "encoded_text"}]},
        "sampling_params": {
            "max_tokens": 2,
            "seed": None,
            "stop": None,
            "temperature": 1,
            "top_k": -1,
            "top_p": 1,
        },
        "base_model": None,
        "model_path": None,
        "sampling_session_id": sampler,
        "seq_id": 1,
        "prompt_logprobs": None,
        "topk_prompt_logprobs": 0,
        "type": "sample",
    }
    assert caller.result("/asample", sample)["sequences"][0]["tokens"] == [7, 7]
    named = caller.http.get(f"/api/v1/samplers/{sampler}").json()
    assert named["base_model"] == MODEL_NAME
    caller.ok("/telemetry", {"events": [], "anything": 1})
    # What it may ask beyond the protocol is refused, never ignored.
    refused = {**sample, "seq_id": 2, "topk_prompt_logprobs": 3}
    assert "topk_prompt_logprobs" in caller.detail("/asample", refused, 422)
    kept = {"model_id": model_id, "path": "x", "ttl_seconds": 60}
    assert "ttl_seconds" in caller.detail("/save_weights", kept, 422)
    assert scripted.log[0] == "create policy 8"


def test_a_model_that_cannot_be_made(caller: Caller) -> None:
    body: dict[str, Any] = {
        "session_id": caller.session_id,
        "base_model": "another",
        "lora_config": {"rank": 65, "seed": 0},
    }
    assert 'serves "tiny", not "another"' in caller.detail("/create_model", body, 400)
    body["base_model"] = MODEL_NAME
    answer = caller.ok("/create_model", body)
    assert caller.retrieve(answer["request_id"]) == (400, {"detail": "rank is too large"})
    caller.detail("/get_info", {"model_id": answer["model_id"]}, 404)


def test_failures_of_the_work(caller: Caller, capfd: pytest.CaptureFixture[str]) -> None:
    model_id = caller.create_model()
    body = {"model_id": model_id, "forward_backward_input": training_input(7)}
    assert caller.failure("/forward_backward", body) == (500, "RuntimeError: out of memory")
    assert "Traceback" in capfd.readouterr().err
    body = {"model_id": model_id, "forward_input": training_input(13)}
    status, detail = caller.failure("/forward", body)
    assert status == 500
    assert "not finite" in detail


def test_repeated_requests_run_once(caller: Caller, scripted: ScriptedEngine) -> None:
    model_id = caller.create_model()
    step = {"model_id": model_id, "adam_params": ADAM, "seq_id": 1}
    first = caller.ok("/optim_step", step)
    assert caller.ok("/optim_step", step) == first
    assert caller.retrieve(first["request_id"])[1]["metrics"] == {"grad_norm:last": 1.0}
    # Still so after the result was fetched.
    assert caller.ok("/optim_step", step) == first
    other = {**step, "adam_params": {**ADAM, "learning_rate": 0.5}}
    assert "seq_id 1 was already used" in caller.detail("/optim_step", other, 409)
    given = {"model_id": model_id, "forward_input": training_input(), "seq_id": 1}
    caller.detail("/forward", given, 409)
    # Another model counts for itself, and without a number nothing is remembered.
    caller.result("/optim_step", {**step, "model_id": caller.create_model()})
    for _ in range(2):
        caller.result("/optim_step", {"model_id": model_id, "adam_params": ADAM})
    assert scripted.steps == 4

    sampler = caller.base_sampler()
    sample = sample_body(sampler, 1)
    first = caller.ok("/asample", sample)
    assert caller.ok("/asample", sample) == first
    caller.detail("/asample", sample_body(sampler, 1, token=6), 409)
    caller.retrieve(first["request_id"])
    assert len(scripted.batches) == 1


def test_long_poll_and_late_fetch(scripted: ScriptedEngine, tmp_path: Path) -> None:
    with serving(scripted, tmp_path, long_poll_seconds=0.05, result_grace_seconds=0.2) as caller:
        model_id = caller.create_model()
        scripted.gate.clear()
        request_id = caller.ok("/optim_step", {"model_id": model_id, "adam_params": ADAM})
        assert "ask again" in caller.detail("/retrieve_future", request_id, 408)
        scripted.gate.set()
        assert caller.retrieve(request_id["request_id"])[0] == 200
        assert caller.retrieve(request_id["request_id"])[0] == 200
        time.sleep(0.4)
        assert "fetched before" in caller.detail("/retrieve_future", request_id, 410)


def test_samples_that_wait_together_run_together(caller: Caller, scripted: ScriptedEngine) -> None:
    model_id = caller.create_model()
    sampler = caller.base_sampler()
    scripted.gate.clear()
    step = {"model_id": model_id, "adam_params": ADAM}
    ids = [caller.ok("/optim_step", step)["request_id"]]
    ids += [
        caller.ok("/asample", sample_body(sampler, n, token=10 + n))["request_id"] for n in (2, 1)
    ]
    ids.append(caller.ok("/optim_step", step)["request_id"])
    ids.append(caller.ok("/asample", sample_body(sampler, 3, token=13))["request_id"])
    scripted.gate.set()
    answers = [caller.retrieve(request_id) for request_id in ids]
    assert [status for status, _ in answers] == [200] * 5
    assert scripted.log[1:] == ["optim_step", "sample [12, 11]", "optim_step", "sample [13]"]
    assert answers[1][1] == {
        "sequences": [{"stop_reason": "length", "tokens": [12, 12], "logprobs": [-0.5, -0.25]}],
        "prompt_logprobs": None,
    }
    assert [job.snapshot for batch in scripted.batches for job in batch] == [None] * 3


def test_one_bad_sample_does_not_fail_its_neighbours(
    caller: Caller, scripted: ScriptedEngine
) -> None:
    model_id = caller.create_model()
    sampler = caller.base_sampler()
    scripted.gate.clear()
    caller.ok("/optim_step", {"model_id": model_id, "adam_params": ADAM})
    ids = [
        caller.ok("/asample", sample_body(sampler, token, token=token))["request_id"]
        for token in (10, 400, 11)
    ]
    scripted.gate.set()
    assert [caller.retrieve(request_id)[0] for request_id in ids] == [200, 400, 200]


def test_samples_are_checked_on_arrival(caller: Caller) -> None:
    sampler = caller.base_sampler()
    empty = sample_body(sampler, 1)
    empty["prompt"]["chunks"][0]["tokens"] = []
    assert "prompt is empty" in caller.detail("/asample", empty, 400)
    long = sample_body(sampler, 1)
    long["sampling_params"]["max_tokens"] = 63
    assert "context of 64 tokens" in caller.detail("/asample", long, 400)
    assert "no sampler" in caller.detail("/asample", sample_body("sampling_x", 1), 404)
    # None of these used up the number.
    caller.result("/asample", sample_body(sampler, 1))


def test_a_wave_is_one_batch_in_order_of_seq_id(caller: Caller, scripted: ScriptedEngine) -> None:
    sampler = caller.base_sampler()
    model_id = caller.create_model()
    bodies = [sample_body(sampler, n, token=20 + n, wave={"id": "w", "size": 3}) for n in (3, 1, 2)]
    ids = [caller.ok("/asample", body)["request_id"] for body in bodies[:2]]
    # A repeated member is not counted twice, and an unfinished wave holds nobody up.
    assert caller.ok("/asample", bodies[0])["request_id"] == ids[0]
    caller.result("/optim_step", {"model_id": model_id, "adam_params": ADAM})
    caller.result("/asample", sample_body(sampler, 9, token=29))
    wrong = sample_body(sampler, 7, wave={"id": "w", "size": 4})
    assert "wave.size is 4 but" in caller.detail("/asample", wrong, 400)
    # Behind something slow: samples that wait beside a wave do not join its batch.
    scripted.gate.clear()
    caller.ok("/optim_step", {"model_id": model_id, "adam_params": ADAM})
    ids.append(caller.ok("/asample", bodies[2])["request_id"])
    alone = caller.ok("/asample", sample_body(sampler, 8, token=28))["request_id"]
    scripted.gate.set()
    for request_id in [*ids, alone]:
        assert caller.retrieve(request_id)[0] == 200
    batches = [[job.tokens[0] for job in batch] for batch in scripted.batches]
    assert batches == [[29], [21, 22, 23], [28]]
    assert caller.retrieve(ids[0])[1]["sequences"][0]["tokens"] == [23, 23]


def test_waves_arrive_in_any_order_and_give_the_same_batch(
    caller: Caller, scripted: ScriptedEngine
) -> None:
    sampler = caller.base_sampler()
    bodies = [
        sample_body(sampler, n, token=100 + n, wave={"id": "w", "size": 16}) for n in range(16)
    ]
    threads = [
        threading.Thread(target=caller.result, args=("/asample", body))
        for body in bodies[::-3] + bodies[1::3] + bodies[2::3]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert [[job.tokens[0] for job in batch] for batch in scripted.batches] == [
        list(range(100, 116))
    ]


def test_a_wave_that_never_fills_fails(scripted: ScriptedEngine, tmp_path: Path) -> None:
    with serving(scripted, tmp_path, wave_timeout_seconds=0.05) as caller:
        sampler = caller.base_sampler()
        body = sample_body(sampler, 1, wave={"id": "w", "size": 2})
        status, detail = caller.failure("/asample", body)
        assert status == 424
        assert "1 of its 2 requests arrived" in detail
        # Its name is free again.
        body = sample_body(sampler, 2, wave={"id": "w", "size": 1})
        assert caller.result("/asample", body)["sequences"]


def test_a_wave_with_a_bad_member_fails_whole(caller: Caller) -> None:
    sampler = caller.base_sampler()
    ids = [
        caller.ok(
            "/asample", sample_body(sampler, token, token=token, wave={"id": "w", "size": 2})
        )["request_id"]
        for token in (10, 500)
    ]
    for request_id in ids:
        assert caller.retrieve(request_id) == (500, {"detail": "ValueError: broken"})


def test_a_new_sampler_replaces_the_one_before(caller: Caller, scripted: ScriptedEngine) -> None:
    model_id = caller.create_model()
    first = caller.model_sampler(model_id)
    caller.result("/asample", sample_body(first, 1))
    scripted.gate.clear()
    # Accepted before the replacement ran: still sampled from the old weights.
    held = caller.ok("/optim_step", {"model_id": model_id, "adam_params": ADAM})
    saving = caller.ok(
        "/save_weights_for_sampler", {"model_id": model_id, "sampling_session_seq_id": 1}
    )
    pending = caller.ok("/asample", sample_body(first, 2))
    scripted.gate.set()
    second = caller.retrieve(saving["request_id"])[1]["sampling_session_id"]
    assert caller.retrieve(held["request_id"])[0] == 200
    assert caller.retrieve(pending["request_id"])[0] == 200
    assert [batch[0].snapshot for batch in scripted.batches] == ["snapshot-1", "snapshot-1"]
    detail = caller.detail("/asample", sample_body(first, 3), 410)
    assert second in detail
    # A repeated request keeps its answer.
    assert caller.ok("/asample", sample_body(first, 2)) == pending
    caller.result("/asample", sample_body(second, 1))
    assert scripted.snapshots == {"snapshot-1": "dropped", "snapshot-2": "live"}
    caller.result("/unload_model", {"model_id": model_id})
    assert "was unloaded" in caller.detail("/asample", sample_body(second, 2), 410)
    caller.result("/asample", sample_body(caller.base_sampler(), 1))
    assert scripted.snapshots["snapshot-2"] == "dropped"


def test_checkpoints(caller: Caller, scripted: ScriptedEngine, tmp_path: Path) -> None:
    model_id = caller.create_model()
    save = {"model_id": model_id, "path": "step-1", "seq_id": 1}
    saved = caller.result("/save_weights", save)
    assert saved == {"path": f"memory-r1://{model_id}/weights/step-1", "type": "save_weights"}
    assert (tmp_path / "checkpoints" / model_id / "weights" / "step-1").is_dir()
    assert "never overwritten" in caller.detail("/save_weights", {**save, "seq_id": 2}, 409)
    load = {"model_id": model_id, "path": saved["path"], "optimizer": True}
    assert caller.result("/load_weights", load) == {"type": "load_weights"}
    assert scripted.log[-1] == "load_weights step-1 True"

    for name in ("", "a/b", "..", "a b", "x" * 256, "ä", "a\n"):
        detail = caller.detail("/save_weights", {"model_id": model_id, "path": name}, 422)
        assert detail.startswith("path: ")
    for path in (
        f"memory-r1://{model_id}/weights/../step-1",
        f"memory-r1://../{model_id}/weights/step-1",
        f"memory-r1://{model_id}/weights/step-1\n",
        "/etc/passwd",
        "step-1",
    ):
        detail = caller.detail("/load_weights", {**load, "path": path}, 400)
        assert "is no checkpoint path" in detail
    missing = f"memory-r1://{model_id}/weights/step-2"
    assert "no checkpoint" in caller.detail("/load_weights", {**load, "path": missing}, 404)

    sampler = caller.result("/save_weights_for_sampler", {"model_id": model_id, "path": "best"})
    assert sampler["sampling_session_id"] is None
    assert sampler["path"] == f"memory-r1://{model_id}/sampler_weights/best"
    wrong = {**load, "path": sampler["path"]}
    assert "which are for sampling" in caller.detail("/load_weights", wrong, 400)
    session = {"session_id": caller.session_id, "model_path": sampler["path"]}
    sampling = caller.ok("/create_sampling_session", session)["sampling_session_id"]
    caller.result("/asample", sample_body(sampling, 1))
    assert scripted.batches[-1][0].snapshot == "loaded-best"
    both = {**session, "base_model": MODEL_NAME}
    assert "exactly one of" in caller.detail("/create_sampling_session", both, 422)
    neither = {"model_id": model_id}
    assert "exactly one of" in caller.detail("/save_weights_for_sampler", neither, 422)


def test_saved_samplers_leave_memory_and_come_back(
    caller: Caller, scripted: ScriptedEngine
) -> None:
    model_id = caller.create_model()
    sessions = []
    for number in range(6):
        body = {"model_id": model_id, "path": f"s{number}"}
        path = caller.result("/save_weights_for_sampler", body)["path"]
        session = {"session_id": caller.session_id, "model_path": path}
        sessions.append(caller.ok("/create_sampling_session", session)["sampling_session_id"])
    for session_id in sessions:
        caller.result("/asample", sample_body(session_id, 1))
    assert [name for name, state in scripted.snapshots.items() if state == "dropped"] == [
        "loaded-s0",
        "loaded-s1",
    ]
    caller.result("/asample", sample_body(sessions[0], 2))
    assert scripted.snapshots["loaded-s0"] == "live"


# With the real engine on a tiny model


def real_sample(sampler: str, seq_id: int, **more: Any) -> dict[str, Any]:
    body = sample_body(sampler, seq_id, token=40, **more)
    body["num_samples"] = 2
    body["sampling_params"] = {"max_tokens": 6, "temperature": 1.0, "seed": 3}
    return body


def test_training_for_real_and_a_restart(tiny_model_directory: Path, tmp_path: Path) -> None:
    given = training_input()
    engine = TorchEngine(tiny_model_directory, threads=1)
    with serving(engine, tmp_path) as caller:
        model_id = caller.create_model()
        train = {"model_id": model_id, "forward_backward_input": given}
        before = caller.result("/forward_backward", train)
        assert len(before["loss_fn_outputs"][0]["logprobs"]["data"]) == 2
        adam = {**ADAM, "learning_rate": 0.01}
        step = caller.result("/optim_step", {"model_id": model_id, "adam_params": adam})
        assert step["metrics"]["grad_norm:last"] > 0
        after = caller.result("/forward", {"model_id": model_id, "forward_input": given})
        assert after["metrics"]["loss:sum"] < before["metrics"]["loss:sum"]
        path = caller.result("/save_weights", {"model_id": model_id, "path": "one"})["path"]
        saved = caller.result("/save_weights_for_sampler", {"model_id": model_id, "path": "one"})
        sampler = caller.model_sampler(model_id)
        sampled = caller.result("/asample", real_sample(sampler, 1, prompt_logprobs=True))
        assert len(sampled["sequences"]) == 2
        assert sampled["prompt_logprobs"][0] is None
        assert len(sampled["prompt_logprobs"]) == 2
        base = caller.result("/asample", real_sample(caller.base_sampler(), 1))
        assert base["sequences"] != sampled["sequences"]

    # A new process knows the folder and nothing else.
    engine = TorchEngine(tiny_model_directory, threads=1)
    with serving(engine, tmp_path) as caller:
        model_id = caller.create_model(seed=1)
        load = {"model_id": model_id, "path": path, "optimizer": True}
        caller.result("/load_weights", load)
        again = caller.result("/forward", {"model_id": model_id, "forward_input": given})
        assert again["loss_fn_outputs"] == after["loss_fn_outputs"]
        session = {"session_id": caller.session_id, "model_path": saved["path"]}
        sampling = caller.ok("/create_sampling_session", session)["sampling_session_id"]
        repeated = caller.result("/asample", real_sample(sampling, 1, prompt_logprobs=True))
        assert repeated == sampled


def test_a_critic_for_real(engine: TorchEngine, tmp_path: Path) -> None:
    given = training_input()
    inputs = given["data"][0]["loss_fn_inputs"]
    del inputs["weights"]
    inputs["values"] = {"data": [0.0, 0.0]}
    inputs["returns"] = {"data": [1.0, -1.0]}
    given["loss_fn"] = "ppo_critic"
    with serving(engine, tmp_path) as caller:
        model_id = caller.create_model("critic")
        output = caller.result(
            "/forward_backward", {"model_id": model_id, "forward_backward_input": given}
        )
        # The value head starts at zero.
        assert output["loss_fn_outputs"][0]["values"]["data"] == [0.0, 0.0]
        wrong = {**given, "loss_fn": "cross_entropy"}
        status, _ = caller.failure("/forward", {"model_id": model_id, "forward_input": wrong})
        assert status == 400


def test_constraint_for_real(engine: TorchEngine, tmp_path: Path) -> None:
    with serving(engine, tmp_path) as caller:
        body = real_sample(caller.base_sampler(), 1)
        body["sampling_params"]["constraint"] = {"type": "regex", "value": "ab|cd"}
        for sequence in caller.result("/asample", body)["sequences"]:
            assert engine.tokenizer.decode(sequence["tokens"], skip_special_tokens=True) in (
                "ab",
                "cd",
            )
        body = real_sample(caller.base_sampler(), 1)
        body["sampling_params"]["constraint"] = {"type": "regex", "value": "("}
        status, detail = caller.failure("/asample", body)
        assert status == 400
        assert "regex" in detail


# The program


def start(
    model_directory: Path, folder: Path, token: str = TOKEN, *more: str
) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(SOURCE),
        "MEMORY_R1_ENGINE_TOKEN": token,
        "HF_HUB_OFFLINE": "1",
    }
    arguments = ["--model-dir", str(model_directory), "--model-name", "tiny", "--threads", "1"]
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "memory_r1_engine", *arguments),
            *("--checkpoints-dir", str(folder / "checkpoints"), *more),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def wait_until_ready(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line: dict[str, Any] = json.loads(process.stdout.readline())
    return line


def test_the_program_serves_and_ends_with_its_standard_input(
    tiny_model_directory: Path, tmp_path: Path
) -> None:
    with start(tiny_model_directory, tmp_path) as process:
        ready = wait_until_ready(process)
        assert ready["event"] == "ready"
        assert ready["pid"] == process.pid
        assert ready["model"] == "tiny"
        url = f"http://127.0.0.1:{ready['port']}/api/v1/get_server_capabilities"
        request = urllib.request.Request(url, headers={"X-API-Key": TOKEN})
        with urllib.request.urlopen(request, timeout=10) as response:
            assert json.load(response)["dtype"] == "float32"
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(5) == 0
        assert process.stdout is not None
        assert process.stdout.read() == "", "one line on standard output, no more"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_program_ends_on_a_signal_with_a_request_open(
    tiny_model_directory: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    with start(tiny_model_directory, tmp_path) as process:
        port = wait_until_ready(process)["port"]

        def post(path: str, body: dict[str, Any]) -> Any:
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/api/v1{path}",
                data=json.dumps(body).encode(),
                headers={"X-API-Key": TOKEN, "Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=10) as response:
                return json.load(response)

        session = {"session_id": post("/create_session", {})["session_id"], "base_model": "tiny"}
        sampler = post("/create_sampling_session", session)["sampling_session_id"]
        # Long enough to still run when the signal comes.
        body = sample_body(sampler, 1, token=40)
        body["num_samples"] = 512
        body["sampling_params"]["max_tokens"] = 400
        post("/asample", body)
        time.sleep(0.3)
        process.send_signal(number)
        began = time.monotonic()
        assert process.wait(6) == code
        assert time.monotonic() - began < 5


def test_the_program_refuses_what_cannot_work(tiny_model_directory: Path, tmp_path: Path) -> None:
    cases = [
        ((tiny_model_directory, ""), (), "MEMORY_R1_ENGINE_TOKEN is not set"),
        ((tmp_path / "nowhere", TOKEN), (), "cannot load the model"),
        ((tmp_path, TOKEN), (), "cannot load the model"),
        # The language model has no head for scores.
        (
            (tiny_model_directory, TOKEN),
            ("--reranker-dir", str(tiny_model_directory)),
            "cannot load the reranker",
        ),
    ]
    processes = [start(folder, tmp_path, token, *more) for (folder, token), more, _ in cases]
    for process, (_, _, message) in zip(processes, cases, strict=True):
        # Not communicate(): it would close the standard input, which ends the program as well.
        assert process.wait(60) == 2
        with process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.read() == ""
            assert message in process.stderr.read().splitlines()[-1]
