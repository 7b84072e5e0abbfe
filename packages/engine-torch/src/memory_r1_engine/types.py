"""Plain values that the server and the tensor core exchange. No torch, no HTTP."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

ConstraintType = Literal["regex", "json_schema", "tools"]
ModelRole = Literal["policy", "critic"]
LossFunction = Literal["cross_entropy", "importance_sampling", "ppo", "cispo", "gspo", "ppo_critic"]

#: Distinct tokens of one forward and backward pass, unless told otherwise: a prompt of 60 memories with a group of
#: short completions fits, so that it is computed once. Rows of several small prompts end much earlier.
DEFAULT_ROW_TOKENS = 4096

_POLICY_SETTINGS: dict[str, float] = {
    "log_ratio_clamp": 0.0,
    "kl_coefficient": 0.0,
    "kl_estimator": 3.0,
    "kl_clamp": 0.0,
    "entropy_coefficient": 0.0,
}

LOSS_SETTINGS: dict[LossFunction, dict[str, float]] = {
    "cross_entropy": {},
    "importance_sampling": _POLICY_SETTINGS,
    "ppo": {
        "clip_low_threshold": 0.8,
        "clip_high_threshold": 1.2,
        "dual_clip": 0.0,
        **_POLICY_SETTINGS,
    },
    "cispo": {"clip_low_threshold": 0.8, "clip_high_threshold": 1.2, **_POLICY_SETTINGS},
    "gspo": {
        "clip_low_threshold": 1 - 3e-4,
        "clip_high_threshold": 1 + 4e-4,
        **_POLICY_SETTINGS,
    },
    "ppo_critic": {"value_clip": 0.2},
}
"""The settings of every loss function with their defaults; thresholds bound the ratio itself, 0 is off elsewhere."""


class EngineError(Exception):
    """A request that cannot be served; `status` is the HTTP status that tells why."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


@dataclass(frozen=True)
class Constraint:
    """A grammar over the whole completion, as text: a regular expression (Rust syntax), a JSON schema, or signatures of
    tools (`tools.ToolSignatures` as JSON)."""

    type: ConstraintType
    value: str


@dataclass(frozen=True)
class LoraConfig:
    """LoRA on the frozen base; the scale is alpha / rank."""

    rank: int
    seed: int
    alpha: float = 32.0
    train_attn: bool = True
    train_mlp: bool = True
    train_unembed: bool = False


@dataclass(frozen=True)
class Datum:
    """One training sequence. `chunks` concatenated are the model's input; chunk 0 is the prompt.

    `target_tokens` is as long as the input (position i predicts target i) or shorter and right-aligned.
    The other lists are as long as `target_tokens`.
    """

    chunks: tuple[tuple[int, ...], ...]
    target_tokens: tuple[int, ...]
    weights: tuple[float, ...] | None = None
    logprobs: tuple[float, ...] | None = None
    advantages: tuple[float, ...] | None = None
    values: tuple[float, ...] | None = None
    returns: tuple[float, ...] | None = None
    constraint: Constraint | None = None
    ref_logprobs: tuple[float, ...] | None = None


@dataclass(frozen=True)
class DatumOutput:
    """Per target position: natural-log probability, entropy in nats, or value (critic)."""

    logprobs: list[float] | None = None
    entropy: list[float] | None = None
    values: list[float] | None = None


@dataclass(frozen=True)
class ForwardBackwardOutput:
    """Outputs in the order of the datums, and metrics whose keys end in the way to combine them."""

    outputs: list[DatumOutput]
    metrics: dict[str, float]


@dataclass(frozen=True)
class AdamParams:
    """`grad_clip_norm` 0 is off."""

    learning_rate: float = 1e-4
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-12
    weight_decay: float = 0.0
    grad_clip_norm: float = 0.0


@dataclass(frozen=True)
class SampleJob:
    """`num_samples` completions of one prompt. `snapshot` None samples the frozen base model.

    A sequence ends with a token of `stop`, or with the token whose text completes a string of `stop_strings`.
    """

    tokens: tuple[int, ...]
    num_samples: int
    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = -1
    seed: int = 0
    stop: tuple[int, ...] = ()
    stop_strings: tuple[str, ...] = ()
    constraint: Constraint | None = None
    prompt_logprobs: bool = False
    snapshot: str | None = None


@dataclass(frozen=True)
class SampledSequence:
    """Sampled ids, a stop token included, and the log-probability of each: temperature 1, after the mask."""

    tokens: list[int]
    logprobs: list[float]
    stop_reason: Literal["stop", "length"]


@dataclass(frozen=True)
class SampleResult:
    sequences: list[SampledSequence]
    prompt_logprobs: list[float | None] | None = field(default=None)
