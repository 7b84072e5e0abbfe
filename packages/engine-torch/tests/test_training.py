"""Packed rows against separate rows, gradients against finite differences, and refused input."""

from __future__ import annotations

import dataclasses
import math
import random
from pathlib import Path
from typing import Any, Literal

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
from memory_r1_engine.training import select_nodes
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
    config: dict[str, float] | None = None,
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
        output = engine.forward_backward("m", data, loss_fn, config)
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


TERMS: dict[str, float] = {
    "kl_coefficient": 0.3,
    "kl_estimator": 3,
    "kl_clamp": 10,
    "entropy_coefficient": 0.05,
    "log_ratio_clamp": 20,
}
WIDE: dict[str, float] = {"clip_low_threshold": 0.5, "clip_high_threshold": 2.0}
LOSSES: list[tuple[LossFunction, dict[str, float]]] = [
    ("cross_entropy", {}),
    ("importance_sampling", {}),
    ("ppo", {}),
    ("cispo", {}),
    ("gspo", WIDE),
    ("importance_sampling", TERMS),
    ("ppo", TERMS | {"dual_clip": 1.5}),
    ("gspo", WIDE | TERMS),
]


def name_loss(value: object) -> str | None:
    return None if isinstance(value, str) else "terms" if value and "kl_clamp" in str(value) else ""


def weigh(data: list[Datum], *, constant: bool = False) -> list[Datum]:
    """Weights as an aggregation would give them; with `constant`, one advantage for all of a datum, too."""
    weighted = []
    for index, datum in enumerate(data):
        size = len(datum.target_tokens)
        weighted.append(
            dataclasses.replace(
                datum,
                weights=(1 / (2 + index % 3),) * size,
                advantages=(1.5 * (-1) ** index,) * size if constant else datum.advantages,
            )
        )
    return weighted


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-9), ("float32", 1e-5)])
@pytest.mark.parametrize(("loss_fn", "config"), LOSSES, ids=name_loss)
def test_packed_equals_separate(
    tiny_model_directory: Path,
    dtype: str,
    tolerance: float,
    loss_fn: LossFunction,
    config: dict[str, float],
) -> None:
    data = weigh(build_groups()) if config else build_groups()
    results = run_both(tiny_model_directory, dtype, data, loss_fn, config=config)
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


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-13), ("float32", 1e-6)])
@pytest.mark.parametrize(("loss_fn", "config"), [*LOSSES, ("ppo_critic", {})], ids=name_loss)
def test_result_does_not_depend_on_the_size_of_calls(
    tiny_model_directory: Path,
    dtype: Literal["float64", "float32"],
    tolerance: float,
    loss_fn: LossFunction,
    config: dict[str, float],
) -> None:
    """Gradients of a mean over tokens accumulate to the same from calls of 1, 2, 8 and all datums.

    No element differs by more than the tolerance times the gradient's norm: as after clipping to norm 1.
    """
    engine = TorchEngine(tiny_model_directory, dtype=dtype, threads=1)
    role: ModelRole = "critic" if loss_fn == "ppo_critic" else "policy"
    create_random_model(engine, "m", role, train_unembed=role == "policy")
    data = build_groups()
    tokens = sum(len(datum.target_tokens) for datum in data)
    data = [
        dataclasses.replace(datum, weights=(1 / tokens,) * len(datum.target_tokens))
        for datum in data
    ]
    gradients: list[torch.Tensor] = []
    losses: list[float] = []
    for size in (len(data), 1, 2, 8):
        loss = 0.0
        for start in range(0, len(data), size):
            output = engine.forward_backward("m", data[start : start + size], loss_fn, config)
            loss += output.metrics["loss:sum"]
        gradient = get_gradient(engine, "m")
        gradients.append(gradient.clone())
        losses.append(loss)
        gradient.zero_()
    assert float(gradients[0].abs().max()) > 1e-3
    for gradient, loss in zip(gradients[1:], losses[1:], strict=True):
        difference = float((gradient - gradients[0]).abs().max())
        assert difference <= tolerance * float(gradients[0].norm())
        assert loss == pytest.approx(losses[0], rel=0, abs=tolerance)


@pytest.mark.parametrize("constrained", [False, True])
def test_gspo_takes_whole_sequences(
    tiny_model_directory: Path, monkeypatch: pytest.MonkeyPatch, constrained: bool
) -> None:
    """Its loss from the log-probabilities it reports, and the same result when chunks of the head cut sequences."""
    data = sample_constrained(tiny_model_directory) if constrained else build_groups()
    data = weigh(data, constant=True)
    results = run_both(tiny_model_directory, "float64", data, "gspo", config=WIDE)
    assert_same(results, 1e-9)
    # Two rows of logits at a time.
    monkeypatch.setattr("memory_r1_engine.training.HEAD_BYTES", 2 * 384 * 8)
    pieces = run_both(tiny_model_directory, "float64", data, "gspo", config=WIDE)
    assert_same([pieces[0], results[0]], 1e-12)
    expected = 0.0
    for datum, output in zip(data, results[0][0].outputs, strict=True):
        now, before = output.logprobs or [], datum.logprobs or ()
        ratio = math.exp(sum(a - b for a, b in zip(now, before, strict=True)) / len(now))
        (advantage,) = set(datum.advantages or ())
        objective = min(ratio * advantage, min(max(ratio, 0.5), 2.0) * advantage)
        expected -= objective * sum(datum.weights or ())
    assert results[0][0].metrics["loss:sum"] == pytest.approx(expected, rel=1e-9)


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


