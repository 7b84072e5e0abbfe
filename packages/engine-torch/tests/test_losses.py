"""Losses against verl's and TRL's own outputs (shared/golden) and hand calculation."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from memory_r1_engine.losses import (
    LossInputs,
    compute_kl,
    compute_token_losses,
    count_clipped,
    resolve_loss_config,
)
from memory_r1_engine.types import EngineError, LossFunction

GOLDEN = Path(__file__).parents[4] / "shared" / "golden" / "rl" / "advantages_and_losses.json"
needs_golden = pytest.mark.skipif(
    not GOLDEN.exists(), reason="golden files are missing: ../shared/golden beside the repository"
)


DTYPES = [(torch.float64, 1e-9), (torch.float32, 2e-6)]
"""What the golden values are compared in, and how close they must be, relative to the value or to 1."""

VERL_EPSILON = 1e-8
"""verl adds it to a sequence's length where it takes a mean over tokens."""


def as_double(values: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def build_inputs(size: int, dtype: torch.dtype = torch.float64, **given: Any) -> LossInputs:
    def get(name: str, default: float) -> torch.Tensor:
        return torch.tensor(given.get(name, [default] * size), dtype=dtype)

    return LossInputs(
        weights=get("weights", 1.0),
        old_logprobs=get("old_logprobs", 0.0),
        advantages=get("advantages", 0.0),
        old_values=get("old_values", 0.0),
        returns=get("returns", 0.0),
        ref_logprobs=get("ref_logprobs", 0.0),
        sequence_log_ratios=get("sequence_log_ratios", 0.0),
    )


class Golden:
    """The golden file's batch, flat over its rows, and its cases."""

    def __init__(self) -> None:
        self.cases: dict[str, Any] = json.loads(GOLDEN.read_text(encoding="utf-8"))["cases"]
        self.mask = as_double(self.cases["inputs"]["mask"])
        self.lengths = self.mask.sum(1)

    def flatten(self, name: str) -> list[float]:
        rows: list[list[float]] = self.cases["inputs"][name]
        return [value for row in rows for value in row]

    def spread(self, name: str) -> list[float]:
        """One value per row, repeated over its tokens."""
        return [value for value in self.cases["inputs"][name] for _ in range(self.mask.shape[1])]

    def compute(
        self,
        loss_fn: LossFunction,
        config: dict[str, float],
        advantages: list[float],
        dtype: torch.dtype,
        old_logprobs: str = "old_log_prob",
    ) -> torch.Tensor:
        """Token losses, rows x tokens; masked ones are 0."""
        settings = resolve_loss_config(loss_fn, config)
        inputs = self.build(advantages, dtype, old_logprobs)
        predictions = torch.tensor(self.flatten("log_prob"), dtype=dtype)
        return compute_token_losses(loss_fn, settings, predictions, inputs).view(self.mask.shape)

    def build(
        self, advantages: list[float], dtype: torch.dtype, old_logprobs: str = "old_log_prob"
    ) -> LossInputs:
        differences = as_double(self.flatten("log_prob")) - as_double(self.flatten(old_logprobs))
        means = (differences.view(self.mask.shape) * self.mask).sum(1) / self.lengths
        return build_inputs(
            self.mask.numel(),
            dtype,
            weights=self.flatten("mask"),
            old_logprobs=self.flatten(old_logprobs),
            advantages=advantages,
            ref_logprobs=self.flatten("ref_log_prob"),
            sequence_log_ratios=means.repeat_interleave(self.mask.shape[1]).tolist(),
        )


@pytest.fixture(scope="module")
def golden() -> Golden:
    return Golden()


@needs_golden
@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
def test_policy_losses_equal_trl(golden: Golden, dtype: torch.dtype, tolerance: float) -> None:
    def check(key: str, losses: torch.Tensor) -> None:
        token_sum = losses.double().sum()
        found = {
            "grpo": float((losses.double().sum(1) / golden.lengths).mean()),
            "bnpo": float(token_sum / golden.lengths.sum()),
            "dapo": float(token_sum / golden.lengths.sum()),
            "dr_grpo": float(token_sum / golden.mask.numel()),
        }[key.split("/")[2]]
        assert found == pytest.approx(golden.cases[key]["loss"], rel=tolerance, abs=tolerance)

    advantages = golden.spread("trl_advantages")
    clip = {"clip_low_threshold": 0.8, "clip_high_threshold": 1.2}
    for kind in ("grpo", "bnpo", "dapo", "dr_grpo"):
        check(f"trl/loss/{kind}/token/beta=0.0", golden.compute("ppo", clip, advantages, dtype))
        check(f"trl/loss/{kind}/sequence/beta=0.0", golden.compute("gspo", clip, advantages, dtype))
    wide = {"clip_high_threshold": 1.28, "dual_clip": 4.0}
    check("trl/loss/dapo/hi=.28/delta=4", golden.compute("ppo", wide, advantages, dtype))
    for loss_fn in ("ppo", "importance_sampling"):
        check("trl/loss/dapo/onpolicy", golden.compute(loss_fn, {}, advantages, dtype, "log_prob"))


@needs_golden
@pytest.mark.parametrize("level", ["token", "sequence"])
def test_clipped_counts_equal_trl(golden: Golden, level: str) -> None:
    loss_fn: LossFunction = "ppo" if level == "token" else "gspo"
    config = resolve_loss_config(loss_fn, {"clip_low_threshold": 0.8, "clip_high_threshold": 1.2})
    predictions = as_double(golden.flatten("log_prob"))
    inputs = golden.build(golden.spread("trl_advantages"), torch.float64)
    count = count_clipped(loss_fn, config, predictions, inputs)
    share = golden.cases[f"trl/loss/grpo/{level}/beta=0.0"]["metrics"]["clip_ratio/region_mean"]
    if level == "token":
        assert count == round(share * float(golden.mask.sum()))
    else:
        # TRL counts sequences; here every token of one counts.
        ratios = inputs.sequence_log_ratios.view(golden.mask.shape)[:, 0].exp()
        signs = as_double(golden.cases["inputs"]["trl_advantages"])
        held = ((ratios > 1.2) & (signs > 0)) | ((ratios < 0.8) & (signs < 0))
        assert int(held.sum()) == round(share * len(ratios))
        assert count == int(golden.lengths[held].sum())


@needs_golden
@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
def test_ppo_with_dual_clip_equals_verl(
    golden: Golden, dtype: torch.dtype, tolerance: float
) -> None:
    config = {"dual_clip": 3.0, "log_ratio_clamp": 20.0}
    losses = golden.compute("ppo", config, golden.flatten("advantages"), dtype).double()
    rows = losses.sum(1)
    found = {
        "token-mean": losses.sum() / golden.lengths.sum(),
        "seq-mean-token-mean": (rows / (golden.lengths + VERL_EPSILON)).mean(),
        "seq-mean-token-sum": rows.mean(),
        "seq-mean-token-sum-norm": rows.sum() / golden.mask.shape[1],
    }
    for mode, loss in found.items():
        expected = golden.cases[f"verl/vanilla/lo=0.2/hi=0.2/c=3/{mode}"]["loss"]
        assert float(loss) == pytest.approx(expected, rel=tolerance, abs=tolerance)


@needs_golden
@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
def test_kl_equals_verl(golden: Golden, dtype: torch.dtype, tolerance: float) -> None:
    difference = as_double(golden.flatten("log_prob")) - as_double(golden.flatten("ref_log_prob"))
    names = {"k1": 1, "kl": 1, "k2": 2, "mse": 2, "k3": 3, "low_var_kl": 3, "abs": 4}
    for name, estimator in names.items():
        found = compute_kl(difference.to(dtype), estimator, 10.0 if estimator == 3 else 0.0)
        expected = [value for row in golden.cases[f"verl/kl/{name}"]["kl"] for value in row]
        assert found.tolist() == pytest.approx(expected, rel=tolerance, abs=tolerance)


@needs_golden
@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("value_clip", [0.2, 0.5])
def test_ppo_critic_equals_verl(
    golden: Golden, value_clip: float, dtype: torch.dtype, tolerance: float
) -> None:
    inputs = build_inputs(
        golden.mask.numel(),
        dtype,
        weights=golden.flatten("mask"),
        old_values=golden.flatten("values"),
        returns=golden.flatten("returns"),
    )
    values = torch.tensor(golden.flatten("vpreds"), dtype=dtype)
    losses = compute_token_losses("ppo_critic", {"value_clip": value_clip}, values, inputs)
    expected = golden.cases[f"verl/value_loss/c={value_clip}"]["vf_loss"]
    found = float(losses.double().sum() / golden.mask.sum())
    assert found == pytest.approx(expected, rel=tolerance, abs=tolerance)


def test_cross_entropy_by_hand() -> None:
    inputs = build_inputs(3, weights=[1.0, 0.0, 0.5])
    losses = compute_token_losses("cross_entropy", {}, as_double([-1.0, -2.0, -3.0]), inputs)
    assert losses.tolist() == [1.0, 0.0, 1.5]


def test_importance_sampling_by_hand() -> None:
    inputs = build_inputs(
        3, weights=[1.0, 1.0, 0.0], old_logprobs=[-1.0, -2.0, 0.0], advantages=[2.0, -1.0, 9.0]
    )
    config = resolve_loss_config("importance_sampling", None)
    predictions = as_double([-1.0, -1.0, 0.0])
    losses = compute_token_losses("importance_sampling", config, predictions, inputs)
    # ratios 1 and e
    assert losses.tolist() == pytest.approx([-2.0, 2.718281828459045, 0.0])


def test_ppo_takes_the_smaller_objective_on_both_sides() -> None:
    # ratios 1.5 and 0.5, either sign of the advantage; thresholds 0.8 and 1.2:
    # min(1.5, 1.2), min(-1.5, -1.2), min(0.5, 0.8), min(-0.5, -0.8)
    predictions = as_double([1.5, 1.5, 0.5, 0.5]).log()
    inputs = build_inputs(4, advantages=[1.0, -1.0, 1.0, -1.0])
    config = resolve_loss_config("ppo", None)
    losses = compute_token_losses("ppo", config, predictions, inputs)
    assert losses.tolist() == pytest.approx([-1.2, 1.5, -0.5, 0.8])
    assert count_clipped("ppo", config, predictions, inputs) == 2
    wide = resolve_loss_config("ppo", {"clip_high_threshold": 1.4})
    assert float(compute_token_losses("ppo", wide, predictions, inputs)[0]) == pytest.approx(-1.4)


def test_dual_clip_bounds_negative_advantages_alone() -> None:
    # ratio 5: -min(-5, -1.2) = 5 is held at 3; with a positive advantage the first clip is all.
    predictions = as_double([5.0, 5.0, 2.0]).log()
    inputs = build_inputs(3, advantages=[-1.0, 1.0, -1.0])
    config = resolve_loss_config("ppo", {"dual_clip": 3.0})
    losses = compute_token_losses("ppo", config, predictions, inputs)
    assert losses.tolist() == pytest.approx([3.0, -1.2, 2.0])


def test_terms_add_up_by_hand() -> None:
    # d = 0.5: k2 0.125. 0.1 * (-2 + 4 * 0.125 - 0.5 * 3), as in packages/trainers/src/policy-loss.test.ts.
    inputs = build_inputs(
        1, weights=[0.1], old_logprobs=[-1.0], advantages=[2.0], ref_logprobs=[-1.5]
    )
    config = resolve_loss_config(
        "importance_sampling",
        {"kl_coefficient": 4.0, "kl_estimator": 2.0, "entropy_coefficient": 0.5},
    )
    losses = compute_token_losses(
        "importance_sampling", config, as_double([-1.0]), inputs, as_double([3.0])
    )
    assert losses.tolist() == pytest.approx([-0.3])


def test_terms_that_are_off_change_no_bit() -> None:
    predictions = torch.randn(50, generator=torch.Generator().manual_seed(1)) - 3
    inputs = build_inputs(
        50,
        torch.float32,
        old_logprobs=(predictions + 0.3).tolist(),
        advantages=predictions.sin().tolist(),
    )
    ratio = torch.exp(predictions - inputs.old_logprobs)
    for loss_fn in ("importance_sampling", "ppo"):
        config = resolve_loss_config(loss_fn, {"kl_estimator": 2.0, "kl_clamp": 5.0})
        expected = -ratio * inputs.advantages
        if loss_fn == "ppo":
            clipped = ratio.clamp(0.8, 1.2) * inputs.advantages
            expected = -torch.minimum(ratio * inputs.advantages, clipped)
        found = compute_token_losses(loss_fn, config, predictions, inputs)
        assert torch.equal(found, expected)


def test_cispo_keeps_the_gradient_of_clipped_tokens() -> None:
    # Ratio e^0.5 held at 1.2: loss -1.2 * 2 * -0.5, slope -1.2 * 2; ratio 1: loss -(-3) * -1, slope 3.
    predictions = as_double([-0.5, -1.0]).requires_grad_()
    inputs = build_inputs(2, old_logprobs=[-1.0, -1.0], advantages=[2.0, -3.0])
    config = resolve_loss_config("cispo", None)
    losses = compute_token_losses("cispo", config, predictions, inputs)
    losses.sum().backward()
    assert losses.tolist() == pytest.approx([1.2, -3.0])
    assert predictions.grad is not None
    assert predictions.grad.tolist() == pytest.approx([-2.4, 3.0])
    assert count_clipped("cispo", config, predictions.detach(), inputs) == 1


def test_kl_clamps_end_the_gradient_and_never_make_nan() -> None:
    # d = -3: e^3 - 4 = 16.08 is held at 10; d = -800 would be infinite.
    difference = torch.tensor([-3.0, -800.0, 800.0, 0.5]).requires_grad_()
    kl = compute_kl(difference, 3, 10.0)
    kl.sum().backward()
    assert kl.tolist() == pytest.approx([10.0, 10.0, 10.0, math.exp(-0.5) - 0.5])
    assert difference.grad is not None
    assert difference.grad.tolist() == pytest.approx([0.0, 0.0, 0.0, 1 - math.exp(-0.5)])
    assert compute_kl(as_double([-4.0]), 1, 2.0).tolist() == [-2.0]


def test_log_ratio_clamp_ends_the_gradient() -> None:
    predictions = as_double([30.0, -1.0]).requires_grad_()
    inputs = build_inputs(2, old_logprobs=[0.0, -1.0], advantages=[-1.0, -1.0])
    config = resolve_loss_config("importance_sampling", {"log_ratio_clamp": 20.0})
    losses = compute_token_losses("importance_sampling", config, predictions, inputs)
    losses.sum().backward()
    assert losses.tolist() == pytest.approx([math.exp(20.0), 1.0])
    assert predictions.grad is not None
    assert predictions.grad.tolist() == [0.0, 1.0]


def test_ppo_critic_takes_the_larger_error() -> None:
    # v = 1, old = 0, clip 0.2 -> clipped 0.2. Return 0: max(1, 0.04); return 1: max(0, 0.64).
    inputs = build_inputs(2, returns=[0.0, 1.0])
    losses = compute_token_losses("ppo_critic", {"value_clip": 0.2}, as_double([1.0, 1.0]), inputs)
    assert losses.tolist() == pytest.approx([0.5, 0.32])


@pytest.mark.parametrize(
    ("loss_fn", "config", "message"),
    [
        ("ppo", {"clip": 0.2}, "no setting 'clip'"),
        ("cross_entropy", {"value_clip": 0.2}, "allowed are none"),
        ("ppo", {"clip_low_threshold": float("nan")}, "finite"),
        ("sft", {}, "unknown loss_fn"),
        ("gspo", {"dual_clip": 3.0}, "no setting 'dual_clip'"),
        ("ppo", {"dual_clip": 0.5}, "more than 1"),
        ("ppo", {"kl_estimator": 1.5}, "1, 2, 3"),
        ("ppo", {"clip_low_threshold": 1.5}, "at most clip_high_threshold"),
        ("cispo", {"entropy_coefficient": -0.1}, "0 or more"),
    ],
)
def test_unknown_settings(loss_fn: LossFunction, config: dict[str, float], message: str) -> None:
    with pytest.raises(EngineError, match=message) as caught:
        resolve_loss_config(loss_fn, config)
    assert caught.value.status == 400
