"""The life of models: optimiser, saving, snapshots, PEFT's format and refusals."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from helpers import build_groups, create_random_model, get_flat, get_gradient
from memory_r1_engine.checkpoints import CHECKSUMS_FILE
from memory_r1_engine.core import TorchEngine
from memory_r1_engine.packing import pack_sequences
from memory_r1_engine.types import (
    AdamParams,
    Datum,
    EngineError,
    ForwardBackwardOutput,
    LoraConfig,
    SampleJob,
)

ADAM = AdamParams(learning_rate=1e-2, weight_decay=0.1, beta2=0.9)


def run_step(engine: TorchEngine, model_id: str, seed: int, adam: AdamParams = ADAM) -> float:
    """One training step; returns the loss before it."""
    output = engine.forward_backward(model_id, build_groups(seed), "cross_entropy")
    engine.optim_step(model_id, adam)
    return output.metrics["loss:sum"]


def test_training_lowers_the_loss(engine: TorchEngine) -> None:
    engine.create_model("learner", "policy", LoraConfig(rank=4, seed=0))
    losses = [run_step(engine, "learner", 0) for _ in range(8)]
    assert losses[-1] < 0.8 * losses[0]
    assert losses == sorted(losses, reverse=True)


def test_critic_starts_at_zero_and_learns(engine: TorchEngine) -> None:
    engine.create_model("judge", "critic", LoraConfig(rank=4, seed=0))
    data = [dataclasses.replace(datum, values=None) for datum in build_groups()]
    with pytest.raises(EngineError, match="needs values"):
        engine.forward("judge", data, "ppo_critic")
    data = [dataclasses.replace(d, values=(0.0,) * len(d.target_tokens)) for d in data]
    first = engine.forward_backward("judge", data, "ppo_critic", {"value_clip": 100.0})
    assert all(value == 0 for output in first.outputs for value in output.values or [])
    assert first.outputs[0].logprobs is None
    for _ in range(20):
        engine.optim_step("judge", AdamParams(learning_rate=1e-2))
        last = engine.forward_backward("judge", data, "ppo_critic", {"value_clip": 100.0})
    assert last.metrics["loss:sum"] < 0.5 * first.metrics["loss:sum"]


def test_optim_step_equals_adamw_by_hand(engine: TorchEngine) -> None:
    """The first two steps of the published formula (decoupled decay, both moments corrected)."""
    create_random_model(engine, "adam")
    weights = get_flat(engine, "adam").double().clone()
    first = torch.zeros_like(weights)
    second = torch.zeros_like(weights)
    for step in (1, 2):
        engine.forward_backward("adam", build_groups(step), "cross_entropy")
        gradient = get_gradient(engine, "adam").double().clone()
        metrics = engine.optim_step("adam", ADAM)
        first = ADAM.beta1 * first + (1 - ADAM.beta1) * gradient
        second = ADAM.beta2 * second + (1 - ADAM.beta2) * gradient**2
        corrected = first / (1 - ADAM.beta1**step)
        spread = (second / (1 - ADAM.beta2**step)).sqrt() + ADAM.eps
        weights = weights * (1 - ADAM.learning_rate * ADAM.weight_decay)
        weights = weights - ADAM.learning_rate * corrected / spread
        assert float((get_flat(engine, "adam") - weights).abs().max()) < 1e-5
        assert metrics["grad_norm:last"] == pytest.approx(float(gradient.norm()), rel=1e-6)
        assert metrics["step:last"] == step
        assert metrics["learning_rate:last"] == ADAM.learning_rate
    assert not get_gradient(engine, "adam").any()


def test_gradient_clipping(engine: TorchEngine) -> None:
    """Adam's step is blind to scale, so the moments tell: the first one is (1 - beta1) * clipped gradient."""
    create_random_model(engine, "clip")
    engine.forward_backward("clip", build_groups(), "cross_entropy")
    norm = engine.optim_step("clip", AdamParams(grad_clip_norm=0.5))["grad_norm:last"]
    assert norm > 1
    flat = get_flat(engine, "clip")
    moment = engine._models["clip"].optimizer.state[flat]["exp_avg"]
    assert float(moment.norm()) == pytest.approx(0.1 * 0.5, rel=1e-4)


