"""The tensor core's public face: one frozen base model, many LoRA adapters, training and sampling.

Everything is called from one thread. Wrong input raises EngineError with the HTTP status that fits.
"""

from __future__ import annotations

import gc
import itertools
import json
import logging
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
import torch
from safetensors import SafetensorError

from memory_r1_engine.adapters import (
    AdapterLayout,
    AdapterWeights,
    MergedWeights,
    load_adapter,
    plan_adapter,
    save_adapter,
    select_modules,
)
from memory_r1_engine.checkpoints import verify_folder, write_folder, write_tensors
from memory_r1_engine.constraints import ConstraintCompiler, MaskThread
from memory_r1_engine.drafting import DRAFT_ROWS
from memory_r1_engine.language_model import LanguageModel
from memory_r1_engine.memory import GIB, CheckpointingMode, TrainingLimits, TrainingMemoryError
from memory_r1_engine.prefix_cache import (
    PREFIX_CACHE_BYTES,
    PrefixCache,
    PrefixCacheCounts,
    PromptReader,
)
from memory_r1_engine.sampling import CACHE_BYTES, SamplerTools, SampleRun, run_sample_jobs
from memory_r1_engine.training import run_training_call
from memory_r1_engine.tree_attention import AttentionChoice
from memory_r1_engine.types import (
    DEFAULT_ROW_TOKENS,
    AdamParams,
    Datum,
    EngineError,
    ForwardBackwardOutput,
    LoraConfig,
    LossFunction,
    ModelRole,
    SampleJob,
    SampleResult,
)

_LOG = logging.getLogger(__name__)

MERGE_BYTES = 2 * 2**30
"""Weights kept merged with an adapter for sampling; an adapter whose layers are larger is applied beside them."""

_MOST_MERGED = 2
"""A training step samples its policy and, where there is one, its reader; older policies do not come again."""

PACK_BYTES = 2 * 2**30
"""Base weights kept packed, once for products and once for gradients; a larger base is not packed."""

_BLOCK_TOKENS = 128
_GPU_BLOCK_TOKENS = 512

_NORM_PART = 65536
_OPTIMIZER_FILE = "optimizer.safetensors"
_META_FILE = "memory_r1.json"
_META_VERSION = 2
"""1 had no checksums."""


@dataclass
class _TrainedModel:
    """An adapter in training with its AdamW moments; `step` counts optimiser steps."""

    role: ModelRole
    weights: AdapterWeights
    optimizer: torch.optim.AdamW
    step: int = 0
    pending_calls: int = 0


@dataclass(frozen=True)
class _Snapshot:
    """A frozen adapter: `exact` in float32 for saving, `compute` in the base's dtype for sampling (one where equal)."""

    exact: AdapterWeights
    compute: AdapterWeights


