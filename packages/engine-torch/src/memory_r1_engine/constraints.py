"""Grammar masks over tokens: the sampler and the trainer ask the same object, so their log-probabilities agree."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import llguidance.hf
import numpy as np
import torch
from llguidance import LLMatcher, LLTokenizer

from memory_r1_engine.tools import build_tool_grammar, parse_tool_signatures
from memory_r1_engine.types import Constraint, EngineError

COMPILED_GRAMMARS = 256
"""Compiled grammars kept; the least recently used is dropped first."""


class ConstraintState:
    """A grammar and what it has consumed. After an end-of-turn token it is ended and allows nothing."""

    def __init__(self, matcher: LLMatcher, eos_token_ids: Sequence[int]) -> None:
        self._matcher = matcher
        self._eos_token_ids = frozenset(eos_token_ids)
        self.is_ended = False

    def compute_mask(self) -> bytes:
        """One bit per token, lowest bit first. Where the grammar may stop, the end-of-turn tokens are among them."""
        mask = self._matcher.compute_bitmask()
        if self._matcher.is_error():
            raise EngineError(400, f"the constraint failed: {self._matcher.get_error()[:300]}")
        return mask

    def consume(self, token: int) -> None:
        """Advance by a token that the mask allows."""
        if token in self._eos_token_ids:
            self.is_ended = True
        elif not self._matcher.consume_token(token):
            raise EngineError(400, f"the constraint failed: {self._matcher.get_error()[:300]}")

    def look_ahead(self, draft: Sequence[int]) -> list[bytes]:
        """The masks of now and after each token of `draft` (none of them ends a turn), as far as those are allowed. The
        state stays where it is."""
        masks = [self.compute_mask()]
        for token in draft:
            if not is_allowed(masks[-1], token):
                break
            self.consume(token)
            masks.append(self.compute_mask())
        if len(masks) > 1:
            self._matcher.rollback(len(masks) - 1)
        return masks


class ConstraintCompiler:
    """Compiles constraints for one tokenizer and hands out fresh states."""

    def __init__(self, tokenizer: Any, vocabulary_size: int, eos_token_ids: Sequence[int]) -> None:
        self._hf_tokenizer = tokenizer
        self._vocabulary_size = vocabulary_size
        self._eos_token_ids = tuple(eos_token_ids)
        self._tokenizer: LLTokenizer | None = None
        self._compiled: OrderedDict[Constraint, LLMatcher] = OrderedDict()

    def start(self, constraint: Constraint) -> ConstraintState:
        """A state that has consumed nothing. An invalid constraint, or one that nothing satisfies, is a 400."""
        matcher = self._compiled.get(constraint)
        if matcher is None:
            matcher = self._compile(constraint)
            self._compiled[constraint] = matcher
            if len(self._compiled) > COMPILED_GRAMMARS:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(constraint)
        return ConstraintState(matcher.deep_copy(), self._eos_token_ids)

    def _compile(self, constraint: Constraint) -> LLMatcher:
        if self._tokenizer is None:
            # Half a second for a large vocabulary, so only when the first constraint comes.
            self._tokenizer = llguidance.hf.from_tokenizer(
                self._hf_tokenizer,
                n_vocab=self._vocabulary_size,
                eos_token=list(self._eos_token_ids),
            )
        if constraint.type == "regex":
            grammar = LLMatcher.grammar_from_regex(constraint.value)
        elif constraint.type == "tools":
            signatures = parse_tool_signatures(constraint.value)
            grammar = LLMatcher.grammar_from_lark(build_tool_grammar(signatures))
        else:
            try:
                grammar = LLMatcher.grammar_from_json_schema(constraint.value)
            except ValueError as error:
                raise EngineError(400, f"invalid json_schema constraint: {error}") from error
        matcher = LLMatcher(self._tokenizer, grammar, log_level=0)
        if matcher.is_error():
            raise EngineError(400, f"invalid {constraint.type} constraint: {matcher.get_error()}")
        allowed = find_allowed_tokens(matcher.compute_bitmask())
        # llguidance offers the end-of-turn token as the way out of a grammar that nothing matches.
        if not matcher.is_accepting() and set(allowed) <= set(self._eos_token_ids):
            raise EngineError(
                400,
                f"invalid {constraint.type} constraint: no text matches {constraint.value[:200]!r}",
            )
        return matcher


def find_allowed_tokens(mask: bytes) -> list[int]:
    """The ids whose bit is set."""
    bits = np.unpackbits(np.frombuffer(mask, dtype=np.uint8), bitorder="little")
    return [int(token) for token in np.flatnonzero(bits)]


def is_allowed(mask: bytes, token: int) -> bool:
    return bool(mask[token >> 3] >> (token & 7) & 1)


def find_forced_token(mask: bytes) -> int | None:
    """The only allowed token, or None where there is a choice."""
    bits = int.from_bytes(mask, "little")
    return bits.bit_length() - 1 if bits.bit_count() == 1 else None


def unpack_forbidden(masks: Sequence[bytes], vocabulary_size: int) -> torch.Tensor:
    """What packed masks do not allow, masks x vocabulary; a token beyond a mask's end is not allowed.

    By numpy, which starts no threads: see the load thread of `__main__`.
    """
    size = max(-(-vocabulary_size // 8), *(len(mask) for mask in masks))
    packed = np.frombuffer(b"".join(mask.ljust(size, b"\0") for mask in masks), dtype=np.uint8)
    packed = np.invert(packed.reshape(len(masks), -1))
    bits = np.unpackbits(packed, axis=1, count=vocabulary_size, bitorder="little")
    return torch.from_numpy(bits).view(torch.bool)


def mask_completion(state: ConstraintState, completion: Sequence[int]) -> list[bytes]:
    """The masks under which each token of `completion` was to be sampled. A token outside its mask is a 400."""
    masks: list[bytes] = []
    for position, token in enumerate(completion):
        if state.is_ended:
            raise EngineError(
                400, f"completion token {position} (id {token}) comes after the constraint's end"
            )
        mask = state.compute_mask()
        if not is_allowed(mask, token):
            raise EngineError(
                400, f"completion token {position} (id {token}) is not allowed by the constraint"
            )
        masks.append(mask)
        state.consume(token)
    return masks


def forbid_tokens(logits: torch.Tensor, rows: Sequence[int], forbidden: torch.Tensor) -> None:
    """Overwrite the forbidden tokens' logits in these rows.

    By a huge negative number instead of minus infinity, so that p log p is 0 for them.
    """
    forbidden = forbidden.to(logits.device)
    lowest = torch.finfo(logits.dtype).min / 4
    if len(rows) == len(logits):
        logits.masked_fill_(forbidden, lowest)
    else:
        index = torch.tensor(rows, device=logits.device)
        logits[index] = logits[index].masked_fill_(forbidden, lowest)


@dataclass(frozen=True)
class MaskRequest:
    """A state that is to consume the tokens that were chosen, and then to say what may follow each token of a draft."""

    state: ConstraintState
    chosen: Sequence[int]
    draft: Sequence[int]


@dataclass(frozen=True)
class NextMasks:
    """What may not follow, rows x vocabulary, of each request: in its state, and after each token of its draft.

    Rows behind a token of the draft that is not allowed forbid nothing. `failures`: by the request's place.
    """

    forbidden: torch.Tensor
    failures: dict[int, EngineError]


class MaskThread:
    """Computes the masks of a batch's next tokens while the model runs.

    llguidance works without Python's interpreter lock, and so does the unpacking of bits. Between `start` and the
    end of its future no one else may use the states.
    """

    def __init__(self, vocabulary_size: int) -> None:
        self._vocabulary_size = vocabulary_size
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="masks")

    def start(self, requests: Sequence[MaskRequest]) -> Future[NextMasks]:
        return self._thread.submit(self._compute, requests)

    def _compute(self, requests: Sequence[MaskRequest]) -> NextMasks:
        everything = b"\xff" * -(-self._vocabulary_size // 8)
        rows: list[bytes] = []
        failures: dict[int, EngineError] = {}
        for place, request in enumerate(requests):
            masks: list[bytes] = []
            try:
                for token in request.chosen:
                    request.state.consume(token)
                masks = request.state.look_ahead(request.draft)
            except EngineError as error:
                failures[place] = error
            rows += [*masks, *[everything] * (1 + len(request.draft) - len(masks))]
        return NextMasks(unpack_forbidden(rows, self._vocabulary_size), failures)
