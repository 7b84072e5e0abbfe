"""Forward and backward of one call: datums in, per-datum outputs and accumulated gradients out."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from memory_r1_engine.adapters import AdapterWeights
from memory_r1_engine.constraints import (
    ConstraintCompiler,
    find_forced_token,
    forbid_tokens,
    mask_completion,
    unpack_forbidden,
)
from memory_r1_engine.language_model import LanguageModel
from memory_r1_engine.losses import (
    CLIPPING_LOSSES,
    LossInputs,
    compute_token_losses,
    count_clipped,
    list_required_inputs,
    resolve_loss_config,
)
from memory_r1_engine.memory import (
    TrainingLimits,
    TrainingMemoryError,
    is_out_of_memory,
    plan_budget,
    read_peak,
    start_peak,
)
from memory_r1_engine.packing import PackedRow, pack_sequences
from memory_r1_engine.types import (
    Datum,
    DatumOutput,
    EngineError,
    ForwardBackwardOutput,
    LossFunction,
    ModelRole,
)

HEAD_BYTES = 32 * 2**20
"""Size of one chunk of logits: full-vocabulary work never holds more than a few tensors of this size."""

ROW_TARGET_TOKENS = 384
"""Nodes at which a row is closed before an unrelated prompt; larger rows run no faster and need more memory."""


@dataclass(frozen=True)
class _Entry:
    """One trained position: hidden state `position` of a datum predicts `target`, element `element` of its lists."""

    datum: int
    element: int
    position: int
    target: int
    mask: bytes | None


@dataclass(frozen=True)
class _PreparedDatum:
    tokens: list[int]
    entries: list[_Entry]


def run_training_call(
    language_model: LanguageModel,
    compiler: ConstraintCompiler,
    adapter: AdapterWeights,
    role: ModelRole,
    data: Sequence[Datum],
    loss_fn: LossFunction,
    config: dict[str, float] | None,
    *,
    backward: bool,
    share_prefixes: bool,
    limits: TrainingLimits,
) -> ForwardBackwardOutput:
    """The outputs of `data` in its order; with `backward`, gradients are added to the adapter's.

    Everything that can be wrong with the input is found before anything is computed. Raises TrainingMemoryError where
    memory runs out; the adapter's gradient then holds a part of the sum.
    """
    started = time.perf_counter()
    settings = resolve_loss_config(loss_fn, config)
    if (loss_fn == "ppo_critic") != (role == "critic"):
        raise EngineError(400, f"loss_fn {loss_fn} does not belong to a model of role {role}")
    if not data:
        raise EngineError(400, "data is empty: send at least one datum")
    required = list_required_inputs(loss_fn, settings)
    prepared = [
        _prepare_datum(language_model, compiler, datum, index, loss_fn, required)
        for index, datum in enumerate(data)
    ]
    budget = plan_budget(
        limits, language_model.measure_row_costs(adapter, HEAD_BYTES), backward=backward
    )
    for index, datum in enumerate(prepared):
        budget.check_sequence(len(datum.tokens), f"datum {index}")
    rows = pack_sequences(
        [datum.tokens for datum in prepared],
        budget.row_tokens,
        share=share_prefixes and language_model.supports_packing,
        target_tokens=ROW_TARGET_TOKENS,
    )
    call = _TrainingCall(language_model, adapter, data, prepared, loss_fn, settings, backward)
    language_model.activate(adapter)
    largest = max(len(row.tokens) for row in rows)
    start_peak(language_model.device)
    try:
        for row in rows:
            call.run_row(row, checkpointing=budget.is_checkpointed(len(row.tokens)))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingMemoryError(largest, f"{type(error).__name__}: {error}") from None
    peak = read_peak(language_model.device)
    metrics = {
        "loss:sum": call.loss,
        "positions:sum": float(call.positions),
        "tokens_computed:sum": float(sum(len(row.tokens) for row in rows)),
        "tokens_unpacked:sum": float(sum(len(datum.tokens) for datum in prepared)),
        "seconds:sum": time.perf_counter() - started,
        "rows:sum": float(len(rows)),
        "row_tokens:max": float(largest),
        "checkpointed_rows:sum": float(
            sum(budget.is_checkpointed(len(row.tokens)) for row in rows)
        ),
        "memory_estimated_bytes:max": float(max(budget.estimate(len(row.tokens)) for row in rows)),
        **({} if peak is None else {"memory_peak_bytes:max": float(peak)}),
    }
    if loss_fn in CLIPPING_LOSSES:
        metrics["clipped:sum"] = float(call.clipped)
    return ForwardBackwardOutput(call.build_outputs(), metrics)


class _TrainingCall:
    """Runs rows one after another, so that activations of one row exist at a time."""

    def __init__(
        self,
        language_model: LanguageModel,
        adapter: AdapterWeights,
        data: Sequence[Datum],
        prepared: Sequence[_PreparedDatum],
        loss_fn: LossFunction,
        settings: dict[str, float],
        backward: bool,
    ) -> None:
        self._model = language_model
        self._adapter = adapter
        self._data = data
        self._prepared = prepared
        self._loss_fn: LossFunction = loss_fn
        self._settings = settings
        self._backward = backward
        lengths = [len(datum.target_tokens) for datum in data]
        self._predictions = [[0.0] * length for length in lengths]
        self._entropies = [[0.0] * length for length in lengths]
        #: By datum, for the losses that need it.
        self._sequence_log_ratios: dict[int, float] = {}
        self.loss = 0.0
        self.positions = 0
        self.clipped = 0

    def build_outputs(self) -> list[DatumOutput]:
        if self._loss_fn == "ppo_critic":
            return [DatumOutput(values=values) for values in self._predictions]
        return [
            DatumOutput(logprobs=logprobs, entropy=entropy)
            for logprobs, entropy in zip(self._predictions, self._entropies, strict=True)
        ]

    def run_row(self, row: PackedRow, *, checkpointing: bool) -> None:
        forced: list[_Entry] = []
        entries: list[_Entry] = []
        nodes: list[int] = []
        for member in row.members:
            for entry in self._prepared[member.index].entries:
                if entry.mask is not None and find_forced_token(entry.mask) is not None:
                    # One choice: probability 1 whatever the weights are, so nothing to compute.
                    forced.append(entry)
                else:
                    entries.append(entry)
                    nodes.append(member.nodes[entry.position])
        with torch.set_grad_enabled(self._backward):
            hidden = self._model.run_row(row, checkpointing=checkpointing) if entries else None
            if hidden is not None and self._loss_fn == "ppo_critic":
                self._run_values(hidden, nodes, entries)
                return
            plan = _plan_head(nodes, entries, self._head_chunk_rows())
            if self._loss_fn == "gspo":
                self._measure_sequences(hidden, plan, entries, forced)
            for entry in forced:
                self._record([entry], torch.zeros(1), torch.zeros(1), self._inputs([entry]))
            if hidden is not None:
                self._run_logprobs(hidden, plan, entries)

    def _head_chunk_rows(self) -> int:
        item_size = torch.finfo(self._model.logit_dtype).bits // 8
        return max(1, HEAD_BYTES // (self._model.vocabulary_size * item_size))

    def _measure_sequences(
        self,
        hidden: torch.Tensor | None,
        plan: _HeadPlan,
        entries: Sequence[_Entry],
        forced: Sequence[_Entry],
    ) -> None:
        """The mean log-ratio of every datum of a row, all of whose positions are in it.

        A pass of the head of its own, without gradients: the ratio of a sequence must be known before the first chunk's
        slopes are, and chunks cut sequences.
        """
        sums: dict[int, float] = {}

        def add(entry: _Entry, logprob: float) -> None:
            old = (self._data[entry.datum].logprobs or ())[entry.element]
            sums[entry.datum] = sums.get(entry.datum, 0.0) + logprob - old

        for entry in forced:
            add(entry, 0.0)
        if hidden is not None:
            kept = hidden.detach()[torch.tensor(plan.nodes, device=hidden.device)]
            for chunk in plan.chunks:
                with torch.no_grad():
                    logits = self._model.compute_logits(kept[chunk.start : chunk.stop])
                    masks = plan.masks[chunk.start : chunk.stop]
                    logprobs = normalise_logits(logits.to(self._model.logit_dtype), masks)
                    owners = torch.tensor(chunk.owners, device=logits.device)
                    part = [entries[index] for index in chunk.entries]
                    targets = torch.tensor([entry.target for entry in part], device=logits.device)
                    chosen = logprobs[owners, targets]
                for entry, logprob in zip(part, chosen.tolist(), strict=True):
                    add(entry, logprob)
        for datum, total in sums.items():
            self._sequence_log_ratios[datum] = total / len(self._prepared[datum].entries)

    def _run_values(self, hidden: torch.Tensor, nodes: list[int], entries: list[_Entry]) -> None:
        value_head = self._adapter.value_head
        if value_head is None:
            raise AssertionError("a critic has a value head")
        kept = select_nodes(hidden, nodes).to(value_head.dtype)
        values = (kept @ value_head.t()).squeeze(-1)
        inputs = self._inputs(entries)
        losses = compute_token_losses(self._loss_fn, self._settings, values, inputs)
        self._record(entries, values.detach(), None, inputs)
        if self._backward:
            losses.sum().backward()

    def _run_logprobs(
        self, hidden: torch.Tensor, plan: _HeadPlan, entries: Sequence[_Entry]
    ) -> None:
        kept = select_nodes(hidden, plan.nodes)
        kept_gradient = torch.zeros_like(kept) if self._backward else None
        any_gradient = False
        for chunk in plan.chunks:
            gradient = self._run_head_chunk(
                kept[chunk.start : chunk.stop],
                plan.masks[chunk.start : chunk.stop],
                chunk.owners,
                [entries[index] for index in chunk.entries],
            )
            if kept_gradient is not None and gradient is not None:
                kept_gradient[chunk.start : chunk.stop] = gradient
                any_gradient = True
        if any_gradient:
            # Rows whose every advantage is zero stop here: their backward pass would add nothing.
            torch.autograd.backward([kept], [kept_gradient])

    def _run_head_chunk(
        self,
        hidden: torch.Tensor,
        masks: Sequence[bytes | None],
        owners: list[int],
        entries: list[_Entry],
    ) -> torch.Tensor | None:
        """Losses of some rows of logits, and the gradient of their hidden states (None where it is zero).

        The gradient in the logits is written out by hand, which spares autograd's copies of vocabulary-sized tensors:
        c (onehot - p) summed over a row's entries with c = d loss / d logprob, and for an entropy term
        -e p (log p + entropy) with e = d loss / d entropy.
        """
        device = hidden.device
        leaf = hidden.detach().requires_grad_(self._backward)
        logits = self._model.compute_logits(leaf)
        owner_index = torch.tensor(owners, device=device)
        targets = torch.tensor([entry.target for entry in entries], device=device)
        inputs = self._inputs(entries)
        with torch.no_grad():
            logprobs = normalise_logits(logits.detach().to(self._model.logit_dtype), masks)
            probabilities = logprobs.exp()
            entropy = -torch.linalg.vecdot(probabilities, logprobs)
            chosen = logprobs[owner_index, targets]
        with torch.enable_grad():
            leaf_chosen = chosen.detach().requires_grad_()
            losses = compute_token_losses(
                self._loss_fn, self._settings, leaf_chosen, inputs, entropy[owner_index]
            )
            (slopes,) = torch.autograd.grad(losses.sum(), leaf_chosen)
        self._record(entries, chosen, entropy[owner_index], inputs)
        entropy_coefficient = self._settings.get("entropy_coefficient", 0.0)
        if not self._backward or not (entropy_coefficient != 0 or bool((slopes != 0).any())):
            return None

        def sum_by_owner(values: torch.Tensor) -> torch.Tensor:
            total = torch.zeros(len(masks), 1, dtype=values.dtype, device=device)
            return total.index_add_(0, owner_index, values[:, None])

        with torch.no_grad():
            entropy_gradient = None
            if entropy_coefficient != 0:
                entropy_slopes = sum_by_owner(-entropy_coefficient * inputs.weights)
                entropy_gradient = logprobs.add_(entropy[:, None]).mul_(probabilities)
                entropy_gradient.mul_(-entropy_slopes)
            logit_gradient = probabilities.mul_(-sum_by_owner(slopes))
            logit_gradient.index_put_((owner_index, targets), slopes, accumulate=True)
            if entropy_gradient is not None:
                logit_gradient.add_(entropy_gradient)
        torch.autograd.backward([logits], [logit_gradient.to(logits.dtype)])
        return leaf.grad

    def _inputs(self, entries: Sequence[_Entry]) -> LossInputs:
        """The entries' loss inputs as tensors."""

        def to_tensor(values: list[float]) -> torch.Tensor:
            return torch.tensor(values, dtype=self._model.logit_dtype, device=self._model.device)

        def collect(field: str, default: float) -> torch.Tensor:
            values = []
            for entry in entries:
                source: tuple[float, ...] | None = getattr(self._data[entry.datum], field)
                values.append(default if source is None else source[entry.element])
            return to_tensor(values)

        return LossInputs(
            weights=collect("weights", 1.0),
            old_logprobs=collect("logprobs", 0.0),
            advantages=collect("advantages", 0.0),
            old_values=collect("values", 0.0),
            returns=collect("returns", 0.0),
            ref_logprobs=collect("ref_logprobs", 0.0),
            sequence_log_ratios=to_tensor(
                [self._sequence_log_ratios.get(entry.datum, 0.0) for entry in entries]
            ),
        )

    def _record(
        self,
        entries: Sequence[_Entry],
        predictions: torch.Tensor,
        entropy: torch.Tensor | None,
        inputs: LossInputs,
    ) -> None:
        with torch.no_grad():
            predictions = predictions.to(inputs.weights)
            entropies = None if entropy is None else entropy.to(inputs.weights)
            losses = compute_token_losses(
                self._loss_fn, self._settings, predictions, inputs, entropies
            )
            self.loss += float(losses.sum(dtype=torch.float64))
            self.clipped += count_clipped(self._loss_fn, self._settings, predictions, inputs)
        self.positions += len(entries)
        _check_finite(losses, entries)
        for entry, value in zip(entries, predictions.tolist(), strict=True):
            self._predictions[entry.datum][entry.element] = value
        if entropy is not None:
            for entry, value in zip(entries, entropy.tolist(), strict=True):
                self._entropies[entry.datum][entry.element] = value


