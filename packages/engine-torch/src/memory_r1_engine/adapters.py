"""LoRA adapters on a frozen base: the layer that applies them, their storage, and the PEFT format on disk."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from memory_r1_engine.checkpoints import write_tensors
from memory_r1_engine.products import multiply, pack_weight
from memory_r1_engine.types import EngineError, LoraConfig

WEIGHTS_FILE = "adapter_model.safetensors"
CONFIG_FILE = "adapter_config.json"
VALUE_HEAD = "value_head"
_PEFT_PREFIX = "base_model.model."


@dataclass(frozen=True)
class LoraPair:
    """What one linear layer adds: scale * (x @ down.T) @ up.T; down is rank x in, up is out x rank."""

    down: torch.Tensor
    up: torch.Tensor
    scale: float


class LoraLinear(nn.Module):
    """A frozen linear layer plus the active adapter's pair, or the layer alone where `active` is None.

    `merged`, where it is set, is the weight with an adapter in it, for sampling without a product of its own.
    With `packs` the layer keeps its weight in the layout of `multiply` as well, with `packs_transposed` the transposed
    one too, for gradients.
    Our own forward instead of PEFT's: PEFT upcasts every input of a bfloat16 base to float32 and adds the low-rank
    product in passes of its own; here it is accumulated into the output, and only what training needs has a
    gradient.
    """

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base = base
        self.in_features = base.in_features
        self.out_features = base.out_features
        self.active: LoraPair | None = None
        self.merged: torch.Tensor | None = None
        self.packs = False
        self.packs_transposed = False
        self._packed: torch.Tensor | None = None
        self._packed_transposed: torch.Tensor | None = None

    @property
    def weight(self) -> torch.Tensor:
        return self.base.weight

    @property
    def bias(self) -> torch.Tensor | None:
        return self.base.bias

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        pair = self.active
        if pair is None and torch.is_grad_enabled():
            untrained: torch.Tensor = _FrozenFunction.apply(inputs, self)  # type: ignore[no-untyped-call]  # untyped in torch
            return untrained
        if pair is None:
            return self.multiply(inputs)
        if not torch.is_grad_enabled():
            # A decode step is hundreds of tiny layers: the bookkeeping of a Function would be noticed.
            rows = inputs.reshape(-1, self.in_features)
            output = self.multiply(rows)
            down, up = pair.down.to(rows.dtype), pair.up.to(rows.dtype)
            result, _ = _add_low_rank(output, rows, down, up, pair.scale)
            return result.view(*inputs.shape[:-1], self.out_features)
        trained: torch.Tensor = _LoraFunction.apply(  # type: ignore[no-untyped-call]  # untyped in torch
            inputs, pair.down, pair.up, self, pair.scale
        )
        return trained

    def multiply(self, inputs: torch.Tensor) -> torch.Tensor:
        """inputs @ weight.T + bias, without gradients."""
        weight = self.merged
        if weight is None and self.packs:
            if self._packed is None:
                self._packed = pack_weight(self.base.weight)
            weight = self._packed
        return multiply(inputs, self.base.weight if weight is None else weight, self.base.bias)

    def multiply_transposed(self, gradient: torch.Tensor) -> torch.Tensor:
        """gradient @ weight: what a gradient of the output says of the inputs. Without gradients of its own."""
        if self.packs_transposed and self._packed_transposed is None:
            self._packed_transposed = pack_weight(self.base.weight.t())
        weight = self._packed_transposed
        return multiply(gradient, self.base.weight.t() if weight is None else weight)


def _add_low_rank(
    output: torch.Tensor,
    rows: torch.Tensor,
    down: torch.Tensor,
    up: torch.Tensor,
    scale: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """`output` (overwritten) with the adapter's product added, and the inputs reduced to the adapter's rank."""
    reduced = rows @ down.t()
    return output.addmm_(reduced, up.t(), alpha=scale), reduced


class _FrozenFunction(torch.autograd.Function):
    """x W^T + b, with a gradient of x only."""

    @staticmethod
    def forward(ctx: Any, inputs: torch.Tensor, linear: LoraLinear) -> torch.Tensor:
        ctx.linear = linear
        return linear.multiply(inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        return ctx.linear.multiply_transposed(gradients[0]), None


class _LoraFunction(torch.autograd.Function):
    """x W^T + b + scale (x down^T) up^T, with gradients of x, down and up only."""

    @staticmethod
    def forward(
        ctx: Any,
        inputs: torch.Tensor,
        down: torch.Tensor,
        up: torch.Tensor,
        linear: LoraLinear,
        scale: float,
    ) -> torch.Tensor:
        rows = inputs.reshape(-1, inputs.shape[-1])
        down = down.to(rows.dtype)
        up = up.to(rows.dtype)
        output, reduced = _add_low_rank(linear.multiply(rows), rows, down, up, scale)
        ctx.save_for_backward(rows, reduced, down, up)
        ctx.linear = linear
        ctx.scale = scale
        # Not a view where it can be avoided: the output layer's logits are then modified in place.
        return output if inputs.dim() == 2 else output.view(*inputs.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        rows, reduced, down, up = ctx.saved_tensors
        shape = gradients[0].shape
        gradient = gradients[0].reshape(-1, shape[-1])
        reduced_gradient = gradient @ up
        down_gradient = up_gradient = input_gradient = None
        if ctx.needs_input_grad[1]:
            down_gradient = (reduced_gradient.t() @ rows).mul_(ctx.scale)
        if ctx.needs_input_grad[2]:
            # This way round MKL is twice as fast.
            up_gradient = (reduced.t() @ gradient).mul_(ctx.scale).t()
        if ctx.needs_input_grad[0]:
            input_gradient = ctx.linear.multiply_transposed(gradient)
            input_gradient.addmm_(reduced_gradient, down, alpha=ctx.scale)
            input_gradient = input_gradient.view(*shape[:-1], -1)
        # autograd casts the gradients of `down` and `up` to their own float32.
        return input_gradient, down_gradient, up_gradient, None, None


@dataclass(frozen=True)
class TensorSlot:
    """A tensor's place in an adapter's flat buffer."""

    name: str
    shape: tuple[int, int]
    offset: int

    @property
    def size(self) -> int:
        return self.shape[0] * self.shape[1]


@dataclass(frozen=True)
class AdapterLayout:
    """Which layers an adapter covers and where its tensors lie in one flat vector.

    One vector makes the optimiser, the gradient norm and a snapshot a handful of operations instead of hundreds.
    """

    lora: LoraConfig
    modules: tuple[str, ...]
    slots: tuple[TensorSlot, ...]
    size: int

    @property
    def scale(self) -> float:
        return self.lora.alpha / self.lora.rank


def select_modules(
    linears: Mapping[str, LoraLinear], head_name: str, lora: LoraConfig
) -> list[str]:
    """The layers that `lora` trains: attention, MLP and unembedding, told apart by their names."""
    selected = []
    for name in linears:
        if name == head_name:
            wanted = lora.train_unembed
        elif "attn" in name or "attention" in name:
            wanted = lora.train_attn
        else:
            wanted = lora.train_mlp
        if wanted:
            selected.append(name)
    return selected


def plan_adapter(
    linears: Mapping[str, LoraLinear],
    modules: Sequence[str],
    lora: LoraConfig,
    value_head_size: int | None,
) -> AdapterLayout:
    """Lay out an adapter's tensors; `value_head_size` is the hidden size for a critic."""
    slots: list[TensorSlot] = []
    offset = 0

    def add(name: str, rows: int, columns: int) -> None:
        nonlocal offset
        slots.append(TensorSlot(name, (rows, columns), offset))
        offset += rows * columns

    for name in modules:
        linear = linears[name]
        add(f"{name}.lora_A", lora.rank, linear.in_features)
        add(f"{name}.lora_B", linear.out_features, lora.rank)
    if value_head_size is not None:
        add(VALUE_HEAD, 1, value_head_size)
    return AdapterLayout(lora, tuple(modules), tuple(slots), offset)


