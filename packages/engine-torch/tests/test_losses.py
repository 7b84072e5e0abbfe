"""Losses against verl's and TRL's own outputs (shared/golden) and hand calculation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from memory_r1_engine.losses import (
    LossInputs,
    compute_token_losses,
    count_clipped,
    resolve_loss_config,
)
from memory_r1_engine.types import EngineError, LossFunction

GOLDEN = Path(__file__).parents[4] / "shared" / "golden" / "rl" / "advantages_and_losses.json"
needs_golden = pytest.mark.skipif(
    not GOLDEN.exists(), reason="golden files are missing: ../shared/golden beside the repository"
)


def as_double(values: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def build_inputs(size: int, **given: list[float]) -> LossInputs:
    def get(name: str, default: float) -> torch.Tensor:
        return as_double(given.get(name, [default] * size))

    return LossInputs(
        weights=get("weights", 1.0),
        old_logprobs=get("old_logprobs", 0.0),
        advantages=get("advantages", 0.0),
        old_values=get("old_values", 0.0),
        returns=get("returns", 0.0),
    )


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    cases: dict[str, Any] = json.loads(GOLDEN.read_text(encoding="utf-8"))["cases"]
    return cases


def flatten(golden: dict[str, Any], name: str) -> list[float]:
    rows: list[list[float]] = golden["inputs"][name]
    return [value for row in rows for value in row]


def compute_ppo(golden: dict[str, Any], advantages: list[float]) -> torch.Tensor:
    """Per-token ppo losses at the default thresholds, rows x tokens; masked positions are 0."""
    mask = as_double(golden["inputs"]["mask"])
    inputs = build_inputs(
        mask.numel(),
        weights=flatten(golden, "mask"),
        old_logprobs=flatten(golden, "old_log_prob"),
        advantages=advantages,
    )
    predictions = as_double(flatten(golden, "log_prob"))
    config = resolve_loss_config("ppo", None)
    return compute_token_losses("ppo", config, predictions, inputs).view(mask.shape)


@needs_golden
def test_ppo_equals_trl(golden: dict[str, Any]) -> None:
    # TRL's GRPO loss with epsilon 0.2 is the same clipped objective; its advantages are one per row.
    mask = as_double(golden["inputs"]["mask"])
    advantages = [
        value for value in golden["inputs"]["trl_advantages"] for _ in range(mask.shape[1])
    ]
    losses = compute_ppo(golden, advantages)
    per_row = losses.sum(1) / mask.sum(1)
    assert float(per_row.mean()) == pytest.approx(
        golden["trl/loss/grpo/token/beta=0.0"]["loss"], rel=1e-9
    )
    assert float(losses.sum() / mask.sum()) == pytest.approx(
        golden["trl/loss/bnpo/token/beta=0.0"]["loss"], rel=1e-9
    )
    clipped = golden["trl/loss/grpo/token/beta=0.0"]["metrics"]["clip_ratio/region_mean"]
    inputs = build_inputs(
        mask.numel(),
        weights=flatten(golden, "mask"),
        old_logprobs=flatten(golden, "old_log_prob"),
        advantages=advantages,
    )
    count = count_clipped(
        "ppo",
        resolve_loss_config("ppo", None),
        as_double(flatten(golden, "log_prob")),
        inputs,
    )
    assert count == round(clipped * float(mask.sum()))


@needs_golden
def test_ppo_equals_verl_where_its_lower_bound_is_off(golden: dict[str, Any]) -> None:
    # verl bounds the loss of negative advantages by -3 A (dual clip); everywhere else it is the same objective.
    mask = as_double(golden["inputs"]["mask"])
    advantages = as_double(golden["inputs"]["advantages"])
    losses = compute_ppo(golden, flatten(golden, "advantages"))
    bounded = torch.where(advantages < 0, torch.minimum(losses, -3 * advantages * mask), losses)
    assert float(bounded.sum() / mask.sum()) == pytest.approx(
        golden["verl/vanilla/lo=0.2/hi=0.2/c=3/token-mean"]["loss"], rel=1e-7
    )


@needs_golden
@pytest.mark.parametrize("value_clip", [0.2, 0.5])
def test_ppo_critic_equals_verl(golden: dict[str, Any], value_clip: float) -> None:
    mask = as_double(golden["inputs"]["mask"])
    inputs = build_inputs(
        mask.numel(),
        weights=flatten(golden, "mask"),
        old_values=flatten(golden, "values"),
        returns=flatten(golden, "returns"),
    )
    losses = compute_token_losses(
        "ppo_critic", {"value_clip": value_clip}, as_double(flatten(golden, "vpreds")), inputs
    )
    expected = golden[f"verl/value_loss/c={value_clip}"]["vf_loss"]
    assert float(losses.sum() / mask.sum()) == pytest.approx(expected, rel=1e-7)


def test_cross_entropy_by_hand() -> None:
    inputs = build_inputs(3, weights=[1.0, 0.0, 0.5])
    losses = compute_token_losses("cross_entropy", {}, as_double([-1.0, -2.0, -3.0]), inputs)
    assert losses.tolist() == [1.0, 0.0, 1.5]


def test_importance_sampling_by_hand() -> None:
    inputs = build_inputs(
        3, weights=[1.0, 1.0, 0.0], old_logprobs=[-1.0, -2.0, 0.0], advantages=[2.0, -1.0, 9.0]
    )
    losses = compute_token_losses("importance_sampling", {}, as_double([-1.0, -1.0, 0.0]), inputs)
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
    ],
)
def test_unknown_settings(loss_fn: LossFunction, config: dict[str, float], message: str) -> None:
    with pytest.raises(EngineError, match=message) as caught:
        resolve_loss_config(loss_fn, config)
    assert caught.value.status == 400