@dataclass(frozen=True)
class _HeadChunk:
    """Rows `start..stop` of the logits, the entries that read them, and each entry's row, counted from `start`."""

    start: int
    stop: int
    entries: list[int]
    owners: list[int]


@dataclass(frozen=True)
class _HeadPlan:
    """The rows of logits that a row's entries need: node and mask of each, in chunks."""

    nodes: list[int]
    masks: list[bytes | None]
    chunks: list[_HeadChunk]


def select_nodes(hidden: torch.Tensor, nodes: Sequence[int]) -> torch.Tensor:
    """Rows of `hidden` by node, where a node may come several times (completions begin at their prompt's last token).

    Not `hidden[nodes]`: the backward pass of that adds the gradients of a repeated node in the order in which threads
    come by, so that two equal calls differ in the last bit.
    """
    return hidden.index_select(0, torch.tensor(nodes, device=hidden.device))


def _plan_head(nodes: Sequence[int], entries: Sequence[_Entry], chunk_rows: int) -> _HeadPlan:
    # Entries at the same node under the same mask share one row of logits.
    head_rows: dict[tuple[int, bytes | None], int] = {}
    owners = [
        head_rows.setdefault((node, entry.mask), len(head_rows))
        for node, entry in zip(nodes, entries, strict=True)
    ]
    order = sorted(range(len(entries)), key=lambda index: owners[index])
    chunks = []
    cursor = 0
    for start in range(0, len(head_rows), chunk_rows):
        stop = min(start + chunk_rows, len(head_rows))
        part: list[int] = []
        while cursor < len(order) and owners[order[cursor]] < stop:
            part.append(order[cursor])
            cursor += 1
        chunks.append(_HeadChunk(start, stop, part, [owners[index] - start for index in part]))
    return _HeadPlan([node for node, _ in head_rows], [mask for _, mask in head_rows], chunks)