FIXED: dict[str, float] = {"clip_low_threshold": 1.1, "clip_high_threshold": 1.1}
"""A ratio that the clip holds everywhere: otherwise cispo's gradient is, on purpose, not that of its value."""


@pytest.mark.parametrize(
    ("loss_fn", "config"),
    [
        *((loss_fn, config) for loss_fn, config in LOSSES if loss_fn != "cispo"),
        ("cispo", FIXED),
        ("cispo", FIXED | TERMS),
        ("importance_sampling", TERMS | {"kl_estimator": 1}),
        ("importance_sampling", TERMS | {"kl_estimator": 2, "kl_clamp": 0}),
        ("importance_sampling", TERMS | {"kl_estimator": 4}),
        ("ppo_critic", {}),
    ],
    ids=name_loss,
)
def test_gradient_equals_finite_differences(
    double_engine: TorchEngine, loss_fn: LossFunction, config: dict[str, float]
) -> None:
    role: ModelRole = "critic" if loss_fn == "ppo_critic" else "policy"
    model_id = f"finite-{role}"
    if not double_engine.has_model(model_id):
        create_random_model(double_engine, model_id, role, train_unembed=True)
    # The gradient of gspo is that of its value where a datum's advantages and weights are equal.
    data = weigh(build_groups(1)[:5], constant=loss_fn == "gspo")
    get_gradient(double_engine, model_id).zero_()
    double_engine.forward_backward(model_id, data, loss_fn, config)
    gradient = get_gradient(double_engine, model_id)
    flat = get_flat(double_engine, model_id)
    slots = double_engine._models[model_id].weights.layout.slots
    step = 1e-6
    # One element of every third tensor of the first and last layer, and of the head and the value head.
    checked = [slot for slot in slots if "layers.1." not in slot.name]
    checked = [*checked[:-2:3], *checked[-2:]]
    for slot in checked:
        index = slot.offset + slot.size // 3
        losses = []
        with torch.no_grad():
            for sign in (1, -2, 1):
                flat[index] += sign * step
                output = double_engine.forward(model_id, data, loss_fn, config)
                losses.append(output.metrics["loss:sum"])
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


def test_reference_is_needed_where_it_is_used(engine: TorchEngine) -> None:
    engine.create_model("no-reference", "policy", LoraConfig(rank=2, seed=0))
    with pytest.raises(EngineError, match="needs ref_logprobs"):
        engine.forward("no-reference", [GOOD], "ppo", {"kl_coefficient": 0.1})
    short = dataclasses.replace(GOOD, ref_logprobs=(-1.0,))
    with pytest.raises(EngineError, match="ref_logprobs has 1 elements"):
        engine.forward("no-reference", [short], "ppo", {"kl_coefficient": 0.1})
    engine.forward("no-reference", [GOOD], "ppo", {"kl_coefficient": 0.0})


def test_bad_calls(engine: TorchEngine) -> None:
    engine.create_model("bad-calls", "critic", LoraConfig(rank=2, seed=0))
    with pytest.raises(EngineError, match="data is empty"):
        engine.forward("bad-calls", [], "ppo_critic")
    with pytest.raises(EngineError, match="role critic"):
        engine.forward("bad-calls", [GOOD], "ppo")
    with pytest.raises(EngineError, match="unknown model") as caught:
        engine.forward("nobody", [GOOD], "ppo")
    assert caught.value.status == 404


def test_gradients_of_repeated_nodes_are_the_same_every_time() -> None:
    """Large enough for two threads, with a repeated node where their shares meet."""
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(172, 576, generator=generator)
    nodes = [*range(34, 61), *[33] * 6, *range(61, 88)]
    weights = torch.randn(len(nodes), 576, generator=generator)

    def compute_gradient() -> torch.Tensor:
        leaf = hidden.clone().requires_grad_()
        (select_nodes(leaf, nodes) * weights).sum().backward()
        assert leaf.grad is not None
        return leaf.grad

    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        first = compute_gradient()
        assert all(torch.equal(first, compute_gradient()) for _ in range(500))
    finally:
        torch.set_num_threads(threads)
    expected = torch.zeros_like(hidden)
    for row, node in enumerate(nodes):
        expected[node] += weights[row]
    torch.testing.assert_close(first, expected)
