"""Sampling: every distinct prompt is prefilled once, and all sequences of a batch decode together.

A prompt's keys and values are stored once however many samples it has. The samples' own keys and values lie in buffers
that grow by doubling, and finished sequences leave the batch when copying the rest costs less than computing them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch

from memory_r1_engine.constraints import ConstraintCompiler, ConstraintState
from memory_r1_engine.decoding import start_decoding
from memory_r1_engine.language_model import LanguageModel
from memory_r1_engine.packing import pack_sequences
from memory_r1_engine.training import HEAD_BYTES, ROW_TARGET_TOKENS, check_tokens, normalise_logits
from memory_r1_engine.types import EngineError, SampledSequence, SampleJob, SampleResult

CACHE_BYTES = 2 * 2**30
"""Keys and values that one decode batch may hold; larger requests are split in a fixed order."""

MAX_BATCH_SEQUENCES = 512
"""Sequences of one decode batch, which bounds the logits of a step."""

_DROP_SHARE = 8
_CDF_BLOCK = 256


@dataclass
class _Sequence:
    """One sample while it grows. `prompt` indexes the batch's distinct prompts."""

    job: int
    sample: int
    settings: SampleJob
    prompt: int
    stop_tokens: frozenset[int]
    uniforms: torch.Tensor
    constraint: ConstraintState | None
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    stop_reason: Literal["stop", "length"] | None = None

    def append(self, token: int, logprob: float) -> None:
        self.tokens.append(token)
        self.logprobs.append(logprob)
        if token in self.stop_tokens:
            self.stop_reason = "stop"
        elif len(self.tokens) == self.settings.max_tokens:
            self.stop_reason = "length"
        elif self.constraint is not None:
            self.constraint.consume(token)


def run_sample_jobs(
    language_model: LanguageModel,
    compiler: ConstraintCompiler,
    jobs: Sequence[SampleJob],
    *,
    share_prefixes: bool,
    row_token_budget: int,
    cache_bytes: int = CACHE_BYTES,
) -> list[SampleResult]:
    """The results of jobs that all use the active adapter, in the order of the jobs.

    A sequence depends on its job and its number only; what else is in the batch changes nothing but rounding.
    """
    for index, job in enumerate(jobs):
        _check_job(language_model, job, f"job {index}")
    sequences = [
        _start_sequence(language_model, compiler, job_index, sample, job)
        for job_index, job in enumerate(jobs)
        for sample in range(job.num_samples)
    ]
    prompt_logprobs: list[list[float | None] | None] = [None] * len(jobs)
    with torch.no_grad():
        for batch in _split_batches(language_model, sequences, cache_bytes):
            _run_batch(
                language_model,
                batch,
                prompt_logprobs,
                share_prefixes=share_prefixes,
                row_token_budget=row_token_budget,
            )
    results: list[SampleResult] = []
    for index, scores in enumerate(prompt_logprobs):
        own = [sequence for sequence in sequences if sequence.job == index]
        results.append(
            SampleResult(
                [
                    SampledSequence(
                        sequence.tokens, sequence.logprobs, sequence.stop_reason or "length"
                    )
                    for sequence in own
                ],
                scores,
            )
        )
    return results


def _check_job(language_model: LanguageModel, job: SampleJob, where: str) -> None:
    if not job.tokens:
        raise EngineError(400, f"{where}: the prompt is empty")
    check_tokens(job.tokens, language_model.vocabulary_size, f"{where}: prompt")
    if job.num_samples < 1:
        raise EngineError(400, f"{where}: num_samples is {job.num_samples}, expected 1 or more")
    if job.max_tokens < 1:
        raise EngineError(400, f"{where}: max_tokens is {job.max_tokens}, expected 1 or more")
    limit = language_model.max_context_length
    if len(job.tokens) + job.max_tokens > limit:
        raise EngineError(
            400,
            f"{where}: a prompt of {len(job.tokens)} tokens and max_tokens {job.max_tokens} exceed"
            f" the model's context of {limit}",
        )
    # Written so that NaN fails too.
    if not 0 <= job.temperature < float("inf"):
        raise EngineError(400, f"{where}: temperature is {job.temperature}, expected 0 or more")
    if not 0 < job.top_p <= 1:
        raise EngineError(400, f"{where}: top_p is {job.top_p}, expected above 0 and at most 1")
    if job.top_k != -1 and job.top_k < 1:
        raise EngineError(400, f"{where}: top_k is {job.top_k}, expected 1 or more, or -1 for off")


def _start_sequence(
    language_model: LanguageModel,
    compiler: ConstraintCompiler,
    job_index: int,
    sample: int,
    job: SampleJob,
) -> _Sequence:
    # One generator a sequence, seeded by the job's seed and the sample's number, makes sequences independent of the
    # batch. The multiplier (2^64 / golden ratio) keeps neighbouring seeds' samples apart.
    seed = (job.seed * 0x9E3779B97F4A7C15 + sample * 0xBF58476D1CE4E5B9 + 1) % 2**63
    generator = torch.Generator().manual_seed(seed)
    uniforms = torch.rand(job.max_tokens, generator=generator, dtype=torch.float64)
    return _Sequence(
        job=job_index,
        sample=sample,
        settings=job,
        prompt=-1,
        stop_tokens=frozenset(job.stop) | frozenset(language_model.eos_token_ids),
        uniforms=uniforms,
        constraint=None if job.constraint is None else compiler.start(job.constraint),
    )


