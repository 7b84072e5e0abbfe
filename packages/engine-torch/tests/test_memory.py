"""Rows of every size give the same gradient; memory is bounded, reported, and its lack is survived once."""

from __future__ import annotations

import dataclasses
import logging
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from helpers import build_datum, build_groups, build_tokens, create_random_model, get_gradient
from memory_r1_engine.core import TorchEngine
from memory_r1_engine.memory import (
    RowCosts,
    TrainingLimits,
    is_out_of_memory,
    plan_budget,
    read_peak_resident,
)
from memory_r1_engine.training import HEAD_BYTES
from memory_r1_engine.types import (
    DEFAULT_ROW_TOKENS,
    AdamParams,
    Datum,
    EngineError,
    ForwardBackwardOutput,
    ModelRole,
    SampleJob,
)

ADAM = AdamParams(learning_rate=1e-2)

LENGTH = 18
"""Tokens of each sequence of `build_strangers`: 12 of the prompt and 6 of the completion."""


def build_strangers(count: int = 16) -> list[Datum]:
    """Datums that share nothing, all of the same length, so that a row's budget is a number of datums."""
    generator = random.Random(11)
    data = []
    for index in range(count):
        prompt = (3 + index, *build_tokens(generator, 11))
        data.append(build_datum(prompt, build_tokens(generator, 7), generator))
    return data


def run(
    engine: TorchEngine, data: list[Datum], role: ModelRole = "policy", model_id: str = "m"
) -> tuple[ForwardBackwardOutput, torch.Tensor]:
    if not engine.has_model(model_id):
        create_random_model(engine, model_id, role)
    gradient = get_gradient(engine, model_id)
    gradient.zero_()
    output = engine.forward_backward(model_id, data, "ppo_critic" if role == "critic" else "ppo")
    return output, gradient.clone()


@pytest.mark.parametrize("role", ["policy", "critic"])
def test_gradients_do_not_depend_on_the_micro_batch(
    tiny_model_directory: Path, role: ModelRole
) -> None:
    """1, 2, 8 and all 16 datums a row: float32 gradients equal to 1e-6 of the largest, losses and outputs too."""
    data = build_strangers()
    results = []
    for datums in (1, 2, 8, 16):
        engine = TorchEngine(tiny_model_directory, threads=1, row_token_budget=datums * LENGTH)
        output, gradient = run(engine, data, role)
        assert output.metrics["rows:sum"] == 16 / datums
        assert output.metrics["row_tokens:max"] == datums * LENGTH
        assert output.metrics["tokens_computed:sum"] == 16 * LENGTH
        results.append((output, gradient))
    (first, expected), *others = results
    scale = float(expected.abs().max())
    assert scale > 1e-2
    for output, gradient in others:
        assert float((gradient - expected).abs().max()) <= 1e-6 * scale
        assert output.metrics["loss:sum"] == pytest.approx(first.metrics["loss:sum"], rel=1e-6)
        for one, other in zip(output.outputs, first.outputs, strict=True):
            for field in ("logprobs", "entropy", "values"):
                left, right = getattr(one, field), getattr(other, field)
                assert left == (None if right is None else pytest.approx(right, abs=1e-5))


def test_gradients_do_not_depend_on_the_order(engine: TorchEngine) -> None:
    data = build_groups()
    _, gradient = run(engine, data, model_id="order")
    _, turned = run(engine, data[::-1], model_id="order")
    # Rows are sorted: the order of the datums is not even a matter of rounding.
    assert torch.equal(gradient, turned)


@pytest.mark.parametrize("name", ["qwen2", "gpt-neox", "windowed", "llama"])
def test_checkpointing_changes_no_bit(
    tiny_model_directory: Path, other_model_directories: dict[str, Path], name: str
) -> None:
    directory = other_model_directories.get(name, tiny_model_directory)
    results = []
    kept = []
    for mode in ("off", "on"):
        engine = TorchEngine(directory, threads=1, gradient_checkpointing=mode)
        create_random_model(engine, "m")
        sizes: dict[int, int] = {}

        def count(tensor: torch.Tensor, sizes: dict[int, int] = sizes) -> torch.Tensor:
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            output, gradient = run(engine, build_groups())
        rows = output.metrics["rows:sum"]
        assert output.metrics["checkpointed_rows:sum"] == (rows if mode == "on" else 0)
        results.append((output.outputs, gradient))
        kept.append(sum(sizes.values()))
    assert results[0][0] == results[1][0]
    assert torch.equal(results[0][1], results[1][1])
    assert kept[1] < kept[0]


