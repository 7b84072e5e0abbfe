"""Packed rows against separate rows, gradients against finite differences, and refused input."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from helpers import (
    build_datum,
    build_groups,
    build_tokens,
    create_random_model,
    get_flat,
    get_gradient,
)
from memory_r1_engine.core import TorchEngine
from memory_r1_engine.types import (
    Constraint,
    Datum,
    EngineError,
    ForwardBackwardOutput,
    LoraConfig,
    LossFunction,
    ModelRole,
    SampleJob,
)

REGEX = Constraint("regex", r"(ADD|NOOP|UPDATE [0-9]{1,2}): [a-z ]{2,12}")


def run_both(
    directory: Path,
    dtype: str,
    data: list[Datum],
    loss_fn: LossFunction = "importance_sampling",
    role: ModelRole = "policy",
    budget: int = 2048,
) -> list[tuple[ForwardBackwardOutput, torch.Tensor]]:
    """Output and gradient with packing, then without."""
    results = []
    for packing in (True, False):
        engine = TorchEngine(
            directory,
            dtype=dtype,  # type: ignore[arg-type]  # parametrised as text
            threads=1,
            shared_prefix_packing=packing,
            row_token_budget=budget,
        )
        create_random_model(engine, "m", role, train_unembed=role == "policy")
        output = engine.forward_backward("m", data, loss_fn)
        results.append((output, get_gradient(engine, "m").clone()))
    return results


def assert_same(
    results: list[tuple[ForwardBackwardOutput, torch.Tensor]], tolerance: float
) -> None:
    (packed, packed_gradient), (separate, separate_gradient) = results
    scale = max(1.0, float(separate_gradient.abs().max()))
    assert float((packed_gradient - separate_gradient).abs().max()) <= tolerance * scale
    assert float(separate_gradient.abs().max()) > 1e-3
    assert packed.metrics["loss:sum"] == pytest.approx(
        separate.metrics["loss:sum"], rel=tolerance, abs=tolerance
    )
    for one, other in zip(packed.outputs, separate.outputs, strict=True):
        for field in ("logprobs", "entropy", "values"):
            left, right = getattr(one, field), getattr(other, field)
            assert left == (None if right is None else pytest.approx(right, abs=tolerance * 10))


def sample_constrained(directory: Path) -> list[Datum]:
    """Constrained completions of different lengths, one of them cut off by max_tokens."""
    engine = TorchEngine(directory, threads=1)
    generator = random.Random(4)
    data = []
    for group, max_tokens in enumerate((24, 5)):
        prompt = build_tokens(generator, 15 + 4 * group)
        job = SampleJob(prompt, 4, max_tokens, seed=group, constraint=REGEX)
        data += [
            build_datum(prompt, tuple(sequence.tokens), generator, REGEX)
            for sequence in engine.sample([job])[0].sequences
        ]
    return data


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-9), ("float32", 1e-5)])
@pytest.mark.parametrize("loss_fn", ["cross_entropy", "importance_sampling", "ppo"])
def test_packed_equals_separate(
    tiny_model_directory: Path, dtype: str, tolerance: float, loss_fn: LossFunction
) -> None:
    results = run_both(tiny_model_directory, dtype, build_groups(), loss_fn)
    assert_same(results, tolerance)
    packed, separate = results[0][0].metrics, results[1][0].metrics
    assert packed["tokens_unpacked:sum"] == separate["tokens_computed:sum"]
    assert packed["tokens_computed:sum"] < 0.5 * separate["tokens_computed:sum"]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-9), ("float32", 1e-5)])
def test_packed_critic_equals_separate(
    tiny_model_directory: Path, dtype: str, tolerance: float
) -> None:
    results = run_both(tiny_model_directory, dtype, build_groups(), "ppo_critic", "critic")
    assert_same(results, tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-9), ("float32", 1e-5)])
def test_packed_equals_separate_under_a_constraint(
    tiny_model_directory: Path, dtype: str, tolerance: float
) -> None:
    data = sample_constrained(tiny_model_directory)
    # One group holds a free datum too: masks belong to datums, not to rows.
    data.append(dataclasses.replace(data[0], constraint=None))
    assert_same(run_both(tiny_model_directory, dtype, data), tolerance)


def test_split_rows_equal_one_row(tiny_model_directory: Path) -> None:
    # 45 nodes a row cut every group into several rows that repeat its prompt.
    results = run_both(tiny_model_directory, "float64", build_groups(), budget=45)
    assert_same(results, 1e-9)


@pytest.mark.parametrize("query_limit", [1, 7, 64])
def test_blocks_of_any_size_agree(
    tiny_model_directory: Path, query_limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memory_r1_engine.attention.QUERY_LIMIT", query_limit)
    assert_same(run_both(tiny_model_directory, "float64", build_groups()), 1e-9)


@pytest.mark.parametrize("name", ["qwen2", "gpt-neox"])
def test_other_architectures(other_model_directories: dict[str, Path], name: str) -> None:
    directory = other_model_directories[name]
    assert TorchEngine(directory, threads=1).supports_packing
    assert_same(run_both(directory, "float64", build_groups()), 1e-9)


def test_windowed_attention_runs_separately(other_model_directories: dict[str, Path]) -> None:
    directory = other_model_directories["windowed"]
    assert not TorchEngine(directory, threads=1).supports_packing
    results = run_both(directory, "float64", build_groups())
    assert_same(results, 1e-9)
    metrics = results[0][0].metrics
    assert metrics["tokens_computed:sum"] == metrics["tokens_unpacked:sum"]


@pytest.mark.parametrize("role", ["policy", "critic"])
def test_gradient_equals_finite_differences(double_engine: TorchEngine, role: ModelRole) -> None:
    model_id = f"finite-{role}"
    create_random_model(double_engine, model_id, role, train_unembed=True)
    data = build_groups(1)[:5]
    loss_fn: LossFunction = "ppo_critic" if role == "critic" else "importance_sampling"
    double_engine.forward_backward(model_id, data, loss_fn)
    gradient = get_gradient(double_engine, model_id)
    flat = get_flat(double_engine, model_id)
    slots = double_engine._models[model_id].weights.layout.slots
    step = 1e-6
    # One element of every tensor of the first and last layer, of the head and of the value head.
    checked = [slot for slot in slots if "layers.1." not in slot.name]
    for slot in checked:
        index = slot.offset + slot.size // 3
        losses = []
        with torch.no_grad():
            for sign in (1, -2, 1):
                flat[index] += sign * step
                losses.append(double_engine.forward(model_id, data, loss_fn).metrics["loss:sum"])
        expected = (losses[0] - losses[1]) / (2 * step)
        assert float(gradient[index]) == pytest.approx(expected, rel=1e-4, abs=1e-6), slot.name


def test_full_alignment_equals_suffix(engine: TorchEngine) -> None:
    """Prompt positions with advantage 0 (no weights), or with weight 0, change nothing."""
    create_random_model(engine, "alignment")
    gradients = []
    for style in ("suffix", "full", "weights"):
        data = []
        for datum in build_groups(2):
            missing = len(datum.chunks[0]) - 1
            tokens = [token for chunk in datum.chunks for token in chunk]
            padding = (0.0,) * missing
            if style != "suffix":
                datum = Datum(
                    chunks=datum.chunks,
                    target_tokens=(*tokens[1 : missing + 1], *datum.target_tokens),
                    logprobs=padding + (datum.logprobs or ()),
                    advantages=padding + (datum.advantages or ()),
                    weights=None
                    if style == "full"
                    else padding + (1.0,) * len(datum.target_tokens),
                )
            data.append(datum)
        output = engine.forward_backward("alignment", data, "importance_sampling")
        gradient = get_gradient(engine, "alignment")
        gradients.append(gradient.clone())
        gradient.zero_()
        assert output.metrics["positions:sum"] == sum(
            len(datum.target_tokens) for datum in build_groups(2)
        )
        for datum, result in zip(data, output.outputs, strict=True):
            assert len(result.logprobs or []) == len(datum.target_tokens)
    assert torch.equal(gradients[0], gradients[1])
    assert torch.equal(gradients[0], gradients[2])


def test_zero_advantages_cost_no_backward_but_report(engine: TorchEngine) -> None:
    create_random_model(engine, "zero")
    (datum, *_) = build_groups()
    still = dataclasses.replace(datum, advantages=(0.0,) * len(datum.target_tokens))
    output = engine.forward_backward("zero", [still], "importance_sampling")
    assert output.metrics["loss:sum"] == 0
    assert all(value < 0 for value in output.outputs[0].logprobs or [])
    assert not get_gradient(engine, "zero").any()


def test_all_weights_zero_runs_nothing(engine: TorchEngine) -> None:
    create_random_model(engine, "weightless")
    (datum, *_) = build_groups()
    empty = dataclasses.replace(datum, weights=(0.0,) * len(datum.target_tokens))
    output = engine.forward_backward("weightless", [empty], "importance_sampling")
    assert output.outputs[0].logprobs == [0.0] * len(datum.target_tokens)
    assert output.metrics["positions:sum"] == 0


def test_outputs_equal_torch_distributions(double_engine: TorchEngine) -> None:
    """The reported entropy and log-probability against transformers' own logits."""
    create_random_model(double_engine, "entropy")
    (datum, *_) = build_groups()
    output = double_engine.forward("entropy", [datum], "importance_sampling").outputs[0]
    model = double_engine._model.model
    tokens = [token for chunk in datum.chunks for token in chunk]
    model.set_attn_implementation("eager")
    try:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([tokens])).logits[0]
    finally:
        model.set_attn_implementation("memory_r1_tree")
    distribution: Any = torch.distributions.Categorical(logits=logits[-len(datum.target_tokens) :])
    assert output.entropy == pytest.approx(distribution.entropy().tolist(), abs=1e-6)
    expected = distribution.log_prob(torch.tensor(datum.target_tokens)).tolist()
    assert output.logprobs == pytest.approx(expected, abs=1e-6)