MergedWeights = dict[str, torch.Tensor]
"""Weights with an adapter in them, packed where `multiply` has kernels for that, by the name of their layer."""


class AdapterWeights:
    """An adapter's tensors as views of one flat vector; trainable ones share their gradients' flat vector too."""

    def __init__(self, layout: AdapterLayout, flat: torch.Tensor, *, trainable: bool) -> None:
        self.layout = layout
        self.flat = flat
        self.gradient: torch.Tensor | None = torch.zeros_like(flat) if trainable else None
        self._views: dict[str, torch.Tensor] = {}
        for slot in layout.slots:
            part = slice(slot.offset, slot.offset + slot.size)
            view = flat[part].view(slot.shape)
            if self.gradient is not None:
                view.requires_grad_()
                # autograd adds into an existing .grad in place, so this stays a view of the flat gradient.
                view.grad = self.gradient[part].view(slot.shape)
            self._views[slot.name] = view
        #: What each layer adds, by its name.
        self.pairs = {
            name: LoraPair(
                self._views[f"{name}.lora_A"], self._views[f"{name}.lora_B"], layout.scale
            )
            for name in layout.modules
        }

    @property
    def value_head(self) -> torch.Tensor | None:
        return self._views.get(VALUE_HEAD)

    def merge(self, linears: Mapping[str, LoraLinear]) -> MergedWeights:
        """The adapter's layers with the adapter in their weights: new tensors, of the base's dtype."""
        weights = {}
        with torch.no_grad():
            for name, pair in self.pairs.items():
                weight = torch.addmm(linears[name].weight, pair.up, pair.down, alpha=pair.scale)
                packed = pack_weight(weight)
                weights[name] = weight if packed is None else packed
        return weights

    def initialise(self) -> None:
        """PEFT's default: uniform down-projections (Kaiming, a = sqrt 5), zero up-projections and value head."""
        generator = torch.Generator().manual_seed(self.layout.lora.seed)
        with torch.no_grad():
            self.flat.zero_()
            for name in self.layout.modules:
                down = self._views[f"{name}.lora_A"]
                bound = 1 / math.sqrt(down.shape[1])
                values = torch.rand(down.shape, generator=generator, dtype=torch.float32)
                down.copy_(values.mul_(2 * bound).sub_(bound))

    def freeze(self, dtype: torch.dtype) -> AdapterWeights:
        """A frozen copy for sampling; `dtype` is what the layers compute in, so that no step has to cast."""
        return AdapterWeights(self.layout, self.flat.detach().to(dtype, copy=True), trainable=False)