class TorchEngine:
    """Trains and samples LoRA adapters on one frozen base model."""

    def __init__(
        self,
        model_directory: Path,
        *,
        dtype: Literal["float32", "bfloat16", "float64"] = "float32",
        device: str = "cpu",
        threads: int | None = None,
        shared_prefix_packing: bool = True,
        row_token_budget: int = DEFAULT_ROW_TOKENS,
        training_memory_bytes: int | None = None,
        gradient_checkpointing: CheckpointingMode = "auto",
        attention: AttentionChoice = "auto",
        cache_bytes: int = CACHE_BYTES,
        merge_bytes: int = MERGE_BYTES,
        pack_bytes: int = PACK_BYTES,
        prefix_cache_bytes: int = PREFIX_CACHE_BYTES,
        prefix_block_tokens: int | None = None,
        draft_rows: int = DRAFT_ROWS,
    ) -> None:
        """Load the base from a Hugging Face directory.

        `row_token_budget` bounds the distinct tokens of one forward pass, `cache_bytes` the keys and values of one
        decode batch, `training_memory_bytes` what a forward and backward pass needs beside the weights (as
        memory.py estimates it; None is no bound), `merge_bytes` the weights that are kept merged with an adapter for
        sampling, `pack_bytes` the base's in each of two packed layouts (products.py), `prefix_cache_bytes` the keys
        and values of prompts that are kept across requests (0: none). Prompts are computed in blocks of
        `prefix_block_tokens` (128, and 512 on a GPU), which decides their rounding; what is kept does not.
        Sequences get drafts in decode steps of up to `draft_rows` rows (drafting.py; 0: never).
        `gradient_checkpointing` and `attention` are explained in memory.py and tree_attention.py.
        `shared_prefix_packing=False` runs every sequence in a row of its own (for tests and benchmarks).
        """
        if threads is not None:
            torch.set_num_threads(threads)
        self._model_directory = model_directory
        self._device = torch.device(device)
        self._model = LanguageModel(
            model_directory, getattr(torch, dtype), self._device, attention, pack_bytes
        )
        if self._model.attention_note is not None:
            _LOG.warning(f"{self._model.attention_note}: using {self._model.attention}")
        if gradient_checkpointing == "on" and not self._model.supports_checkpointing:
            raise EngineError(
                400, "this model's layers cannot be checkpointed: set --gradient-checkpointing off"
            )
        if not self._model.supports_checkpointing:
            gradient_checkpointing = "off"
        self._limits = TrainingLimits(
            row_token_budget, training_memory_bytes, gradient_checkpointing
        )
        # Adapters stay in float32 on a bfloat16 base: their updates are too small for bfloat16.
        self._adapter_dtype = self._model.logit_dtype
        self._compiler = ConstraintCompiler(
            self._model.tokenizer, self._model.vocabulary_size, self._model.eos_token_ids
        )
        self._shared_prefix_packing = shared_prefix_packing
        self._sampler_tools = SamplerTools(
            self._model,
            self._compiler,
            MaskThread(self._model.vocabulary_size),
            cache_bytes,
            draft_rows,
        )
        if prefix_block_tokens is None:
            prefix_block_tokens = _BLOCK_TOKENS if self._device.type == "cpu" else _GPU_BLOCK_TOKENS
        self._prefix_block_tokens = prefix_block_tokens
        keeps_prefixes = self.supports_packing and prefix_cache_bytes > 0
        self._prefix_cache = PrefixCache(prefix_cache_bytes) if keeps_prefixes else None
        self._models: dict[str, _TrainedModel] = {}
        self._snapshots: dict[str, _Snapshot] = {}
        self._merge_bytes = merge_bytes
        # The snapshots used last, oldest first.
        self._merged: dict[str, MergedWeights] = {}
        self._snapshot_numbers = itertools.count(1)

    @property
    def max_context_length(self) -> int:
        """Tokens that a prompt and its completion may have together."""
        return self._model.max_context_length

    @property
    def eos_token_ids(self) -> tuple[int, ...]:
        """The tokens that end a turn; sampling any of them ends a sequence."""
        return self._model.eos_token_ids

    @property
    def tokenizer(self) -> Any:
        """The model's fast tokenizer from transformers."""
        return self._model.tokenizer

    @property
    def supports_packing(self) -> bool:
        """Whether sequences share rows: the model's attention allows it and it was not switched off."""
        return self._shared_prefix_packing and self._model.supports_packing

    @property
    def training_settings(self) -> dict[str, Any]:
        """How training calls are cut and computed, for the capabilities."""
        return {
            "micro_batch_tokens": self._limits.row_tokens,
            "memory_bytes": self._limits.memory_bytes,
            "gradient_checkpointing": self._limits.checkpointing,
            "attention": self._model.attention if self.supports_packing else "model",
        }

    def create_model(self, model_id: str, role: ModelRole, lora: LoraConfig) -> None:
        """Add a fresh adapter; a critic also has a linear value head that starts at zero."""
        if model_id in self._models:
            raise EngineError(409, f"model {model_id} exists already: use another model_id")
        if lora.rank < 1:
            raise EngineError(400, f"lora rank is {lora.rank}, expected 1 or more")
        if not (math.isfinite(lora.alpha) and lora.alpha > 0):
            raise EngineError(400, f"lora alpha is {lora.alpha}, expected a number above 0")
        modules = select_modules(self._model.linears, self._model.head_name, lora)
        if not modules:
            raise EngineError(400, "this lora_config trains no layer: set a train_ field to true")
        head_size = self._model.hidden_size if role == "critic" else None
        layout = plan_adapter(self._model.linears, modules, lora, head_size)
        flat = torch.zeros(layout.size, dtype=self._adapter_dtype, device=self._device)
        weights = AdapterWeights(layout, flat, trainable=True)
        weights.initialise()
        self._models[model_id] = _TrainedModel(role, weights, _create_optimizer(weights))

    def unload_model(self, model_id: str) -> None:
        """Forget a model; snapshots taken from it stay."""
        self._find_model(model_id)
        del self._models[model_id]
        # The layers may still point at its tensors.
        self._model.activate(None)

    def has_model(self, model_id: str) -> bool:
        return model_id in self._models

    def forward(
        self,
        model_id: str,
        data: list[Datum],
        loss_fn: LossFunction,
        config: dict[str, float] | None = None,
    ) -> ForwardBackwardOutput:
        """Log-probabilities and entropies, or values, without gradients."""
        return self._run_training(model_id, data, loss_fn, config, take_back=None)

    def forward_backward(
        self,
        model_id: str,
        data: list[Datum],
        loss_fn: LossFunction,
        config: dict[str, float] | None = None,
    ) -> ForwardBackwardOutput:
        """Add the gradient of the loss, summed over tokens and datums, to the model's. All or nothing.

        A loss or gradient that is not finite is a 400, and what accumulated before stays.
        """
        model = self._find_model(model_id)
        gradient = _get_gradient(model.weights)
        # Zero, where nothing has accumulated.
        before = gradient.clone() if model.pending_calls > 0 else None

        def take_back() -> None:
            if before is None:
                gradient.zero_()
            else:
                gradient.copy_(before)

        try:
            output = self._run_training(model_id, data, loss_fn, config, take_back=take_back)
            # A finite sum has finite terms; not the other way round.
            if not bool(gradient.sum().isfinite()) and not bool(gradient.isfinite().all()):
                raise EngineError(
                    400,
                    f"the gradient of these datums is not finite, though their loss is: it was dropped, and model "
                    f"{model_id} is unchanged; check their advantages and logprobs",
                )
        except BaseException:
            take_back()
            raise
        model.pending_calls += 1
        return output

    def optim_step(self, model_id: str, parameters: AdamParams) -> dict[str, float]:
        """One AdamW step on the accumulated gradient, which is then zero. `grad_norm:last` is before clipping.

        A gradient that is not finite is dropped, weights and moments stay as they were, and the call fails with 400.
        """
        model = self._find_model(model_id)
        _check_adam(parameters)
        if model.pending_calls == 0:
            raise EngineError(
                400, f"model {model_id} has no gradient: call forward_backward before optim_step"
            )
        gradient = _get_gradient(model.weights)
        norm = _measure_norm(gradient)
        model.pending_calls = 0
        if not math.isfinite(norm):
            gradient.zero_()
            raise EngineError(
                400,
                f"the gradient of model {model_id} is not finite ({norm}): it was dropped and the weights are"
                " unchanged; check the datums' advantages and logprobs",
            )
        if 0 < parameters.grad_clip_norm < norm:
            gradient.mul_(parameters.grad_clip_norm / norm)
        for group in model.optimizer.param_groups:
            group["lr"] = parameters.learning_rate
            group["betas"] = (parameters.beta1, parameters.beta2)
            group["eps"] = parameters.eps
            group["weight_decay"] = parameters.weight_decay
        model.optimizer.step()
        gradient.zero_()
        model.step += 1
        return {
            "grad_norm:last": norm,
            "learning_rate:last": parameters.learning_rate,
            "step:last": float(model.step),
        }

    def save_weights(self, model_id: str, directory: Path) -> None:
        """Write adapter (PEFT's format), value head, optimiser state and a description, or nothing at all.

        Gradients that no optim_step has used are not saved.
        """
        model = self._find_model(model_id)

        def write(target: Path) -> None:
            self._write_adapter(model.weights, target)
            write_tensors(target / _OPTIMIZER_FILE, _get_moments(model))
            description = {
                "version": _META_VERSION,
                "role": model.role,
                "step": model.step,
                "lora": asdict(model.weights.layout.lora),
            }
            (target / _META_FILE).write_text(json.dumps(description, indent=2), encoding="utf-8")

        write_folder(directory, write)

    def load_weights(self, model_id: str, directory: Path, optimizer: bool) -> None:
        """Replace a model's weights, and its optimiser state too or else by a fresh one; gradients become zero.

        Nothing changes where the files are not those that were saved, or do not fit the model.
        """
        model = self._find_model(model_id)
        layout, flat = self._read_adapter(directory)
        expected = model.weights.layout
        if layout.slots != expected.slots or layout.scale != expected.scale:
            raise EngineError(
                400,
                f"the weights in {directory} have another shape than model {model_id}: create the model with"
                f" rank {layout.lora.rank}, alpha {layout.lora.alpha:g}, the same layers and the same role",
            )
        moments: dict[str, torch.Tensor] | None = None
        step = 0
        if optimizer:
            moments, step = _read_moments(directory, expected, self._device)
        with torch.no_grad():
            model.weights.flat.copy_(flat)
        _get_gradient(model.weights).zero_()
        model.pending_calls = 0
        model.optimizer = _create_optimizer(model.weights)
        model.step = step
        if moments:
            model.optimizer.state[model.weights.flat].update(moments)

    def create_snapshot(self, model_id: str) -> str:
        """A frozen copy of a model's weights to sample from; later steps do not change it."""
        model = self._find_model(model_id)
        return self._add_snapshot(model.weights.layout, model.weights.flat.detach().clone())

    def save_snapshot(self, model_id: str, directory: Path) -> None:
        """Write a model's weights for sampling only, as a PEFT adapter."""
        model = self._find_model(model_id)
        write_folder(directory, lambda target: self._write_adapter(model.weights, target))

    def load_snapshot(self, directory: Path) -> str:
        """A snapshot from saved weights; any PEFT LoRA adapter of plain kind on this base model will do."""
        return self._add_snapshot(*self._read_adapter(directory))

    def drop_snapshot(self, snapshot_id: str) -> None:
        self._find_snapshot(snapshot_id)
        del self._snapshots[snapshot_id]
        self._merged.pop(snapshot_id, None)
        if self._prefix_cache is not None:
            self._prefix_cache.drop(snapshot_id)
        self._model.activate(None)

    def sample(self, jobs: list[SampleJob]) -> list[SampleResult]:
        """Sample all jobs, each snapshot's in one decode batch; results in the order of the jobs."""
        if not jobs:
            raise EngineError(400, "no sample jobs: send at least one")
        groups: dict[str | None, list[int]] = {}
        for index, job in enumerate(jobs):
            if job.snapshot is not None:
                self._find_snapshot(job.snapshot)
            groups.setdefault(job.snapshot, []).append(index)
        results: dict[int, SampleResult] = {}
        for snapshot_id, indices in groups.items():
            reader = self._start_reader(snapshot_id)
            found = run_sample_jobs(self._sampler_tools, reader, [jobs[index] for index in indices])
            results.update(zip(indices, found, strict=True))
        return [results[index] for index in range(len(jobs))]

    def start_sampling(self) -> SampleRun:
        """An empty run that jobs join and leave; nothing else may be called until it is empty again."""
        return SampleRun(self._sampler_tools, self._start_reader)

    @property
    def prefix_block_tokens(self) -> int:
        """Tokens of a block of a prompt; what is kept across requests are whole blocks."""
        return self._prefix_block_tokens

    @property
    def prefix_cache_bytes(self) -> int:
        """Bytes of keys and values that may be kept across requests; 0 where none are."""
        return 0 if self._prefix_cache is None else self._prefix_cache.max_bytes

    def count_prefix_cache(self) -> dict[str, int]:
        """What the prefix cache holds and did, by name; safe from any thread."""
        counts = PrefixCacheCounts() if self._prefix_cache is None else self._prefix_cache.counts
        return asdict(counts)

    def count_drafts(self) -> dict[str, int]:
        """Tokens that were guessed while sampling, and those of them that were right; safe from any thread."""
        return asdict(self._sampler_tools.drafts)

    def _start_reader(self, snapshot_id: str | None) -> PromptReader:
        """Make a snapshot's weights active; what reads prompts with them."""
        if snapshot_id is not None:
            self._find_snapshot(snapshot_id)
        self._activate_for_sampling(snapshot_id)
        return PromptReader(self._model, self._prefix_block_tokens, self._prefix_cache, snapshot_id)

    def _activate_for_sampling(self, snapshot_id: str | None) -> None:
        """Merged weights where they fit and round like the trainer: a decode step is then a third fewer operations."""
        adapter = None if snapshot_id is None else self._find_snapshot(snapshot_id).compute
        merged = None
        if snapshot_id is not None and adapter is not None and self._can_merge(adapter):
            merged = self._merge(snapshot_id, adapter)
            adapter = None
        self._model.activate(adapter, merged)

    def _can_merge(self, weights: AdapterWeights) -> bool:
        # In bfloat16 a merged weight is rounded again, and the sampler would disagree with the trainer.
        if self._model.dtype == torch.bfloat16:
            return False
        return self._model.count_weight_bytes(weights.layout.modules) <= self._merge_bytes

    def _merge(self, snapshot_id: str, weights: AdapterWeights) -> MergedWeights:
        merged = self._merged.pop(snapshot_id, None)
        if merged is None:
            self._model.activate(None)
            size = self._model.count_weight_bytes(weights.layout.modules)
            most = min(_MOST_MERGED, self._merge_bytes // size)
            while len(self._merged) >= most:
                del self._merged[next(iter(self._merged))]
            merged = weights.merge(self._model.linears)
        self._merged[snapshot_id] = merged
        return merged

    def _run_training(
        self,
        model_id: str,
        data: list[Datum],
        loss_fn: LossFunction,
        config: dict[str, float] | None,
        *,
        take_back: Callable[[], None] | None,
    ) -> ForwardBackwardOutput:
        """One call; where memory runs out, once more with rows half as large and checkpointed layers.

        With a backward pass where `take_back` is there, which drops what the first try has accumulated.
        """
        model = self._find_model(model_id)

        def attempt(limits: TrainingLimits) -> ForwardBackwardOutput | TrainingMemoryError:
            try:
                return run_training_call(
                    self._model,
                    self._compiler,
                    model.weights,
                    model.role,
                    data,
                    loss_fn,
                    config,
                    backward=take_back is not None,
                    share_prefixes=self._shared_prefix_packing,
                    limits=limits,
                )
            except TrainingMemoryError as error:
                # Returned without its traceback, which would keep the tensors of the failed pass alive.
                return error.with_traceback(None)

        output = attempt(self._limits)
        retries = 0
        if isinstance(output, TrainingMemoryError):
            if take_back is not None:
                take_back()
            self._free_memory()
            smaller = self._limits.halve(output.largest_row)
            if not self._model.supports_checkpointing:
                smaller = replace(smaller, checkpointing="off")
            _LOG.warning(
                f"out of memory with {output.largest_row} tokens a row: trying {smaller.row_tokens}; "
                "set --micro-batch-tokens or --training-memory-gib lower"
            )
            output = attempt(smaller)
            retries = 1
            if isinstance(output, TrainingMemoryError):
                self._free_memory()
                raise EngineError(507, self._describe_lack_of_memory(output))
        output.metrics["out_of_memory_retries:sum"] = float(retries)
        return output

    def _free_memory(self) -> None:
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _describe_lack_of_memory(self, error: TrainingMemoryError) -> str:
        memory = self._limits.memory_bytes
        bound = "none" if memory is None else f"{memory / GIB:g}"
        return (
            f"out of memory, also with rows of {error.largest_row} tokens ({error.reason}): nothing was accumulated "
            f"and the weights are unchanged; lower --micro-batch-tokens (now {self._limits.row_tokens}), set "
            f"--training-memory-gib (now {bound}), or send shorter sequences"
        )

    def _find_model(self, model_id: str) -> _TrainedModel:
        model = self._models.get(model_id)
        if model is None:
            raise EngineError(404, f"unknown model {model_id}: create it with create_model")
        return model

    def _find_snapshot(self, snapshot_id: str) -> _Snapshot:
        snapshot = self._snapshots.get(snapshot_id)
        if snapshot is None:
            raise EngineError(404, f"unknown snapshot {snapshot_id}: it was dropped or never made")
        return snapshot

    def _add_snapshot(self, layout: AdapterLayout, flat: torch.Tensor) -> str:
        exact = AdapterWeights(layout, flat, trainable=False)
        same = self._adapter_dtype == self._model.dtype
        snapshot = _Snapshot(exact, exact if same else exact.freeze(self._model.dtype))
        snapshot_id = f"snapshot-{next(self._snapshot_numbers)}"
        self._snapshots[snapshot_id] = snapshot
        return snapshot_id

    def _write_adapter(self, weights: AdapterWeights, directory: Path) -> None:
        save_adapter(weights.layout, weights.flat, directory, str(self._model_directory))

    def _read_adapter(self, directory: Path) -> tuple[AdapterLayout, torch.Tensor]:
        _verify(directory)
        return load_adapter(self._model.linears, directory, self._device, self._adapter_dtype)


def _create_optimizer(weights: AdapterWeights) -> torch.optim.AdamW:
    weights.flat.grad = weights.gradient
    return torch.optim.AdamW([weights.flat])


def _get_gradient(weights: AdapterWeights) -> torch.Tensor:
    if weights.gradient is None:
        raise AssertionError("a trained adapter has a gradient")
    return weights.gradient


def _measure_norm(gradient: torch.Tensor) -> float:
    """In double precision, part by part: the whole vector in double precision would be the largest tensor of a step."""
    parts = [
        torch.linalg.vector_norm(part, dtype=torch.float64) for part in gradient.split(_NORM_PART)
    ]
    return float(torch.linalg.vector_norm(torch.stack(parts)))


def _get_moments(model: _TrainedModel) -> dict[str, torch.Tensor]:
    """AdamW's step count and moments; empty before the first step."""
    state = model.optimizer.state.get(model.weights.flat, {})
    return {name: tensor.detach().cpu().clone() for name, tensor in state.items()}


def _read_moments(
    directory: Path, layout: AdapterLayout, device: torch.device
) -> tuple[dict[str, torch.Tensor], int]:
    try:
        tensors = safetensors.torch.load_file(directory / _OPTIMIZER_FILE)
        description = json.loads((directory / _META_FILE).read_text(encoding="utf-8"))
        step = int(description["step"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise EngineError(
            400, f"no readable optimiser state in {directory} (sampler weights have none): {error}"
        ) from error
    expected = {"step", "exp_avg", "exp_avg_sq"} if step > 0 else set()
    sizes_fit = all(
        tensor.numel() == layout.size for name, tensor in tensors.items() if name != "step"
    )
    if set(tensors) != expected or not sizes_fit:
        raise EngineError(400, f"the optimiser state in {directory} does not fit its adapter")
    # AdamW keeps its step count on the CPU.
    return {
        name: tensor if name == "step" else tensor.to(device) for name, tensor in tensors.items()
    }, step


def _check_adam(parameters: AdamParams) -> None:
    for name, value in asdict(parameters).items():
        if not math.isfinite(value) or value < 0:
            raise EngineError(400, f"adam_params.{name} is {value}, expected a number of 0 or more")
    for name in ("beta1", "beta2"):
        if getattr(parameters, name) >= 1:
            raise EngineError(400, f"adam_params.{name} must be below 1")


def _verify(directory: Path) -> None:
    """Refuse a checkpoint that is not what was saved. Adapters of other tools have no checksums."""
    if verify_folder(directory):
        return
    try:
        version = json.loads((directory / _META_FILE).read_text(encoding="utf-8"))["version"]
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EngineError(400, f"no readable description in {directory}: {error}") from error
    if version != 1:
        raise EngineError(
            400,
            f"the checkpoint {directory} is damaged: its checksums are missing. Nothing was loaded; use an earlier "
            "checkpoint or a copy of this one",
        )
