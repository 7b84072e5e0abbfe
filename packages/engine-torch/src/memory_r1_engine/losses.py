"""Per-token losses. The caller sums them plainly over tokens and datums; they see vectors of positions only.

loss = weight * (policy term + kl_coefficient * kl - entropy_coefficient * entropy); docs/engine-protocol.md has the
formulas. The same maths in TypeScript, for diagnostics: packages/trainers/src/policy-loss.ts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from memory_r1_engine.types import LOSS_SETTINGS, EngineError, LossFunction

CLIPPING_LOSSES: frozenset[LossFunction] = frozenset({"ppo", "cispo", "gspo"})

_EXPONENT_LIMIT = 20.0
"""Where verl holds k3's exponent (core_algos.py@b178a3cd5 kl_penalty)."""


@dataclass(frozen=True)
class LossInputs:
    """Vectors of one length, one element per trained position. What a loss function does not read may be zeros.

    `sequence_log_ratios` is, at every position of a datum, the mean over its trained positions of log-probability now -
    at sampling.
    """

    weights: torch.Tensor
    old_logprobs: torch.Tensor
    advantages: torch.Tensor
    old_values: torch.Tensor
    returns: torch.Tensor
    ref_logprobs: torch.Tensor
    sequence_log_ratios: torch.Tensor


def resolve_loss_config(
    loss_fn: LossFunction, config: Mapping[str, float] | None
) -> dict[str, float]:
    """Defaults overlaid with `config`; an unknown setting or one that makes no sense is a 400."""
    allowed = LOSS_SETTINGS.get(loss_fn)
    if allowed is None:
        known = ", ".join(LOSS_SETTINGS)
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
    _check_settings(resolved)
    return resolved


def _check_settings(settings: Mapping[str, float]) -> None:
    def refuse(key: str, expected: str) -> None:
        raise EngineError(400, f"loss_fn_config.{key} is {settings[key]}: it must be {expected}")

    for key, value in settings.items():
        if value < 0:
            refuse(key, "0 or more")
    if 0 < settings.get("dual_clip", 0) <= 1:
        refuse("dual_clip", "0 (off) or more than 1")
    if settings.get("kl_estimator", 1) not in (1, 2, 3, 4):
        refuse("kl_estimator", "1, 2, 3 (k1, k2, k3) or 4 (the absolute difference)")
    if settings.get("clip_low_threshold", 0) > settings.get("clip_high_threshold", math.inf):
        refuse("clip_low_threshold", "at most clip_high_threshold")


def list_required_inputs(loss_fn: LossFunction, config: Mapping[str, float]) -> tuple[str, ...]:
    """The fields of a datum without which a loss cannot be computed."""
    if loss_fn == "cross_entropy":
        return ()
    if loss_fn == "ppo_critic":
        return ("values", "returns")
    reference = ("ref_logprobs",) if config["kl_coefficient"] != 0 else ()
    return ("logprobs", "advantages", *reference)


def compute_token_losses(
    loss_fn: LossFunction,
    config: Mapping[str, float],
    predictions: torch.Tensor,
    inputs: LossInputs,
    entropy: torch.Tensor | None = None,
) -> torch.Tensor:
    """The loss of every position, differentiable in `predictions` (log-probabilities, or values for ppo_critic).

    `entropy`, in nats, is needed where entropy_coefficient is not 0.
    """
    if loss_fn == "cross_entropy":
        return -predictions * inputs.weights
    if loss_fn == "ppo_critic":
        return _compute_critic_term(config, predictions, inputs) * inputs.weights
    losses = _compute_policy_term(loss_fn, config, predictions, inputs)
    if config["kl_coefficient"] != 0:
        losses = losses + config["kl_coefficient"] * compute_kl(
            predictions - inputs.ref_logprobs, int(config["kl_estimator"]), config["kl_clamp"]
        )
    if config["entropy_coefficient"] != 0:
        if entropy is None:
            raise AssertionError("a loss with an entropy term needs the entropy")
        losses = losses - config["entropy_coefficient"] * entropy
    return losses * inputs.weights


def _compute_policy_term(
    loss_fn: LossFunction,
    config: Mapping[str, float],
    predictions: torch.Tensor,
    inputs: LossInputs,
) -> torch.Tensor:
    ratio = _compute_ratio(loss_fn, config, predictions, inputs)
    if loss_fn == "importance_sampling":
        return -ratio * inputs.advantages
    clipped = ratio.clamp(config["clip_low_threshold"], config["clip_high_threshold"])
    if loss_fn == "cispo":
        return -clipped.detach() * inputs.advantages * predictions
    objective = torch.minimum(ratio * inputs.advantages, clipped * inputs.advantages)
    dual_clip = config.get("dual_clip", 0.0)
    if dual_clip > 0:
        bounded = torch.maximum(objective, dual_clip * inputs.advantages)
        objective = torch.where(inputs.advantages < 0, bounded, objective)
    return -objective


def _compute_ratio(
    loss_fn: LossFunction,
    config: Mapping[str, float],
    predictions: torch.Tensor,
    inputs: LossInputs,
) -> torch.Tensor:
    """The ratio to sampling; gspo's is the sequence's, with the gradient of the position's own log-probability."""
    if loss_fn == "gspo":
        log_ratio = inputs.sequence_log_ratios + (predictions - predictions.detach())
    else:
        log_ratio = predictions - inputs.old_logprobs
    limit = config["log_ratio_clamp"]
    return torch.exp(log_ratio.clamp(-limit, limit) if limit > 0 else log_ratio)


def compute_kl(difference: torch.Tensor, estimator: int, clamp: float) -> torch.Tensor:
    """The divergence of every position, `difference` being log-probability of the policy - of the reference."""
    if estimator == 1:
        kl = difference
    elif estimator == 2:
        kl = difference**2 / 2
    elif estimator == 3:
        exponent = -difference
        if clamp > 0:
            # Before exp: an infinite value, clamped afterwards, would have the gradient 0 * infinity.
            exponent = exponent.clamp(-_EXPONENT_LIMIT, _EXPONENT_LIMIT)
        kl = torch.exp(exponent) - exponent - 1
    else:
        kl = difference.abs()
    return kl.clamp(-clamp, clamp) if clamp > 0 else kl


def _compute_critic_term(
    config: Mapping[str, float], predictions: torch.Tensor, inputs: LossInputs
) -> torch.Tensor:
    value_clip = config["value_clip"]
    clipped_values = torch.minimum(
        torch.maximum(predictions, inputs.old_values - value_clip), inputs.old_values + value_clip
    )
    squared = torch.maximum(
        (predictions - inputs.returns) ** 2, (clipped_values - inputs.returns) ** 2
    )
    return 0.5 * squared


def count_clipped(
    loss_fn: LossFunction,
    config: Mapping[str, float],
    predictions: torch.Tensor,
    inputs: LossInputs,
) -> int:
    """Positions whose ratio the clip holds back (cispo: bounds); 0 for the losses without one."""
    if loss_fn not in CLIPPING_LOSSES:
        return 0
    ratio = _compute_ratio(loss_fn, config, predictions, inputs)
    clipped = ratio.clamp(config["clip_low_threshold"], config["clip_high_threshold"])
    held_back = clipped * inputs.advantages < ratio * inputs.advantages
    held = clipped != ratio if loss_fn == "cispo" else held_back
    return int((held & (inputs.weights != 0)).sum())