def _check_finite(losses: torch.Tensor, entries: Sequence[_Entry]) -> None:
    """A loss that is not a number would poison every later step: the call is refused and says whose it is."""
    if bool(losses.isfinite().all()):
        return
    index = int(losses.isfinite().logical_not().nonzero()[0])
    entry = entries[index]
    raise EngineError(
        400,
        f"datum {entry.datum}: the loss of target {entry.element} is {float(losses[index])}: nothing was accumulated "
        "and the weights are unchanged; check its logprobs, advantages, values and returns. Where they are right, the "
        "weights have diverged: load an earlier checkpoint",
    )


def normalise_logits(logits: torch.Tensor, masks: Sequence[bytes | None]) -> torch.Tensor:
    """Log-probabilities over the allowed tokens; `logits` may be overwritten."""
    constrained = [index for index, mask in enumerate(masks) if mask is not None]
    if constrained:
        present = [mask for mask in masks if mask is not None]
        forbid_tokens(logits, constrained, unpack_forbidden(present, logits.shape[-1]))
    return torch.log_softmax(logits, dim=-1)


def _prepare_datum(
    language_model: LanguageModel,
    compiler: ConstraintCompiler,
    datum: Datum,
    index: int,
    loss_fn: LossFunction,
    required: Sequence[str],
) -> _PreparedDatum:
    """Check a datum and list its trained positions.

    Skipped are positions of weight 0, and positions inside the prompt whose advantage is 0 (how the full alignment says
    "not trained" without weights). A completion's position of advantage 0 is kept: its log-probability is asked for.
    """
    where = f"datum {index}"
    tokens = [token for chunk in datum.chunks for token in chunk]
    length = len(datum.target_tokens)
    if not tokens:
        raise EngineError(400, f"{where}: model_input is empty")
    if len(tokens) > language_model.max_context_length:
        raise EngineError(
            400,
            f"{where}: {len(tokens)} tokens, the model's context holds"
            f" {language_model.max_context_length}",
        )
    if not 0 < length <= len(tokens):
        raise EngineError(
            400,
            f"{where}: target_tokens has {length} elements, expected 1 to {len(tokens)}"
            " (as long as the input, or shorter and right-aligned)",
        )
    check_tokens(tokens, language_model.vocabulary_size, f"{where}: model_input")
    check_tokens(datum.target_tokens, language_model.vocabulary_size, f"{where}: target_tokens")
    for name in ("weights", "logprobs", "advantages", "values", "returns", "ref_logprobs"):
        values: tuple[float, ...] | None = getattr(datum, name)
        if values is None:
            if name in required:
                raise EngineError(400, f"{where}: loss_fn {loss_fn} needs {name}")
            continue
        if len(values) != length:
            raise EngineError(
                400, f"{where}: {name} has {len(values)} elements, target_tokens has {length}"
            )
        for element, value in enumerate(values):
            if not math.isfinite(value):
                raise EngineError(400, f"{where}: {name}[{element}] is {value}, not finite")

    offset = len(tokens) - length
    prompt_length = len(datum.chunks[0])
    masks = _mask_datum(compiler, datum, tokens, prompt_length, where)
    if loss_fn == "ppo_critic":
        # Checked all the same, but a value does not depend on what could be sampled.
        masks = None
    entries = []
    for element, target in enumerate(datum.target_tokens):
        position = offset + element
        in_prompt = position + 1 < prompt_length
        if datum.weights is not None:
            skipped = datum.weights[element] == 0
        else:
            skipped = in_prompt and datum.advantages is not None and datum.advantages[element] == 0
        if not skipped:
            mask = None if masks is None or in_prompt else masks[position + 1 - prompt_length]
            entries.append(_Entry(index, element, position, target, mask))
    return _PreparedDatum(tokens, entries)