def test_memory_is_bounded_by_the_setting(tiny_model_directory: Path) -> None:
    free = TorchEngine(tiny_model_directory, threads=1)
    whole, gradient = run(free, build_strangers())
    assert whole.metrics["rows:sum"] == 1
    costs = free._model.measure_row_costs(free._models["m"].weights, HEAD_BYTES)
    estimated = int(whole.metrics["memory_estimated_bytes:max"])
    assert estimated == costs.estimate(16 * LENGTH, backward=True, checkpointed=False)
    # The largest of 16 datums no longer fits beside the others: 15 and 1.
    tight = TorchEngine(tiny_model_directory, threads=1, training_memory_bytes=estimated - 1)
    output, bounded = run(tight, build_strangers())
    assert output.metrics["rows:sum"] == 2
    assert output.metrics["memory_estimated_bytes:max"] < estimated
    assert float((bounded - gradient).abs().max()) <= 1e-6 * float(gradient.abs().max())
    assert tight.training_settings == {
        "micro_batch_tokens": DEFAULT_ROW_TOKENS,
        "memory_bytes": estimated - 1,
        "gradient_checkpointing": "auto",
        "attention": "blocks",
    }


def test_a_sequence_that_does_not_fit_is_checkpointed_then_refused(
    tiny_model_directory: Path,
) -> None:
    generator = random.Random(2)
    long = build_datum(build_tokens(generator, 300), build_tokens(generator, 4), generator)
    short = build_strangers(2)
    probe = TorchEngine(tiny_model_directory, threads=1)
    create_random_model(probe, "m")
    costs = probe._model.measure_row_costs(probe._models["m"].weights, HEAD_BYTES)
    plain = costs.estimate(303, backward=True, checkpointed=False)
    small = costs.estimate(303, backward=True, checkpointed=True)
    assert small < plain

    engine = TorchEngine(tiny_model_directory, threads=1, training_memory_bytes=small)
    output, gradient = run(engine, [*short, long])
    assert output.metrics["checkpointed_rows:sum"] == 1
    assert output.metrics["memory_estimated_bytes:max"] == small
    _, expected = run(probe, [*short, long])
    assert float((gradient - expected).abs().max()) <= 1e-6 * float(expected.abs().max())

    for bound, mode, remedy in (
        (small - 1, "auto", "raise --training-memory-gib"),
        (small, "off", "set --gradient-checkpointing auto"),
    ):
        engine = TorchEngine(
            tiny_model_directory,
            threads=1,
            training_memory_bytes=bound,
            gradient_checkpointing=mode,  # type: ignore[arg-type]  # a mode
        )
        create_random_model(engine, "m")
        with pytest.raises(EngineError, match="datum 2: 303 tokens need about") as caught:
            engine.forward_backward("m", [*short, long], "ppo")
        assert caught.value.status == 400
        assert remedy in caught.value.detail
        assert not get_gradient(engine, "m").any()


def fail_above(
    engine: TorchEngine, monkeypatch: pytest.MonkeyPatch, limit: int, error: Exception
) -> list[tuple[int, bool]]:
    """Rows of more than `limit` tokens run out of memory halfway: in the head, after a part of the gradient."""
    seen: list[tuple[int, bool]] = []
    original = engine._model.run_row

    def run_row(row: Any, *, checkpointing: bool = False) -> torch.Tensor:
        seen.append((len(row.tokens), checkpointing))
        if len(row.tokens) > limit:
            get_gradient(engine, "m").add_(1.0)
            raise error
        return original(row, checkpointing=checkpointing)

    monkeypatch.setattr(engine._model, "run_row", run_row)
    return seen


