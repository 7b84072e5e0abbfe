"""A frozen Hugging Face causal language model, its LoRA layers and its forward passes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from memory_r1_engine.adapters import (
    AdapterWeights,
    LoraLinear,
    MergedWeights,
)
from memory_r1_engine.attention import (
    IMPLEMENTATION,
    QUERY_LIMIT,
    AttentionPass,
    UnsupportedAttentionError,
    find_active_attention,
    use_attention,
)
from memory_r1_engine.memory import RowCosts
from memory_r1_engine.norms import replace_rms_norms
from memory_r1_engine.packing import PackedRow, pack_sequences
from memory_r1_engine.products import has_kernels
from memory_r1_engine.tree_attention import (
    AttentionChoice,
    choose_attention,
    create_tree_attention,
)
from memory_r1_engine.types import EngineError

_PROBE_TOKENS = 48
"""Length of the row by which the memory of training is measured."""


class LanguageModel:
    """The base model. `supports_packing` is false where its attention cannot follow a tree (see `_probe`)."""

    def __init__(
        self,
        directory: Path,
        dtype: torch.dtype,
        device: torch.device,
        attention: AttentionChoice = "auto",
        pack_bytes: int = 0,
    ) -> None:
        """Load it. Weights of at most `pack_bytes` in all are kept packed as well; see products.py."""
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(str(directory))
            model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
                str(directory), dtype=dtype
            )
        except (OSError, ValueError) as error:
            raise EngineError(400, f"cannot load a model from {directory}: {error}") from error
        model.requires_grad_(False)
        model.eval()
        model.to(device)
        self.model = model
        self.device = device
        self.dtype = dtype
        self.logit_dtype = torch.float64 if dtype == torch.float64 else torch.float32
        self.decoder: nn.Module = getattr(model, model.base_model_prefix)
        self.max_context_length = int(getattr(model.config, "max_position_embeddings", 2048))
        self.eos_token_ids = _collect_eos(model, self.tokenizer)

        replace_rms_norms(model)
        head = model.get_output_embeddings()
        if not isinstance(head, nn.Linear):
            raise EngineError(400, f"{type(model).__name__} has no linear output layer")
        self.linears, self.head_name = _wrap_linears(model, head)
        self.head = self.linears[self.head_name]
        fits = self.count_weight_bytes(self.linears) <= pack_bytes
        packs = fits and has_kernels(device.type, dtype)
        for linear in self.linears.values():
            linear.packs = packs
            # Its copy would be the largest, for one product of few rows in a whole backward pass.
            linear.packs_transposed = packs and linear is not self.head
        self.vocabulary_size = self.head.out_features
        self.hidden_size = self.head.in_features
        self.cache_bytes_per_token = _count_cache_bytes(model.config, dtype)
        self._checkpointing = False
        self._checkpointed_layers = self._wrap_layers()
        #: How the attention of packed rows is computed, and why it is not the first choice (None where it is).
        self.attention, self.attention_note = choose_attention(attention, device, dtype)
        self.supports_packing = self._probe()
        self._row_costs: dict[tuple[int, int], RowCosts] = {}

    def activate(self, adapter: AdapterWeights | None, merged: MergedWeights | None = None) -> None:
        """Make `adapter`, or the base alone, what the next passes compute with.

        `merged` takes the place of the base's own weights; for sampling only.
        """
        pairs = {} if adapter is None else adapter.pairs
        for name, linear in self.linears.items():
            linear.active = pairs.get(name)
            linear.merged = None if merged is None else merged.get(name)

    def count_weight_bytes(self, modules: Iterable[str]) -> int:
        """Bytes that a copy of these layers' weights takes."""
        item_size = torch.finfo(self.dtype).bits // 8
        return sum(self.linears[name].weight.numel() for name in modules) * item_size

    @property
    def supports_checkpointing(self) -> bool:
        """Whether the model's layers can be computed again in the backward pass."""
        return self._checkpointed_layers > 0

    def run_row(self, row: PackedRow, *, checkpointing: bool = False) -> torch.Tensor:
        """Final hidden states of a row's nodes, nodes x hidden size.

        With `checkpointing` each layer keeps its input only and is computed again in the backward pass.
        """
        self._checkpointing = checkpointing
        try:
            if self.supports_packing:
                attention = create_tree_attention(self.attention, row, self.device)
                return self.run_attention(row.tokens, row.positions, attention)
            if len(row.members) != 1:
                raise AssertionError("a model without packing runs one sequence a row")
            return self._run(row.tokens, row.positions, nullcontext())
        finally:
            self._checkpointing = False

    def measure_row_costs(self, adapter: AdapterWeights, head_bytes: int) -> RowCosts:
        """Bytes that rows need beside the weights; `head_bytes` is the size of one chunk of logits.

        What the backward pass needs is measured: a short row is run, and the tensors that it keeps are counted. What
        lives only while a layer is computed (scores of attention, gradients of the widest layer) follows from the
        shapes. `adapter` stays active.
        """
        known = self._row_costs.get((adapter.layout.size, head_bytes))
        if known is not None:
            return known
        kept: dict[int, torch.UntypedStorage] = {}

        def count(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage
            return tensor

        (row,) = pack_sequences([[i % self.vocabulary_size for i in range(_PROBE_TOKENS)]], 4096)
        self.activate(adapter)
        with (
            torch.enable_grad(),
            torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor),
        ):
            hidden = self.run_row(row)
        weights = {tensor.untyped_storage().data_ptr() for tensor in self.model.parameters()}
        weights.add(adapter.flat.untyped_storage().data_ptr())
        saved = sum(storage.nbytes() for pointer, storage in kept.items() if pointer not in weights)
        del hidden
        saved = -(-saved // _PROBE_TOKENS)
        item_size = torch.finfo(self.dtype).bits // 8
        widest = max(
            linear.out_features for name, linear in self.linears.items() if name != self.head_name
        )
        heads, key_heads = _count_heads(self.model.config)
        # The masks of blocks; scores, probabilities and both gradients of some queries; 6 tensors as wide as the widest
        # layer.
        scores = {
            "blocks": heads // key_heads * QUERY_LIMIT,
            "sdpa": 4 * heads * QUERY_LIMIT,
            "flex": 0,
        }
        passing = item_size * (
            scores[self.attention if self.supports_packing else "sdpa"]
            + 6 * max(widest, self.hidden_size)
        )
        layers = max(1, self._checkpointed_layers)
        costs = RowCosts(
            # Logits, probabilities, their gradient and one to spare.
            fixed=4 * head_bytes,
            forward=passing,
            plain=saved + passing,
            checkpointed=layers * self.hidden_size * item_size + -(-saved // layers) + passing,
        )
        self._row_costs[adapter.layout.size, head_bytes] = costs
        return costs

    def run_attention(
        self, tokens: Sequence[int], positions: Sequence[int], attention: AttentionPass
    ) -> torch.Tensor:
        """Final hidden states of `tokens` at `positions` under an attention pass, tokens x hidden size."""
        return self._run(tokens, positions, use_attention(attention))

    def run_cached(
        self, batch: Sequence[Sequence[int]], first_position: int, cache: Any
    ) -> torch.Tensor:
        """transformers' own path: equally long continuations of a cache; batch x tokens x hidden size."""
        length = len(batch[0])
        positions = torch.arange(first_position, first_position + length, device=self.device)
        output = self.decoder(
            input_ids=torch.tensor(batch, device=self.device),
            position_ids=positions.expand(len(batch), -1),
            past_key_values=cache,
            use_cache=True,
        )
        hidden: torch.Tensor = output.last_hidden_state
        return hidden

    def compute_logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits of hidden states, in the model's dtype."""
        logits: torch.Tensor = self.head(hidden)
        return logits

    def _run(
        self,
        tokens: Sequence[int],
        positions: Sequence[int],
        context: AbstractContextManager[None],
    ) -> torch.Tensor:
        with context:
            output = self.decoder(
                input_ids=torch.tensor([tokens], device=self.device),
                position_ids=torch.tensor([positions], device=self.device),
                use_cache=False,
            )
        hidden: torch.Tensor = output.last_hidden_state[0]
        return hidden

    def _wrap_layers(self) -> int:
        """Let every layer of the decoder be checkpointed when `_checkpointing` is set; returns how many there are.

        transformers' own switch needs the model in training mode, which turns dropout on as well.
        """
        layers = [
            module
            for module in self.decoder.modules()
            if isinstance(module, GradientCheckpointingLayer)
        ]
        for layer in layers:
            layer.forward = self._checkpoint_forward(layer.forward)
        return len(layers)

    def _checkpoint_forward(self, forward: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **named: Any) -> Any:
            if not (self._checkpointing and torch.is_grad_enabled()):
                return forward(*arguments, **named)
            # The layer is computed again outside `use_attention`, on a GPU even on another thread.
            active = find_active_attention()

            def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
                again = nullcontext() if active is None else use_attention(active)
                return nullcontext(), again

            return checkpoint(
                forward,
                *arguments,
                use_reentrant=False,
                # Nothing in a layer is random: dropout is off.
                preserve_rng_state=False,
                context_fn=contexts,
                **named,
            )

        return run

    def _probe(self) -> bool:
        """Whether tree attention gives this model's own logits; switches the model to it if so.

        Two short sequences with a common start run packed, and separately through transformers' own path. A model whose
        logits are not the output layer's at all (scaled or capped afterwards) cannot be served.
        """
        first = [index % self.vocabulary_size for index in (5, 17, 3, 29, 11, 2)]
        second = [*first[:3], 7 % self.vocabulary_size, 13 % self.vocabulary_size]
        tolerance = 0.05 if self.dtype == torch.bfloat16 else 1e-3
        with torch.no_grad():
            expected = [
                self.model(input_ids=torch.tensor([tokens], device=self.device)).logits[0]
                for tokens in (first, second)
            ]
            scale = max(float(logits.abs().max()) for logits in expected)
            plain = self._run(first, range(len(first)), nullcontext())
            if _differ(self.compute_logits(plain), expected[0], tolerance * scale):
                raise EngineError(
                    400, f"{type(self.model).__name__} changes its logits after the output layer"
                )
            if _has_windows(self.model.config, self.max_context_length):
                return False
            own_implementation = self.model.config._attn_implementation
            try:
                self.model.set_attn_implementation(IMPLEMENTATION)
                (row,) = pack_sequences([first, second], 64)
                packed = self.compute_logits(
                    self.run_attention(
                        row.tokens,
                        row.positions,
                        create_tree_attention(self.attention, row, self.device),
                    )
                )
                members = sorted(row.members, key=lambda member: member.index)
                if any(
                    _differ(packed[member.nodes], logits, tolerance * scale)
                    for member, logits in zip(members, expected, strict=True)
                ):
                    raise UnsupportedAttentionError("different logits")
            except (UnsupportedAttentionError, ValueError, TypeError, LookupError):
                self.model.set_attn_implementation(own_implementation)
                return False
        return True


def _count_heads(config: Any) -> tuple[int, int]:
    """Heads of queries, and of keys."""
    heads = int(config.num_attention_heads)
    return heads, int(getattr(config, "num_key_value_heads", None) or heads)


def _count_cache_bytes(config: Any, dtype: torch.dtype) -> int:
    """Bytes of keys and values that one token takes in all layers."""
    heads, key_heads = _count_heads(config)
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    return int(2 * config.num_hidden_layers * key_heads * size * torch.finfo(dtype).bits // 8)


def _differ(first: torch.Tensor, second: torch.Tensor, tolerance: float) -> bool:
    # Written so that a NaN counts as a difference.
    return not bool((first - second).abs().max() <= tolerance)


def _has_windows(config: Any, max_context_length: int) -> bool:
    """Whether some layer looks at less than the whole context."""
    if any(kind != "full_attention" for kind in getattr(config, "layer_types", None) or ()):
        return True
    window = getattr(config, "sliding_window", None)
    uses_window = getattr(config, "use_sliding_window", True)
    return window is not None and uses_window and window < max_context_length


def _collect_eos(model: PreTrainedModel, tokenizer: Any) -> tuple[int, ...]:
    """Every end-of-turn token that the model's files name."""
    found: list[int] = []
    generation = getattr(model, "generation_config", None)
    for source in (generation, model.config, tokenizer):
        value = getattr(source, "eos_token_id", None)
        for token in value if isinstance(value, list | tuple) else [value]:
            if token is not None and token not in found:
                found.append(int(token))
    return tuple(found)


def _wrap_linears(model: PreTrainedModel, head: nn.Linear) -> tuple[dict[str, LoraLinear], str]:
    """Replace every linear layer by one that can carry an adapter; by name, the output layer's name apart."""
    wrapped: dict[str, LoraLinear] = {}
    head_name = ""
    for name, module in list(model.named_modules()):
        if not isinstance(module, nn.Linear):
            continue
        parent_name, _, attribute = name.rpartition(".")
        linear = LoraLinear(module)
        setattr(model.get_submodule(parent_name), attribute, linear)
        wrapped[name] = linear
        if module is head:
            head_name = name
    return wrapped, head_name