def save_adapter(
    layout: AdapterLayout, flat: torch.Tensor, directory: Path, base_model: str
) -> None:
    """Write PEFT's adapter_config.json and adapter_model.safetensors (and the value head in a file of its own)."""
    # Imported here: peft takes seconds to import and only its file format is needed.
    from peft import LoraConfig as PeftLoraConfig

    lora = layout.lora
    config = PeftLoraConfig(
        r=lora.rank,
        # peft's type says int; its scaling and its JSON take a float as well.
        lora_alpha=cast(int, lora.alpha),
        target_modules=list(layout.modules),
        lora_dropout=0.0,
        bias="none",
        task_type="CAUSAL_LM",
        base_model_name_or_path=base_model,
        inference_mode=True,
    )
    # Not PEFT's own save: it writes the set of layers in an order that differs from process to process.
    fields = {
        key: sorted(value) if isinstance(value, set) else value
        for key, value in config.to_dict().items()  # type: ignore[no-untyped-call]  # untyped in peft
    }
    text = json.dumps(fields, indent=2, sort_keys=True)
    (directory / CONFIG_FILE).write_text(f"{text}\n", encoding="utf-8")
    tensors: dict[str, torch.Tensor] = {}
    for slot in layout.slots:
        tensor = flat[slot.offset : slot.offset + slot.size].view(slot.shape).detach().cpu().clone()
        if slot.name == VALUE_HEAD:
            write_tensors(directory / f"{VALUE_HEAD}.safetensors", {VALUE_HEAD: tensor})
        else:
            tensors[f"{_PEFT_PREFIX}{slot.name}.weight"] = tensor
    write_tensors(directory / WEIGHTS_FILE, tensors, {"format": "pt"})


def load_adapter(
    linears: Mapping[str, LoraLinear], directory: Path, device: torch.device, dtype: torch.dtype
) -> tuple[AdapterLayout, torch.Tensor]:
    """Read an adapter in PEFT's format, ours or another tool's plain LoRA on the same base model."""
    try:
        config = json.loads((directory / CONFIG_FILE).read_text(encoding="utf-8"))
        tensors = safetensors.torch.load_file(directory / WEIGHTS_FILE)
        head_file = directory / f"{VALUE_HEAD}.safetensors"
        head = safetensors.torch.load_file(head_file)[VALUE_HEAD] if head_file.exists() else None
        rank, alpha = int(config["r"]), float(config["lora_alpha"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise EngineError(400, f"no readable adapter in {directory}: {error}") from error
    suffix = ".lora_A.weight"
    stored = {key[len(_PEFT_PREFIX) : -len(suffix)] for key in tensors if key.endswith(suffix)}
    modules = [name for name in linears if name in stored]
    if len(modules) != len(stored) or len(tensors) != 2 * len(stored):
        unknown = sorted(stored - set(modules))[:3]
        raise EngineError(
            400, f"the adapter in {directory} does not fit this base model (unknown: {unknown})"
        )
    lora = LoraConfig(rank=rank, seed=0, alpha=alpha)
    layout = plan_adapter(linears, modules, lora, None if head is None else head.shape[-1])
    flat = torch.empty(layout.size, dtype=dtype, device=device)
    for slot in layout.slots:
        source = (
            head if slot.name == VALUE_HEAD else tensors.get(f"{_PEFT_PREFIX}{slot.name}.weight")
        )
        if source is None or tuple(source.shape) != slot.shape:
            found = None if source is None else tuple(source.shape)
            raise EngineError(
                400,
                f"the adapter in {directory}: {slot.name} has shape {found}, expected {slot.shape}",
            )
        flat[slot.offset : slot.offset + slot.size] = source.reshape(-1).to(device, dtype)
    return layout, flat