def _split_batches(
    language_model: LanguageModel,
    sequences: list[_Sequence],
    cache_bytes: int,
) -> list[list[_Sequence]]:
    """Sequences in the order of their prompts, cut where a batch's keys and values would exceed the budget."""
    token_bytes = language_model.cache_bytes_per_token
    ordered = sorted(
        sequences, key=lambda sequence: (sequence.settings.tokens, sequence.job, sequence.sample)
    )
    batches: list[list[_Sequence]] = [[]]
    prompts = 0
    longest_prompt = 0
    longest_completion = 0
    for sequence in ordered:
        batch = batches[-1]
        is_new = not batch or batch[-1].settings.tokens != sequence.settings.tokens
        next_prompts = prompts + is_new
        next_prompt = max(longest_prompt, len(sequence.settings.tokens))
        next_completion = max(longest_completion, sequence.settings.max_tokens)
        size = next_prompts * next_prompt + (len(batch) + 1) * next_completion
        is_full = size * token_bytes > cache_bytes or len(batch) == MAX_BATCH_SEQUENCES
        if batch and is_full:
            batches.append([])
            next_prompts, next_prompt = 1, len(sequence.settings.tokens)
            next_completion = sequence.settings.max_tokens
        prompts, longest_prompt, longest_completion = next_prompts, next_prompt, next_completion
        batches[-1].append(sequence)
    return batches


def _run_batch(
    language_model: LanguageModel,
    sequences: list[_Sequence],
    prompt_logprobs: list[list[float | None] | None],
    *,
    share_prefixes: bool,
    row_token_budget: int,
) -> None:
    prompts: list[tuple[int, ...]] = []
    for sequence in sequences:
        if not prompts or prompts[-1] != sequence.settings.tokens:
            prompts.append(sequence.settings.tokens)
        sequence.prompt = len(prompts) - 1
    wanted = {sequence.prompt for sequence in sequences if sequence.settings.prompt_logprobs}
    owners = [sequence.prompt for sequence in sequences]
    rows = pack_sequences(
        prompts,
        row_token_budget,
        share=share_prefixes and language_model.supports_packing,
        target_tokens=ROW_TARGET_TOKENS,
    )
    session = start_decoding(language_model, prompts, owners)
    last_hidden: dict[int, torch.Tensor] = {}
    scores: dict[int, list[float | None]] = {}

    def read(prompt: int, hidden: torch.Tensor) -> None:
        last_hidden[prompt] = hidden[-1]
        if prompt in wanted:
            scores[prompt] = _score_prompt(language_model, prompts[prompt], hidden)

    session.prefill(rows, read)
    for sequence in sequences:
        if sequence.settings.prompt_logprobs:
            prompt_logprobs[sequence.job] = scores[sequence.prompt]

    stacked = torch.stack([last_hidden[prompt] for prompt in range(len(prompts))])
    prompt_logits = language_model.compute_logits(stacked).to(language_model.logit_dtype)
    logits = prompt_logits[torch.tensor(owners, device=prompt_logits.device)]
    live = sequences
    while True:
        _choose_tokens(logits, live)
        growing = [index for index, sequence in enumerate(live) if sequence.stop_reason is None]
        if not growing:
            return
        if (len(live) - len(growing)) * _DROP_SHARE >= len(live):
            session.keep(growing)
            live = [live[index] for index in growing]
        hidden = session.step([sequence.tokens[-1] for sequence in live])
        logits = language_model.compute_logits(hidden).to(language_model.logit_dtype)


def _score_prompt(
    language_model: LanguageModel, prompt: Sequence[int], hidden: torch.Tensor
) -> list[float | None]:
    """The log-probability of every prompt token but the first, which nothing predicts."""
    scores: list[float | None] = [None]
    item_size = torch.finfo(language_model.logit_dtype).bits // 8
    chunk = max(1, HEAD_BYTES // (language_model.vocabulary_size * item_size))
    for start in range(0, len(prompt) - 1, chunk):
        stop = min(start + chunk, len(prompt) - 1)
        logits = language_model.compute_logits(hidden[start:stop])
        logprobs = normalise_logits(logits.to(language_model.logit_dtype), [None] * (stop - start))
        targets = torch.tensor(prompt[start + 1 : stop + 1], device=logprobs.device)
        scores.extend(logprobs.gather(1, targets[:, None]).squeeze(1).tolist())
    return scores


def _choose_tokens(logits: torch.Tensor, sequences: Sequence[_Sequence]) -> None:
    """Extend every unfinished sequence by a token drawn from its row of `logits` (overwritten)."""
    live = [index for index, sequence in enumerate(sequences) if sequence.stop_reason is None]
    chosen = [sequences[index] for index in live]
    if len(live) < len(sequences):
        logits = logits[torch.tensor(live, device=logits.device)]
    masks = [
        None if sequence.constraint is None else sequence.constraint.compute_mask()
        for sequence in chosen
    ]
    logprobs = normalise_logits(logits, masks)
    tokens = draw_tokens(
        logprobs,
        temperatures=[sequence.settings.temperature for sequence in chosen],
        top_ks=[sequence.settings.top_k for sequence in chosen],
        top_ps=[sequence.settings.top_p for sequence in chosen],
        uniforms=[float(sequence.uniforms[len(sequence.tokens)]) for sequence in chosen],
    )
    values = logprobs.gather(1, tokens[:, None]).squeeze(1).tolist()
    for sequence, token, value in zip(chosen, tokens.tolist(), values, strict=True):
        sequence.append(token, value)


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