ALLOCATOR = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes")


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError(), ALLOCATOR]
)
def test_out_of_memory_is_halved_and_tried_once_more(
    tiny_model_directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    engine = TorchEngine(tiny_model_directory, threads=1)
    _, expected = run(engine, build_strangers())
    before, _ = run(engine, build_strangers(3))
    get_gradient(engine, "m").copy_(expected)
    seen = fail_above(engine, monkeypatch, 16 * LENGTH - 1, error)
    with caplog.at_level(logging.WARNING):
        output = engine.forward_backward("m", build_strangers(), "ppo")
    assert seen == [(288, False), (144, True), (144, True)]
    assert output.metrics["out_of_memory_retries:sum"] == 1
    assert "out of memory with 288 tokens a row: trying 144" in caplog.text
    assert before.metrics["out_of_memory_retries:sum"] == 0
    # Twice the gradient: what had accumulated before, and this call's, and nothing of the failed try.
    difference = get_gradient(engine, "m") - 2 * expected
    assert float(difference.abs().max()) <= 2e-6 * float(expected.abs().max())
    # The next call begins with whole rows again: a result is no matter of what happened before it.
    seen.clear()
    engine.forward("m", build_strangers(3), "ppo")
    assert seen == [(3 * LENGTH, False)]


def test_out_of_memory_twice_is_an_error_that_names_the_settings(
    tiny_model_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = TorchEngine(tiny_model_directory, threads=1, training_memory_bytes=2**30)
    _, expected = run(engine, build_strangers(2))
    seen = fail_above(engine, monkeypatch, 20, torch.OutOfMemoryError("CUDA out of memory"))
    with pytest.raises(EngineError) as caught:
        engine.forward_backward("m", build_strangers(), "ppo")
    assert caught.value.status == 507
    assert caught.value.detail == (
        "out of memory, also with rows of 144 tokens (OutOfMemoryError: CUDA out of memory): nothing was accumulated "
        "and the weights are unchanged; "
        f"lower --micro-batch-tokens (now {DEFAULT_ROW_TOKENS}), set --training-memory-gib (now 1), "
        "or send shorter sequences"
    )
    assert [tokens for tokens, _ in seen] == [288, 144]
    assert torch.equal(get_gradient(engine, "m"), expected)
    # A batch that fits still runs.
    engine.forward_backward("m", build_strangers(1), "ppo")


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_budgets_by_hand() -> None:
    costs = RowCosts(fixed=100, forward=1, plain=10, checkpointed=4)
    limits = TrainingLimits(row_tokens=50, memory_bytes=400)
    # (400 - 100) / 10 = 30 tokens plain, / 4 = 75 checkpointed, / 1 = 300 without a backward pass.
    assert plan_budget(limits, costs, backward=True).row_tokens == 30
    assert plan_budget(limits, costs, backward=False).row_tokens == 50
    budget = plan_budget(limits, costs, backward=True)
    assert [budget.is_checkpointed(tokens) for tokens in (30, 31)] == [False, True]
    assert [budget.estimate(tokens) for tokens in (30, 31, 75)] == [400, 224, 400]
    budget.check_sequence(75, "datum 0")
    with pytest.raises(EngineError, match="datum 0: 76 tokens"):
        budget.check_sequence(76, "datum 0")
    on = plan_budget(dataclasses.replace(limits, checkpointing="on"), costs, backward=True)
    assert on.row_tokens == 50
    tiny = plan_budget(dataclasses.replace(limits, memory_bytes=99), costs, backward=True)
    assert tiny.row_tokens == 1
    assert limits.halve(31) == TrainingLimits(15, 400, "on")
    assert limits.halve(1).row_tokens == 1


def test_the_peak_is_the_process_s_own() -> None:
    peak = read_peak_resident()
    assert peak is not None
    # Python with torch: more than 50 MB, and not in kilobytes.
    assert 50 * 2**20 < peak < 64 * 2**30


def test_no_call_reads_or_moves_torch_s_random_state(engine: TorchEngine) -> None:
    """All that is random has a seed of its own, so a checkpoint needs no random state to be whole."""
    results = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        output, gradient = run(engine, build_groups(), model_id=f"random-{seed}")
        engine.optim_step(f"random-{seed}", ADAM)
        job = SampleJob(
            (9, 20, 31), 3, 6, seed=4, snapshot=engine.create_snapshot(f"random-{seed}")
        )
        results.append((output.outputs, gradient.tolist(), engine.sample([job])))
        assert torch.equal(before, torch.get_rng_state())
    assert results[0] == results[1]
