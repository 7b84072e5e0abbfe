"""Drawing tokens from their distributions: temperature, top-k and top-p, and inversion at given numbers."""

from __future__ import annotations

from collections.abc import Sequence

import torch

_CDF_BLOCK = 256


def draw_tokens(
    logprobs: torch.Tensor,
    *,
    temperatures: Sequence[float],
    top_ks: Sequence[int],
    top_ps: Sequence[float],
    uniforms: Sequence[float],
) -> torch.Tensor:
    """One token for each row of normalised log-probabilities, by inverting its distribution function at `uniforms`.

    Temperature 0 takes the most probable token. top_k and top_p cut the distribution after the temperature, in that
    order; top_p keeps the smallest set of most probable tokens that reaches it.
    """
    device = logprobs.device
    drawn = [index for index, temperature in enumerate(temperatures) if temperature > 0]
    everything = len(drawn) == len(temperatures)
    if everything:
        tokens = torch.zeros(len(drawn), dtype=torch.long, device=device)
    else:
        tokens = logprobs.argmax(dim=-1)
        if not drawn:
            return tokens
    index = torch.tensor(drawn, device=device)
    weights = logprobs if everything else logprobs[index]
    if any(temperatures[row] != 1 for row in drawn):
        scale = torch.tensor([temperatures[row] for row in drawn], device=device).to(weights)
        weights = torch.softmax(weights / scale[:, None], dim=-1)
    else:
        weights = weights.exp()
    cut = [place for place, row in enumerate(drawn) if top_ks[row] != -1 or top_ps[row] < 1]
    if cut:
        rows = torch.tensor(cut, device=device)
        weights[rows] = _cut_tail(
            weights[rows],
            [top_ks[drawn[place]] for place in cut],
            [top_ps[drawn[place]] for place in cut],
        )
    heights = torch.tensor([uniforms[row] for row in drawn], dtype=torch.float64, device=device)
    tokens[index] = _invert(weights, heights)
    return tokens


def _cut_tail(
    weights: torch.Tensor, top_ks: Sequence[int], top_ps: Sequence[float]
) -> torch.Tensor:
    """Probabilities with those outside top_k, then outside top_p, set to zero (not renormalised)."""
    ordered, order = weights.sort(dim=-1, descending=True, stable=True)
    size = weights.shape[-1]
    counts = torch.tensor(
        [size if top_k == -1 else top_k for top_k in top_ks], device=weights.device
    )
    ordered = ordered.masked_fill(
        torch.arange(size, device=weights.device)[None, :] >= counts[:, None], 0
    )
    cumulative = ordered.cumsum(dim=-1, dtype=torch.float64)
    limits = torch.tensor(top_ps, dtype=torch.float64, device=weights.device)[:, None]
    before = cumulative - ordered
    reached = (before >= limits * cumulative[:, -1:]) & (limits < 1)
    return torch.zeros_like(weights).scatter_(1, order, ordered.masked_fill_(reached, 0))


def _invert(weights: torch.Tensor, heights: torch.Tensor) -> torch.Tensor:
    """The first token at which the running sum of `weights` exceeds `heights` (0 to 1) of the total.

    In two levels, so that no running sum over the whole vocabulary is made.
    """
    rows, size = weights.shape
    padding = -size % _CDF_BLOCK
    if padding:
        weights = torch.nn.functional.pad(weights, (0, padding))
    blocks = weights.view(rows, -1, _CDF_BLOCK)
    sums = blocks.sum(dim=-1).cumsum(dim=-1, dtype=torch.float64)
    goal = heights * sums[:, -1]
    block = _first_above(sums, goal)
    every = torch.arange(rows, device=weights.device)
    goal = goal - torch.where(block > 0, sums[every, (block - 1).clamp(min=0)], 0.0)
    inner = blocks[every, block].cumsum(dim=-1, dtype=torch.float64)
    return block * _CDF_BLOCK + _first_above(inner, goal)


def _first_above(running: torch.Tensor, goal: torch.Tensor) -> torch.Tensor:
    """Index of the first running sum above `goal`; rounding at the end falls on the last one that grew."""
    first = (running <= goal[:, None]).sum(dim=-1)
    last = (running < running[:, -1:]).sum(dim=-1)
    return torch.minimum(first, last)