def test_two_calls_accumulate_to_one(double_engine: TorchEngine) -> None:
    create_random_model(double_engine, "accumulate")
    data = build_groups()
    double_engine.forward_backward("accumulate", data, "ppo")
    together = get_gradient(double_engine, "accumulate").clone()
    get_gradient(double_engine, "accumulate").zero_()
    double_engine.forward_backward("accumulate", data[:5], "ppo")
    double_engine.forward_backward("accumulate", data[5:], "ppo")
    parts = get_gradient(double_engine, "accumulate")
    assert float((together - parts).abs().max()) < 1e-9 * float(together.abs().max())


def test_forward_leaves_no_gradient_and_agrees(engine: TorchEngine) -> None:
    create_random_model(engine, "forward")
    data = build_groups()
    plain = engine.forward("forward", data, "ppo")
    assert not get_gradient(engine, "forward").any()
    assert plain.outputs == engine.forward_backward("forward", data, "ppo").outputs


def test_the_same_call_twice_is_identical(engine: TorchEngine) -> None:
    create_random_model(engine, "twice")
    engine.forward_backward("twice", build_groups(), "ppo")
    first = get_gradient(engine, "twice").clone()
    get_gradient(engine, "twice").zero_()
    engine.forward_backward("twice", build_groups(), "ppo")
    assert torch.equal(first, get_gradient(engine, "twice"))


def test_seeds_decide_the_start(engine: TorchEngine) -> None:
    for name, seed in (("seed-a", 1), ("seed-b", 1), ("seed-c", 2)):
        engine.create_model(name, "policy", LoraConfig(rank=4, seed=seed))
    a, b, c = (get_flat(engine, name) for name in ("seed-a", "seed-b", "seed-c"))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_a_loss_that_is_not_finite_is_refused(engine: TorchEngine) -> None:
    create_random_model(engine, "infinite")
    run_step(engine, "infinite", 0)
    good, bad, *_ = build_groups()
    engine.forward_backward("infinite", [good], "importance_sampling")
    weights = get_flat(engine, "infinite").clone()
    gradient = get_gradient(engine, "infinite").clone()
    # exp(-5 + 1000) overflows.
    hostile = dataclasses.replace(bad, logprobs=(-1000.0,) * len(bad.target_tokens))
    for call in (engine.forward_backward, engine.forward):
        with pytest.raises(EngineError, match=r"datum 1: the loss of target 0 is -?inf") as caught:
            call("infinite", [good, hostile], "importance_sampling")
        assert caught.value.status == 400
    # What had accumulated before is still there, and the step is that of the good datum alone.
    assert torch.equal(weights, get_flat(engine, "infinite"))
    assert torch.equal(gradient, get_gradient(engine, "infinite"))
    assert engine.optim_step("infinite", ADAM)["step:last"] == 2
    assert bool(get_flat(engine, "infinite").isfinite().all())


