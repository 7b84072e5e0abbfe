"""The wire: what requests look like, and how they become the plain values of `types`.

The TypeScript side of the same contract is packages/spec/src/engine-protocol.ts.
"""

from __future__ import annotations

import re
import secrets
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from memory_r1_engine import types

#: JavaScript's largest safe integer: what a JSON number of our client can hold exactly.
MAX_SAFE_INTEGER = 2**53 - 1
CHECKPOINT_NAME = r"^[A-Za-z0-9_-]{1,255}$"
CHECKPOINT_PATH = re.compile(
    r"memory-r1://(?P<model_id>[A-Za-z0-9_-]{1,255})"
    r"/(?P<kind>weights|sampler_weights)/(?P<name>[A-Za-z0-9_-]{1,255})"
)

TokenId = Annotated[int, Field(ge=0)]
SequenceNumber = Annotated[int, Field(ge=0, le=MAX_SAFE_INTEGER)]
Name = Annotated[str, Field(min_length=1, max_length=4096)]
CheckpointName = Annotated[str, Field(pattern=CHECKPOINT_NAME)]


class Message(BaseModel):
    """Base of every request.

    Unknown fields are refused: a setting that is silently ignored would change a run without anybody seeing it. What
    Tinker's own SDK sends beyond the protocol is known, and taken where it asks for nothing that is not done here: its
    fields are typed by the one value that means that. Types are strict for the same reason: "3" is not 3, and NaN is
    no number.
    """

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class TokenTensor(Message):
    """Token ids as a flat list; `shape`, where given, has one dimension."""

    data: list[TokenId]
    dtype: Literal["int64"] | None = None
    shape: list[int] | None = None
    sparse_crow_indices: None = None
    sparse_col_indices: None = None

    @model_validator(mode="after")
    def _shape_fits(self) -> Self:
        _check_shape(self.shape, len(self.data))
        return self


class FloatTensor(Message):
    """Numbers as a flat list; `shape`, where given, has one dimension."""

    data: list[float]
    dtype: Literal["float32"] | None = None
    shape: list[int] | None = None
    sparse_crow_indices: None = None
    sparse_col_indices: None = None

    @model_validator(mode="after")
    def _shape_fits(self) -> Self:
        _check_shape(self.shape, len(self.data))
        return self


def _check_shape(shape: list[int] | None, length: int) -> None:
    if shape is not None and shape != [length]:
        raise ValueError(
            f"shape is {shape} but data holds {length} numbers, so it must be [{length}]"
        )


class EncodedTextChunk(Message):
    type: Literal["encoded_text"]
    tokens: list[TokenId]


class ModelInput(Message):
    """Chunks are concatenated."""

    chunks: Annotated[list[EncodedTextChunk], Field(min_length=1)]

    def tokens(self) -> tuple[int, ...]:
        return tuple(token for chunk in self.chunks for token in chunk.tokens)


class Constraint(Message):
    type: types.ConstraintType
    value: str

    def to_value(self) -> types.Constraint:
        return types.Constraint(type=self.type, value=self.value)


class LossFnInputs(Message):
    target_tokens: TokenTensor
    weights: FloatTensor | None = None
    logprobs: FloatTensor | None = None
    advantages: FloatTensor | None = None
    values: FloatTensor | None = None
    returns: FloatTensor | None = None
    ref_logprobs: FloatTensor | None = None


def _numbers(tensor: FloatTensor | None) -> tuple[float, ...] | None:
    return None if tensor is None else tuple(tensor.data)


class Datum(Message):
    model_input: ModelInput
    loss_fn_inputs: LossFnInputs
    constraint: Constraint | None = None

    def to_value(self) -> types.Datum:
        inputs = self.loss_fn_inputs
        return types.Datum(
            chunks=tuple(tuple(chunk.tokens) for chunk in self.model_input.chunks),
            target_tokens=tuple(inputs.target_tokens.data),
            weights=_numbers(inputs.weights),
            logprobs=_numbers(inputs.logprobs),
            advantages=_numbers(inputs.advantages),
            values=_numbers(inputs.values),
            returns=_numbers(inputs.returns),
            constraint=None if self.constraint is None else self.constraint.to_value(),
            ref_logprobs=_numbers(inputs.ref_logprobs),
        )


class ForwardBackwardInput(Message):
    data: Annotated[list[Datum], Field(min_length=1)]
    loss_fn: types.LossFunction
    loss_fn_config: dict[str, float] | None = None


class LoraConfig(Message):
    rank: Annotated[int, Field(ge=1)]
    #: None: one is drawn, as Tinker does it.
    seed: Annotated[int, Field(ge=0, le=MAX_SAFE_INTEGER)] | None = None
    alpha: Annotated[float, Field(gt=0)] = 32.0
    train_attn: bool = True
    train_mlp: bool = True
    train_unembed: bool = False

    def to_value(self) -> types.LoraConfig:
        seed = secrets.randbits(31) if self.seed is None else self.seed
        return types.LoraConfig(**{**self.model_dump(), "seed": seed})