def _mask_datum(
    compiler: ConstraintCompiler,
    datum: Datum,
    tokens: Sequence[int],
    prompt_length: int,
    where: str,
) -> list[bytes] | None:
    """The masks of a constrained datum's completion, from its first token after chunk 0 to the last target."""
    if datum.constraint is None:
        return None
    if prompt_length == 0:
        raise EngineError(400, f"{where}: a constrained datum needs its prompt as chunk 0")
    length = len(datum.target_tokens)
    completion = [*tokens[prompt_length:], datum.target_tokens[-1]]
    # The grammar follows the input's tokens, so the targets must be those tokens.
    shared = min(length, len(completion))
    if list(datum.target_tokens[length - shared :]) != completion[len(completion) - shared :]:
        raise EngineError(
            400, f"{where}: the targets of a constrained datum must be the input's next tokens"
        )
    try:
        return mask_completion(compiler.start(datum.constraint), completion)
    except EngineError as error:
        raise EngineError(error.status, f"{where}: {error.detail}") from error


def check_tokens(tokens: Sequence[int], vocabulary_size: int, where: str) -> None:
    """A token id outside the vocabulary is a 400 that says where it is."""
    for position, token in enumerate(tokens):
        if not 0 <= token < vocabulary_size:
            raise EngineError(
                400,
                f"{where}[{position}] is token {token}: ids run from 0 to {vocabulary_size - 1}",
            )
