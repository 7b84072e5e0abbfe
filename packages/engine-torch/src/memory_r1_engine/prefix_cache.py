"""Keys and values of prompts, computed block by block and kept across requests.

A prompt is cut into blocks of a fixed number of tokens, from its start. A block is always computed by a pass of its
own, over contiguous keys of just the blocks before it, whoever asks for it and whatever is kept: its bits are a
function of the weights and of the tokens up to its end, so a kept block and one computed again are the same.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from memory_r1_engine.attention import attend_under_mask, build_score_mask
from memory_r1_engine.language_model import LanguageModel

PREFIX_CACHE_BYTES = 512 * 2**20
"""Keys and values kept across requests, by default."""


@dataclass(frozen=True)
class PrefixBlock:
    """What some consecutive tokens of a prompt leave behind: keys and values by layer (heads x tokens x size each) and
    the final hidden state of the last of them."""

    layers: dict[int, tuple[torch.Tensor, torch.Tensor]]
    last_hidden: torch.Tensor

    @property
    def size(self) -> int:
        """Bytes."""
        tensors = [self.last_hidden, *(tensor for pair in self.layers.values() for tensor in pair)]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@dataclass
class PrefixCacheCounts:
    """What the cache did since the engine began, and what it holds. Tokens are those of prompts."""

    tokens_found: int = 0
    tokens_computed: int = 0
    blocks: int = 0
    bytes: int = 0
    blocks_dropped: int = 0


class PrefixCache:
    """Blocks by weights and by every token up to their end; the least recently used goes first."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.counts = PrefixCacheCounts()
        self._blocks: OrderedDict[tuple[str | None, bytes], PrefixBlock] = OrderedDict()

    def find(self, weights: str | None, digest: bytes) -> PrefixBlock | None:
        return self._blocks.get((weights, digest))

    def keep(self, weights: str | None, blocks: Sequence[tuple[bytes, PrefixBlock]]) -> None:
        """Keep the blocks of one prompt, in the order of its tokens, as the most recently used."""
        # From the end: the beginnings, which most prompts share, are to be dropped last.
        for digest, block in reversed(blocks):
            key = (weights, digest)
            if key not in self._blocks:
                self._blocks[key] = block
                self.counts.blocks += 1
                self.counts.bytes += block.size
            self._blocks.move_to_end(key)
        while self.counts.bytes > self.max_bytes:
            self._drop(next(iter(self._blocks)))

    def drop(self, weights: str | None) -> None:
        """Forget what was computed with these weights."""
        for key in [key for key in self._blocks if key[0] == weights]:
            self._drop(key)

    def _drop(self, key: tuple[str | None, bytes]) -> None:
        block = self._blocks.pop(key)
        self.counts.blocks -= 1
        self.counts.bytes -= block.size
        self.counts.blocks_dropped += 1


HiddenReader = Callable[[torch.Tensor], None]
"""Gets the final hidden states of a block's tokens, tokens x hidden size."""


class PromptReader:
    """Computes prompts block by block with the weights that are active, and keeps the whole blocks.

    `weights` names those weights to the cache; the caller has activated them. Without a cache every block is computed,
    in the same way.
    """

    def __init__(
        self,
        model: LanguageModel,
        block_tokens: int,
        cache: PrefixCache | None,
        weights: str | None,
    ) -> None:
        self._model = model
        self._block_tokens = block_tokens
        self._cache = cache
        self._weights = weights

    def read(self, prompt: Sequence[int], see: HiddenReader | None = None) -> list[PrefixBlock]:
        """The blocks of a prompt, of which the last may be shorter. `see` gets every token's hidden state in order,
        for which all blocks are computed, kept or not."""
        blocks: list[PrefixBlock] = []
        whole: list[tuple[bytes, PrefixBlock]] = []
        digest = b""
        for start in range(0, len(prompt), self._block_tokens):
            tokens = prompt[start : start + self._block_tokens]
            digest = hashlib.sha256(digest + array("q", tokens).tobytes()).digest()
            is_whole = len(tokens) == self._block_tokens
            block: PrefixBlock | None = None
            if is_whole and see is None and self._cache is not None:
                block = self._cache.find(self._weights, digest)
            if self._cache is not None:
                counts = self._cache.counts
                counts.tokens_computed += len(tokens) if block is None else 0
                counts.tokens_found += 0 if block is None else len(tokens)
            if block is None:
                block = self._compute(tokens, start, blocks, see)
            blocks.append(block)
            if is_whole:
                whole.append((digest, block))
        if self._cache is not None:
            self._cache.keep(self._weights, whole)
        return blocks

    def _compute(
        self,
        tokens: Sequence[int],
        start: int,
        before: Sequence[PrefixBlock],
        see: HiddenReader | None,
    ) -> PrefixBlock:
        attention = _BlockPass(before, start, len(tokens), self._model)
        positions = range(start, start + len(tokens))
        hidden = self._model.run_attention(tokens, positions, attention)
        if see is not None:
            see(hidden)
        return PrefixBlock(attention.layers, hidden[-1].clone())


class _BlockPass:
    """Attention of one block: causal among its own tokens, and to every token before."""

    def __init__(
        self, before: Sequence[PrefixBlock], start: int, tokens: int, model: LanguageModel
    ) -> None:
        self.layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self._before = before
        visible = torch.ones(tokens, start + tokens, dtype=torch.bool, device=model.device)
        self._mask = build_score_mask(visible.tril_(start)).to(model.dtype)

    def attend(
        self,
        layer: int,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        self.layers[layer] = (key.contiguous(), value.contiguous())
        # Joined anew even where there is one part: the products then see one memory layout, kept blocks or not.
        keys = torch.cat([*(block.layers[layer][0] for block in self._before), key], dim=1)
        values = torch.cat([*(block.layers[layer][1] for block in self._before), value], dim=1)
        return attend_under_mask(query, keys, values, self._mask, scale)