class AdamParams(Message):
    learning_rate: Annotated[float, Field(ge=0)]
    beta1: Annotated[float, Field(ge=0, lt=1)]
    beta2: Annotated[float, Field(ge=0, lt=1)]
    eps: Annotated[float, Field(ge=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    grad_clip_norm: Annotated[float, Field(ge=0)]

    def to_value(self) -> types.AdamParams:
        return types.AdamParams(**self.model_dump())


class SamplingParams(Message):
    max_tokens: Annotated[int, Field(ge=1)]
    temperature: Annotated[float, Field(ge=0)]
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=-1)] = -1
    seed: Annotated[int, Field(ge=0, le=MAX_SAFE_INTEGER)] | None = None
    #: Token ids and strings.
    stop: str | list[TokenId | Annotated[str, Field(min_length=1)]] | None = None
    constraint: Constraint | None = None

    def stop_tokens(self) -> tuple[int, ...]:
        return tuple(stop for stop in self.stop or () if isinstance(stop, int))

    def stop_strings(self) -> tuple[str, ...]:
        if isinstance(self.stop, str):
            return (self.stop,) if self.stop else ()
        return tuple(stop for stop in self.stop or () if isinstance(stop, str))


class Wave(Message):
    id: Name
    size: Annotated[int, Field(ge=1, le=65_536)]


class CreateSessionRequest(Message):
    tags: list[str] = []
    user_metadata: dict[str, Any] | None = None
    sdk_version: str | None = None
    project_id: None = None
    type: Literal["create_session"] = "create_session"


class ClientConfigRequest(Message):
    sdk_version: str | None = None


class SessionRequest(Message):
    type: str | None = None
    session_id: Name


class CreateModelRequest(Message):
    session_id: Name
    base_model: Name
    lora_config: LoraConfig
    model_role: types.ModelRole = "policy"
    model_seq_id: SequenceNumber | None = None
    user_metadata: dict[str, Any] | None = None
    type: Literal["create_model"] = "create_model"


class ModelRequest(Message):
    type: str | None = None
    model_id: Name


class ForwardRequest(Message):
    model_id: Name
    forward_input: ForwardBackwardInput
    seq_id: SequenceNumber | None = None


class ForwardBackwardRequest(Message):
    model_id: Name
    forward_backward_input: ForwardBackwardInput
    seq_id: SequenceNumber | None = None


class OptimStepRequest(Message):
    model_id: Name
    adam_params: AdamParams
    seq_id: SequenceNumber | None = None
    type: Literal["optim_step"] = "optim_step"


class SaveWeightsRequest(Message):
    model_id: Name
    path: CheckpointName
    seq_id: SequenceNumber | None = None
    ttl_seconds: None = None
    overwrite: Literal[False] = False
    type: Literal["save_weights"] = "save_weights"


class LoadWeightsRequest(Message):
    model_id: Name
    path: Name
    optimizer: bool
    seq_id: SequenceNumber | None = None
    session_id: None = None
    model_seq_id: None = None
    base_model: None = None
    user_metadata: dict[str, Any] | None = None
    weights_access_token: None = None
    type: Literal["load_weights"] = "load_weights"


class SaveWeightsForSamplerRequest(Message):
    """`path` keeps the weights under a name; `sampling_session_seq_id` makes a sampler, until the next one."""

    model_id: Name
    path: CheckpointName | None = None
    sampling_session_seq_id: SequenceNumber | None = None
    seq_id: SequenceNumber | None = None
    ttl_seconds: None = None
    type: Literal["save_weights_for_sampler"] = "save_weights_for_sampler"

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.path is None) == (self.sampling_session_seq_id is None):
            raise ValueError("give exactly one of path and sampling_session_seq_id")
        return self


class CreateSamplingSessionRequest(Message):
    session_id: Name
    sampling_session_seq_id: SequenceNumber | None = None
    base_model: Name | None = None
    model_path: Name | None = None
    type: Literal["create_sampling_session"] = "create_sampling_session"

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.base_model is None) == (self.model_path is None):
            raise ValueError("give exactly one of base_model and model_path")
        return self


class SampleRequest(Message):
    prompt: ModelInput
    num_samples: Annotated[int, Field(ge=1, le=1024)]
    sampling_params: SamplingParams
    sampling_session_id: Name
    seq_id: SequenceNumber
    prompt_logprobs: bool | None = None
    wave: Wave | None = None
    base_model: None = None
    model_path: None = None
    topk_prompt_logprobs: Literal[0] = 0
    type: Literal["sample"] = "sample"


class RetrieveFutureRequest(Message):
    request_id: Name
    #: Whether a large result may be announced before it is sent; it never is.
    allow_metadata_only: bool = False


def _tensor(data: list[float] | None) -> dict[str, Any] | None:
    return None if data is None else {"data": data, "dtype": "float32", "shape": [len(data)]}


def forward_backward_output(output: types.ForwardBackwardOutput) -> dict[str, Any]:
    """The wire's form of what forward and forward_backward give."""
    outputs = []
    for datum in output.outputs:
        tensors = {
            "logprobs": _tensor(datum.logprobs),
            "entropy": _tensor(datum.entropy),
            "values": _tensor(datum.values),
        }
        outputs.append({key: value for key, value in tensors.items() if value is not None})
    return {"loss_fn_output_type": "scalar", "loss_fn_outputs": outputs, "metrics": output.metrics}


def sample_output(result: types.SampleResult) -> dict[str, Any]:
    """The wire's form of what one sample request gives."""
    return {
        "sequences": [
            {
                "stop_reason": sequence.stop_reason,
                "tokens": sequence.tokens,
                "logprobs": sequence.logprobs,
            }
            for sequence in result.sequences
        ],
        "prompt_logprobs": result.prompt_logprobs,
    }