def test_a_gradient_that_is_not_finite_is_dropped(
    engine: TorchEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_random_model(engine, "overflow")
    run_step(engine, "overflow", 0)
    weights = get_flat(engine, "overflow").clone()
    gradient = get_gradient(engine, "overflow")

    def overflow(*_: object, **__: object) -> ForwardBackwardOutput:
        gradient.fill_(float("inf"))
        return ForwardBackwardOutput([], {})

    with monkeypatch.context() as patch:
        patch.setattr("memory_r1_engine.core.run_training_call", overflow)
        with pytest.raises(EngineError, match="gradient of these datums is not finite"):
            engine.forward_backward("overflow", build_groups(), "ppo")
    assert not gradient.any()
    # Calls whose gradients are finite may still add up to one that is not.
    engine.forward_backward("overflow", build_groups(), "ppo")
    gradient[0] = float("nan")
    with pytest.raises(EngineError, match="not finite"):
        engine.optim_step("overflow", ADAM)
    assert torch.equal(weights, get_flat(engine, "overflow"))
    assert not gradient.any()
    run_step(engine, "overflow", 1)
    assert bool(get_flat(engine, "overflow").isfinite().all())


def test_a_failed_call_leaves_the_gradient(
    engine: TorchEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_random_model(engine, "failing")
    engine.forward_backward("failing", build_groups(1), "ppo")
    before = get_gradient(engine, "failing").clone()
    monkeypatch.setattr("memory_r1_engine.training.ROW_TARGET_TOKENS", 10)
    original = engine._model.run_row
    calls = []

    def fail_later(*arguments: object, **named: object) -> torch.Tensor:
        calls.append(arguments)
        if len(calls) == 2:
            raise ArithmeticError
        return original(*arguments, **named)  # type: ignore[arg-type]  # passed through

    monkeypatch.setattr(engine._model, "run_row", fail_later)
    with pytest.raises(ArithmeticError):
        engine.forward_backward("failing", build_groups(), "ppo")
    assert torch.equal(before, get_gradient(engine, "failing"))


@pytest.mark.parametrize("role", ["policy", "critic"])
def test_saved_weights_resume_bit_for_bit(
    tiny_model_directory: Path, engine: TorchEngine, tmp_path: Path, role: str
) -> None:
    model_id = f"saved-{role}"
    lora = LoraConfig(rank=3, seed=5, alpha=7.5, train_unembed=True)
    engine.create_model(model_id, role, lora)  # type: ignore[arg-type]  # parametrised as text

    def train(one: TorchEngine, seed: int) -> None:
        loss_fn = "ppo_critic" if role == "critic" else "cross_entropy"
        one.forward_backward(model_id, build_groups(seed), loss_fn)  # type: ignore[arg-type]  # as above
        one.optim_step(model_id, ADAM)

    train(engine, 0)
    engine.save_weights(model_id, tmp_path / "checkpoint")
    train(engine, 1)

    resumed = TorchEngine(tiny_model_directory, threads=1)
    resumed.create_model(model_id, role, dataclasses.replace(lora, seed=99))  # type: ignore[arg-type]  # as above
    resumed.load_weights(model_id, tmp_path / "checkpoint", optimizer=True)
    train(resumed, 1)
    assert torch.equal(get_flat(resumed, model_id), get_flat(engine, model_id))
    assert resumed._models[model_id].step == 2

    resumed.load_weights(model_id, tmp_path / "checkpoint", optimizer=False)
    train(resumed, 1)
    assert not torch.equal(get_flat(resumed, model_id), get_flat(engine, model_id))
    assert resumed._models[model_id].step == 1


def test_weights_saved_before_the_first_step(engine: TorchEngine, tmp_path: Path) -> None:
    engine.create_model("fresh", "policy", LoraConfig(rank=2, seed=1))
    engine.save_weights("fresh", tmp_path / "fresh")
    engine.create_model("fresh-copy", "policy", LoraConfig(rank=2, seed=2))
    engine.load_weights("fresh-copy", tmp_path / "fresh", optimizer=True)
    assert torch.equal(get_flat(engine, "fresh"), get_flat(engine, "fresh-copy"))


@pytest.mark.parametrize(
    "lora",
    [
        LoraConfig(rank=4, seed=1, alpha=24, train_mlp=False),
        LoraConfig(rank=3, seed=2, alpha=7.5, train_unembed=True),
    ],
)
def test_peft_reads_what_is_saved(
    engine: TorchEngine, tiny_model_directory: Path, tmp_path: Path, lora: LoraConfig
) -> None:
    """transformers and PEFT alone give the logits of our own trained model."""
    model_id = f"peft-{lora.rank}"
    engine.create_model(model_id, "policy", lora)
    run_step(engine, model_id, 0)
    engine.save_snapshot(model_id, tmp_path / "adapter")

    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["peft_type"] == "LORA"
    assert config["task_type"] == "CAUSAL_LM"
    assert config["base_model_name_or_path"] == str(tiny_model_directory)
    assert (config["r"], config["lora_alpha"]) == (lora.rank, lora.alpha)
    layers = 3 * (4 if lora.rank == 4 else 7) + (1 if lora.train_unembed else 0)
    assert len(config["target_modules"]) == layers
    assert config["target_modules"] == sorted(config["target_modules"])

    base = AutoModelForCausalLM.from_pretrained(tiny_model_directory)
    model = PeftModel.from_pretrained(base, str(tmp_path / "adapter"))
    names = [name for name, _ in model.named_modules() if name.endswith("lora_A.default")]
    assert len(names) == layers
    tokens = [9, 20, 31, 42, 5]
    (row,) = pack_sequences([tokens], 64)
    engine._model.activate(engine._models[model_id].weights)
    with torch.no_grad():
        expected = model(torch.tensor([tokens])).logits[0]
        found = engine._model.compute_logits(engine._model.run_row(row))
        engine._model.activate(None)
        untrained = engine._model.compute_logits(engine._model.run_row(row))
    assert float((found - expected).abs().max()) < 2e-5 * float(expected.abs().max())
    assert float((untrained - expected).abs().max()) > 1e-2


def test_snapshots_do_not_follow_training(engine: TorchEngine, tmp_path: Path) -> None:
    create_random_model(engine, "moving")
    snapshot = engine.create_snapshot("moving")
    engine.save_snapshot("moving", tmp_path / "adapter")
    job = SampleJob((9, 20, 31), 2, 8, snapshot=snapshot)
    before = engine.sample([job])
    for _ in range(3):
        run_step(engine, "moving", 0)
    assert engine.sample([job]) == before
    later = engine.create_snapshot("moving")
    assert engine.sample([dataclasses.replace(job, snapshot=later)]) != before
    loaded = engine.load_snapshot(tmp_path / "adapter")
    assert engine.sample([dataclasses.replace(job, snapshot=loaded)]) == before
    engine.unload_model("moving")
    assert not engine.has_model("moving")
    assert engine.sample([job]) == before
    engine.drop_snapshot(snapshot)
    with pytest.raises(EngineError, match="unknown snapshot"):
        engine.drop_snapshot(snapshot)


def test_loading_what_does_not_fit(engine: TorchEngine, tmp_path: Path) -> None:
    create_random_model(engine, "four")
    engine.save_weights("four", tmp_path / "four")
    engine.save_snapshot("four", tmp_path / "sampler")
    engine.create_model("two", "policy", LoraConfig(rank=2, seed=0))
    engine.create_model("four-critic", "critic", LoraConfig(rank=4, seed=0))
    for model_id in ("two", "four-critic"):
        with pytest.raises(EngineError, match="another shape"):
            engine.load_weights(model_id, tmp_path / "four", optimizer=True)
    with pytest.raises(EngineError, match="no readable optimiser state"):
        engine.load_weights("four", tmp_path / "sampler", optimizer=True)
    engine.load_weights("four", tmp_path / "sampler", optimizer=False)
    with pytest.raises(EngineError, match="no readable adapter"):
        engine.load_weights("four", tmp_path / "nowhere", optimizer=False)
    # Adapters of other tools come without checksums.
    (tmp_path / "sampler" / CHECKSUMS_FILE).unlink()
    broken = tmp_path / "sampler" / "adapter_model.safetensors"
    broken.write_bytes(broken.read_bytes()[:100])
    with pytest.raises(EngineError, match="no readable adapter"):
        engine.load_weights("four", tmp_path / "sampler", optimizer=False)
    config = tmp_path / "sampler" / "adapter_config.json"
    config.write_text(json.dumps({"r": "many"}), encoding="utf-8")
    with pytest.raises(EngineError, match="no readable adapter"):
        engine.load_snapshot(tmp_path / "sampler")


@pytest.mark.parametrize(
    ("adam", "message"),
    [
        (AdamParams(learning_rate=float("nan")), "learning_rate is nan"),
        (AdamParams(beta1=1.0), "beta1 must be below 1"),
        (AdamParams(weight_decay=-1.0), "weight_decay is -1"),
    ],
)
def test_bad_adam_parameters(engine: TorchEngine, adam: AdamParams, message: str) -> None:
    if not engine.has_model("adam-bad"):
        create_random_model(engine, "adam-bad")
    with pytest.raises(EngineError, match=message):
        engine.optim_step("adam-bad", adam)


def test_optim_step_without_a_gradient(engine: TorchEngine) -> None:
    create_random_model(engine, "idle")
    with pytest.raises(EngineError, match="call forward_backward before"):
        engine.optim_step("idle", ADAM)


def test_bad_models(engine: TorchEngine, tmp_path: Path) -> None:
    create_random_model(engine, "taken")
    with pytest.raises(EngineError, match="exists already") as caught:
        create_random_model(engine, "taken")
    assert caught.value.status == 409
    for lora in (LoraConfig(rank=0, seed=0), LoraConfig(rank=1, seed=0, alpha=float("inf"))):
        with pytest.raises(EngineError, match="expected"):
            engine.create_model("bad-lora", "policy", lora)
    with pytest.raises(EngineError, match="trains no layer"):
        engine.create_model(
            "bad-lora", "policy", LoraConfig(rank=1, seed=0, train_attn=False, train_mlp=False)
        )
    with pytest.raises(EngineError, match="unknown model nobody") as caught:
        engine.unload_model("nobody")
    assert caught.value.status == 404
    with pytest.raises(EngineError, match="cannot load a model"):
        TorchEngine(tmp_path)


def test_the_loss_is_a_plain_sum(engine: TorchEngine) -> None:
    """The loss is the sum over tokens and datums: twice the datum, twice the loss."""
    create_random_model(engine, "sum")
    (datum, *_) = build_groups()
    once = engine.forward("sum", [datum], "ppo").metrics["loss:sum"]
    doubled: list[Datum] = [datum, datum]
    assert engine.forward("sum", doubled, "ppo").metrics["loss:sum"] == pytest.approx(2 * once)
