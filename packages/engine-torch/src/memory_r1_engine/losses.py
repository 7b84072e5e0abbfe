"""Per-token losses. The caller sums them plainly over tokens and datums; they see vectors of positions only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from memory_r1_engine.types import EngineError, LossFunction

ALLOWED_CONFIG: dict[LossFunction, dict[str, float]] = {
    "cross_entropy": {},
    "importance_sampling": {},
    "ppo": {"clip_low_threshold": 0.8, "clip_high_threshold": 1.2},
    "ppo_critic": {"value_clip": 0.2},
}
"""The settings of every loss function with their defaults; ppo's thresholds bound the ratio itself."""


@dataclass(frozen=True)
class LossInputs:
    """Vectors of one length, one element per trained position. What a loss function does not read may be zeros."""

    weights: torch.Tensor
    old_logprobs: torch.Tensor
    advantages: torch.Tensor
    old_values: torch.Tensor
    returns: torch.Tensor

    def select(self, index: torch.Tensor) -> LossInputs:
        return LossInputs(
            self.weights[index],
            self.old_logprobs[index],
            self.advantages[index],
            self.old_values[index],
            self.returns[index],
        )


def resolve_loss_config(
    loss_fn: LossFunction, config: Mapping[str, float] | None
) -> dict[str, float]:
    """Defaults overlaid with `config`; an unknown or non-finite setting is a 400."""
    allowed = ALLOWED_CONFIG.get(loss_fn)
    if allowed is None:
        known = ", ".join(ALLOWED_CONFIG)
        raise EngineError(400, f"unknown loss_fn {loss_fn!r}: use one of {known}")
    resolved = dict(allowed)
    for key, value in (config or {}).items():
        if key not in allowed:
            names = ", ".join(allowed) or "none"
            raise EngineError(
                400, f"loss_fn_config of {loss_fn} has no setting {key!r}: allowed are {names}"
            )
        if not math.isfinite(value):
            raise EngineError(400, f"loss_fn_config.{key} is {value}: it must be a finite number")
        resolved[key] = value
    return resolved


def compute_token_losses(
    loss_fn: LossFunction,
    config: Mapping[str, float],
    predictions: torch.Tensor,
    inputs: LossInputs,
) -> torch.Tensor:
    """The loss of every position, differentiable in `predictions` (log-probabilities, or values for ppo_critic)."""
    if loss_fn == "cross_entropy":
        return -predictions * inputs.weights
    if loss_fn == "importance_sampling":
        ratio = torch.exp(predictions - inputs.old_logprobs)
        return -ratio * inputs.advantages * inputs.weights
    if loss_fn == "ppo":
        ratio = torch.exp(predictions - inputs.old_logprobs)
        clipped = ratio.clamp(config["clip_low_threshold"], config["clip_high_threshold"])
        objective = torch.minimum(ratio * inputs.advantages, clipped * inputs.advantages)
        return -objective * inputs.weights
    value_clip = config["value_clip"]
    clipped_values = torch.minimum(
        torch.maximum(predictions, inputs.old_values - value_clip), inputs.old_values + value_clip
    )
    squared = torch.maximum(
        (predictions - inputs.returns) ** 2, (clipped_values - inputs.returns) ** 2
    )
    return 0.5 * squared * inputs.weights


def count_clipped(
    loss_fn: LossFunction,
    config: Mapping[str, float],
    predictions: torch.Tensor,
    inputs: LossInputs,
) -> int:
    """Positions of ppo whose clipped ratio was the smaller objective; 0 for the other losses."""
    if loss_fn != "ppo":
        return 0
    ratio = torch.exp(predictions - inputs.old_logprobs)
    clipped = ratio.clamp(config["clip_low_threshold"], config["clip_high_threshold"])
    lowered = clipped * inputs.advantages < ratio * inputs.advantages
    return int((lowered & (inputs.weights != 0)).sum())