def test_bfloat16_base_keeps_float32_adapters(tiny_model_directory: Path) -> None:
    engine = TorchEngine(tiny_model_directory, dtype="bfloat16", threads=1)
    create_random_model(engine, "m")
    assert get_flat(engine, "m").dtype == torch.float32
    exact = TorchEngine(tiny_model_directory, threads=1)
    create_random_model(exact, "m")
    data = build_groups()
    for one in (engine, exact):
        one.forward_backward("m", data, "cross_entropy")
    found, expected = get_gradient(engine, "m"), get_gradient(exact, "m")
    cosine = torch.nn.functional.cosine_similarity(found, expected, dim=0)
    assert float(cosine) > 0.99


PROMPT = (5, 6, 7)
GOOD = Datum((PROMPT, (8,)), (8, 9), logprobs=(-1.0, -1.0), advantages=(1.0, 1.0))


@pytest.mark.parametrize(
    ("datum", "message"),
    [
        (dataclasses.replace(GOOD, chunks=()), "model_input is empty"),
        (dataclasses.replace(GOOD, target_tokens=()), "target_tokens has 0"),
        (dataclasses.replace(GOOD, target_tokens=(1,) * 5), "expected 1 to 4"),
        (dataclasses.replace(GOOD, chunks=(PROMPT, (384,))), r"model_input\[3\] is token 384"),
        (dataclasses.replace(GOOD, target_tokens=(8, -1)), r"target_tokens\[1\] is token -1"),
        (dataclasses.replace(GOOD, logprobs=(-1.0,)), "logprobs has 1 elements"),
        (dataclasses.replace(GOOD, weights=(1.0,) * 3), "weights has 3 elements"),
        (dataclasses.replace(GOOD, advantages=None), "needs advantages"),
        (dataclasses.replace(GOOD, logprobs=(-1.0, float("-inf"))), r"logprobs\[1\] is -inf"),
        (dataclasses.replace(GOOD, chunks=((5,) * 600,)), "the model's context holds 512"),
        (dataclasses.replace(GOOD, constraint=REGEX), "not allowed by the constraint"),
        (
            dataclasses.replace(GOOD, target_tokens=(9, 9), constraint=REGEX),
            "must be the input's next tokens",
        ),
    ],
)
def test_bad_datums(engine: TorchEngine, datum: Datum, message: str) -> None:
    if not engine.has_model("bad"):
        create_random_model(engine, "bad")
    before = get_gradient(engine, "bad").clone()
    with pytest.raises(EngineError, match=message) as caught:
        engine.forward_backward("bad", [GOOD, datum], "importance_sampling")
    assert caught.value.status == 400
    assert "datum 1" in caught.value.detail
    assert torch.equal(get_gradient(engine, "bad"), before)


def test_bad_calls(engine: TorchEngine) -> None:
    engine.create_model("bad-calls", "critic", LoraConfig(rank=2, seed=0))
    with pytest.raises(EngineError, match="data is empty"):
        engine.forward("bad-calls", [], "ppo_critic")
    with pytest.raises(EngineError, match="role critic"):
        engine.forward("bad-calls", [GOOD], "ppo")
    with pytest.raises(EngineError, match="unknown model") as caught:
        engine.forward("nobody", [GOOD], "ppo")
    assert caught.value.status == 404
