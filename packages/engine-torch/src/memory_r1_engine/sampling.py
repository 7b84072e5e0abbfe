"""Sampling: prompts are read block by block, and all sequences of a batch decode together.

A prompt's keys and values are stored once however many samples it has. The samples' own keys and values lie in buffers
that grow by doubling, and finished sequences leave the batch when copying the rest costs less than computing them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Literal

import torch

from memory_r1_engine.constraints import (
    ConstraintCompiler,
    ConstraintState,
    MaskRequest,
    MaskThread,
    NextMasks,
    forbid_tokens,
)
from memory_r1_engine.decoding import start_decoding
from memory_r1_engine.drafting import (
    DRAFT_ROWS,
    DraftCounts,
    Drafter,
    NgramIndex,
    index_ngrams,
)
from memory_r1_engine.drawing import draw_tokens
from memory_r1_engine.language_model import LanguageModel
from memory_r1_engine.prefix_cache import PromptReader
from memory_r1_engine.training import HEAD_BYTES, check_tokens
from memory_r1_engine.types import EngineError, SampledSequence, SampleJob, SampleResult

CACHE_BYTES = 2 * 2**30
"""Keys and values that one decode batch may hold; larger requests are split in a fixed order."""

MAX_BATCH_SEQUENCES = 512
"""Sequences of one decode batch, which bounds the logits of a step."""

_DROP_SHARE = 8
_MARGIN_TOKENS = 8
"""Tokens decoded before a stop string's longest form, so that what a tokenizer drops at a text's start is not in it."""


@dataclass(frozen=True)
class SamplerTools:
    """What sampling needs beside its jobs, made once for an engine."""

    model: LanguageModel
    compiler: ConstraintCompiler
    masks: MaskThread
    cache_bytes: int = CACHE_BYTES
    draft_rows: int = DRAFT_ROWS
    drafts: DraftCounts = field(default_factory=DraftCounts)


@dataclass
class _Sequence:
    """One sample while it grows."""

    job: int
    sample: int
    settings: SampleJob
    stop_tokens: frozenset[int]
    ends_text: Callable[[Sequence[int]], bool] | None
    uniforms: torch.Tensor
    constraint: ConstraintState | None
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    stop_reason: Literal["stop", "length"] | None = None
    failure: EngineError | None = None
    drafter: Drafter | None = None
    # Guesses that the last step put to the model behind the newest token, how many tokens the last choice took, and
    # whether the last step had a run of this sequence.
    draft: list[int] = field(default_factory=list)
    taken: int = 0
    has_run: bool = False

    @property
    def is_done(self) -> bool:
        return self.stop_reason is not None or self.failure is not None

    def take(self, tokens: Sequence[int], logprobs: Sequence[float]) -> None:
        """Extend the sequence by what was drawn behind its newest token and each token of its draft.

        What follows a wrong guess is not used.
        """
        before = len(self.tokens)
        guesses: list[int | None] = [*self.draft, None]
        for token, logprob, guess in zip(tokens, logprobs, guesses, strict=True):
            self._append(token, logprob)
            if self.is_done or token != guess:
                break
        self.taken = len(self.tokens) - before

    def guess(self, drafter: Drafter, limit: int) -> None:
        """Make the draft for the next step, of at most `limit` tokens."""
        room = self.settings.max_tokens - len(self.tokens) - 1
        for token in drafter.draft(min(limit, room)):
            if token in self.stop_tokens:
                break
            self.draft.append(token)

    def _append(self, token: int, logprob: float) -> None:
        self.tokens.append(token)
        self.logprobs.append(logprob)
        if self.drafter is not None:
            self.drafter.append(token)
        if token in self.stop_tokens or (
            self.ends_text is not None and self.ends_text(self.tokens)
        ):
            self.stop_reason = "stop"
        elif len(self.tokens) == self.settings.max_tokens:
            self.stop_reason = "length"


def run_sample_jobs(
    tools: SamplerTools, reader: PromptReader, jobs: Sequence[SampleJob]
) -> list[SampleResult]:
    """The results of jobs that all use the active weights, in the order of the jobs.

    A sequence depends on its job and its number only; what else is in the batch changes nothing but rounding. What is
    computed depends on the jobs alone, so the same jobs give the same bits.
    """
    for index, job in enumerate(jobs):
        _check_job(tools.model, job, f"job {index}")
    sequences = [
        sequence
        for index, job in enumerate(jobs)
        for sequence in _start_sequences(tools, index, job)
    ]
    prompt_logprobs: list[list[float | None] | None] = [None] * len(jobs)
    for part in _split_batches(tools, sequences):
        batch = _Batch(tools, reader)
        batch.add(part, prompt_logprobs)
        while not batch.is_done:
            batch.step()
    for sequence in sequences:
        if sequence.failure is not None:
            raise sequence.failure
    return [
        _collect([one for one in sequences if one.job == index], scores)
        for index, scores in enumerate(prompt_logprobs)
    ]


class SampleRun:
    """Jobs that decode together and come and go while the batch runs. All of them use the same weights.

    `activate` makes a job's weights the active ones and gives their prompts' reader; it is called for the first job.
    """

    def __init__(self, tools: SamplerTools, activate: Callable[[str | None], PromptReader]) -> None:
        self._tools = tools
        self._activate = activate
        self._batch: _Batch | None = None
        self._snapshot: str | None = None
        self._waiting: deque[_Sequence] = deque()
        # Whether the last step left some waiting, for want of room.
        self._is_full = False
        self._growing: dict[int, list[_Sequence]] = {}
        self._prompt_logprobs: list[list[float | None] | None] = []

    @property
    def is_empty(self) -> bool:
        return not self._growing

    def can_join(self, job: SampleJob) -> bool:
        """Whether the job would decode beside those that are there; an empty run takes any."""
        return self._batch is None or (job.snapshot == self._snapshot and not self._is_full)

    def join(self, job: SampleJob) -> int:
        """Take in a job that `can_join`; its number counts from 0. An EngineError leaves the run as it was."""
        _check_job(self._tools.model, job, "job")
        number = len(self._prompt_logprobs)
        sequences = _start_sequences(self._tools, number, job)
        if self._batch is None:
            self._batch = _Batch(self._tools, self._activate(job.snapshot))
            self._snapshot = job.snapshot
        self._prompt_logprobs.append(None)
        self._growing[number] = sequences
        self._waiting.extend(sequences)
        return number

    def step(self) -> list[tuple[int, SampleResult | EngineError]]:
        """One more token for every sequence that has room; returns the jobs that this ended, by their number."""
        if self._batch is None:
            raise AssertionError("a run steps after its first job has joined")
        ready = self._batch.take(self._waiting)
        self._is_full = bool(self._waiting)
        if ready:
            self._batch.add(ready, self._prompt_logprobs)
        self._batch.step()
        ended: list[tuple[int, SampleResult | EngineError]] = []
        for number, sequences in list(self._growing.items()):
            failures = [one.failure for one in sequences if one.failure is not None]
            if failures or all(one.is_done for one in sequences):
                scores = self._prompt_logprobs[number]
                ended.append((number, failures[0] if failures else _collect(sequences, scores)))
                del self._growing[number]
                self._prompt_logprobs[number] = None
                for one in sequences:
                    # The others of a job that failed are not wanted any more.
                    one.failure = one.failure or (failures[0] if failures else None)
        self._waiting = deque(one for one in self._waiting if not one.is_done)
        return ended


def _collect(sequences: Sequence[_Sequence], scores: list[float | None] | None) -> SampleResult:
    return SampleResult(
        [
            SampledSequence(one.tokens, one.logprobs, one.stop_reason or "length")
            for one in sequences
        ],
        scores,
    )


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
    if "" in job.stop_strings:
        raise EngineError(400, f"{where}: a stop string is empty, so it would end every reply")


def _start_sequences(tools: SamplerTools, number: int, job: SampleJob) -> list[_Sequence]:
    model = tools.model
    stop_tokens = frozenset(job.stop) | frozenset(model.eos_token_ids)
    ends_text = None
    if job.stop_strings:
        ends_text = _TextEnd(model.tokenizer, job.stop_strings)
    return [
        _Sequence(
            job=number,
            sample=sample,
            settings=job,
            stop_tokens=stop_tokens,
            ends_text=ends_text,
            uniforms=_draw_uniforms(job, sample),
            constraint=None if job.constraint is None else tools.compiler.start(job.constraint),
        )
        for sample in range(job.num_samples)
    ]


def _draw_uniforms(job: SampleJob, sample: int) -> torch.Tensor:
    """The numbers at which a sequence's distributions are inverted, one a token."""
    # One generator a sequence, seeded by the job's seed and the sample's number, makes sequences independent of the
    # batch. The multiplier (2^64 / golden ratio) keeps neighbouring seeds' samples apart.
    seed = (job.seed * 0x9E3779B97F4A7C15 + sample * 0xBF58476D1CE4E5B9 + 1) % 2**63
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(job.max_tokens, generator=generator, dtype=torch.float64)


class _TextEnd:
    """Whether the newest token's text completes one of some strings."""

    def __init__(self, tokenizer: object, strings: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        self._strings = tuple(strings)
        # A token is a byte of text at least.
        self._window = max(len(string.encode()) for string in strings) + _MARGIN_TOKENS

    def __call__(self, tokens: Sequence[int]) -> bool:
        text = self._tokenizer.decode(tokens[-self._window :], skip_special_tokens=True)  # type: ignore[attr-defined]  # untyped in transformers
        return any(string in text for string in self._strings)


class _Load:
    """How much of a batch some sequences take."""

    def __init__(self) -> None:
        self.sequences = 0
        self._prompts: set[tuple[int, ...]] = set()
        self._longest_prompt = 0
        self._longest_completion = 0

    def add(self, sequence: _Sequence) -> None:
        settings = sequence.settings
        self.sequences += 1
        self._prompts.add(settings.tokens)
        self._longest_prompt = max(self._longest_prompt, len(settings.tokens))
        self._longest_completion = max(self._longest_completion, settings.max_tokens)

    def fits(self, tools: SamplerTools) -> bool:
        """Whether one batch holds them; a single sequence always fits."""
        tokens = len(self._prompts) * self._longest_prompt
        tokens += self.sequences * self._longest_completion
        size = tokens * tools.model.cache_bytes_per_token
        return self.sequences == 1 or (
            size <= tools.cache_bytes and self.sequences <= MAX_BATCH_SEQUENCES
        )


def _split_batches(tools: SamplerTools, sequences: Sequence[_Sequence]) -> list[list[_Sequence]]:
    """Sequences in the order of their prompts, cut where a batch's keys and values would exceed the budget."""
    ordered = sorted(
        sequences, key=lambda sequence: (sequence.settings.tokens, sequence.job, sequence.sample)
    )
    batches: list[list[_Sequence]] = [[]]
    load = _Load()
    for sequence in ordered:
        load.add(sequence)
        if not load.fits(tools):
            batches.append([])
            load = _Load()
            load.add(sequence)
        batches[-1].append(sequence)
    return batches


class _Batch:
    """Sequences that decode together, and what of them is to be dropped when enough have ended."""

    def __init__(self, tools: SamplerTools, reader: PromptReader) -> None:
        self._tools = tools
        self._session = start_decoding(tools.model, reader)
        self._live: list[_Sequence] = []
        # Final hidden states from which the next tokens come, and each sequence's rows of them: behind its newest
        # token, and behind each token of its draft.
        self._hidden: torch.Tensor | None = None
        self._rows: list[list[int]] = []
        # What is begun of the masks for the next choice.
        self._masks: list[tuple[list[_Sequence], Future[NextMasks]]] = []

    @property
    def is_done(self) -> bool:
        return all(sequence.is_done for sequence in self._live)

    def take(self, waiting: deque[_Sequence]) -> list[_Sequence]:
        """Those at the head of `waiting` for which there is room beside the growing ones; removed from it."""
        load = _Load()
        for one in self._live:
            if not one.is_done:
                load.add(one)
        taken: list[_Sequence] = []
        while waiting:
            load.add(waiting[0])
            if not load.fits(self._tools):
                break
            taken.append(waiting.popleft())
        return taken

    def add(
        self,
        sequences: Sequence[_Sequence],
        prompt_logprobs: list[list[float | None] | None],
    ) -> None:
        """Take in sequences; their prompts' log-probabilities, where wanted, are written to their job's place."""
        model = self._tools.model
        self._drop_ended()
        order: dict[tuple[int, ...], int] = {}
        ordered = sorted(
            sequences,
            key=lambda one: order.setdefault(one.settings.tokens, len(order)),
        )
        prompts = list(order)
        owners = [order[one.settings.tokens] for one in ordered]
        wanted = {order[one.settings.tokens] for one in ordered if one.settings.prompt_logprobs}
        scorers = {index: _PromptScorer(model, prompts[index]) for index in wanted}
        with torch.no_grad():
            last_hidden = self._session.add(prompts, owners, scorers.get)
        for one in ordered:
            if one.settings.prompt_logprobs and prompt_logprobs[one.job] is None:
                prompt_logprobs[one.job] = scorers[order[one.settings.tokens]].scores
        last = torch.stack(last_hidden)
        before = 0 if self._hidden is None else len(self._hidden)
        self._hidden = last if self._hidden is None else torch.cat([self._hidden, last])
        self._rows += [[before + owner] for owner in owners]
        self._live += ordered
        self._begin_masks(ordered)

    def step(self) -> None:
        """Choose a token for every growing sequence, and compute what their next ones come from."""
        if self._hidden is None or self.is_done:
            return
        model = self._tools.model
        with torch.no_grad():
            logits = model.compute_logits(self._hidden).to(model.logit_dtype)
            self._choose(logits)
            self._session.settle([one.taken if one.has_run else 0 for one in self._live])
            ended = sum(one.is_done for one in self._live)
            if ended == len(self._live):
                return
            if ended * _DROP_SHARE >= len(self._live):
                self._drop_ended()
            self._draft()
            self._begin_masks(self._live)
            runs = [[one.tokens[-1], *one.draft] for one in self._live]
            self._hidden = self._session.step(runs)
            self._rows = []
            for one, run in zip(self._live, runs, strict=True):
                one.has_run = True
                first = 0 if not self._rows else self._rows[-1][-1] + 1
                self._rows.append(list(range(first, first + len(run))))

    def _draft(self) -> None:
        """Guess what follows, where sequences are so few that a step of more rows costs little more."""
        growing = [one for one in self._live if not one.is_done]
        for one in self._live:
            one.draft = []
        limit = self._tools.draft_rows // len(growing) - 1
        if limit < 1 or not self._session.takes_runs:
            return
        indexes: dict[tuple[int, ...], NgramIndex] = {}
        for one in growing:
            if one.drafter is None:
                prompt = one.settings.tokens
                if prompt not in indexes:
                    indexes[prompt] = index_ngrams(prompt)
                one.drafter = Drafter(prompt, indexes[prompt])
                for token in one.tokens:
                    one.drafter.append(token)
            one.guess(one.drafter, limit)

    def _drop_ended(self) -> None:
        """Between a choice and the step that follows it, or before others join."""
        growing = [place for place, one in enumerate(self._live) if not one.is_done]
        if len(growing) == len(self._live):
            return
        self._session.keep(growing)
        self._live = [self._live[place] for place in growing]
        self._rows = [self._rows[place] for place in growing]

    def _begin_masks(self, sequences: Sequence[_Sequence]) -> None:
        """Have the next masks of these computed while the model runs."""
        masked: list[_Sequence] = []
        requests: list[MaskRequest] = []
        for one in sequences:
            if one.constraint is not None and not one.is_done:
                chosen = one.tokens[len(one.tokens) - one.taken :]
                masked.append(one)
                requests.append(MaskRequest(one.constraint, chosen, one.draft))
        if masked:
            self._masks.append((masked, self._tools.masks.start(requests)))

    def _apply_masks(self, logits: torch.Tensor, first_rows: Mapping[int, int]) -> None:
        """`first_rows`: of each growing sequence, by its id, the first of its rows of `logits`."""
        for masked, pending in self._masks:
            masks = pending.result()
            for index, failure in masks.failures.items():
                masked[index].failure = failure
            rows: list[int] = []
            kept: list[int] = []
            start = 0
            for one in masked:
                count = 1 + len(one.draft)
                if id(one) in first_rows:
                    rows += range(first_rows[id(one)], first_rows[id(one)] + count)
                    kept += range(start, start + count)
                start += count
            if rows:
                whole = len(kept) == len(masks.forbidden)
                forbid_tokens(logits, rows, masks.forbidden if whole else masks.forbidden[kept])
        self._masks = []

    def _choose(self, logits: torch.Tensor) -> None:
        """Extend every unfinished sequence by what is drawn from its rows of `logits` (overwritten)."""
        growing = [
            (one, rows) for one, rows in zip(self._live, self._rows, strict=True) if not one.is_done
        ]
        for one in self._live:
            # Of an ended sequence's run, which is its last token once more.
            one.taken = 1
        first_rows: dict[int, int] = {}
        picked: list[int] = []
        for one, rows in growing:
            first_rows[id(one)] = len(picked)
            picked += rows
        if picked != list(range(len(logits))):
            logits = logits[torch.tensor(picked, device=logits.device)]
        self._apply_masks(logits, first_rows)
        logprobs = torch.log_softmax(logits, dim=-1)
        tokens = draw_tokens(
            logprobs,
            temperatures=[one.settings.temperature for one, rows in growing for _ in rows],
            top_ks=[one.settings.top_k for one, rows in growing for _ in rows],
            top_ps=[one.settings.top_p for one, rows in growing for _ in rows],
            uniforms=[
                float(one.uniforms[len(one.tokens) + place])
                for one, rows in growing
                for place in range(len(rows))
            ],
        )
        values = logprobs.gather(1, tokens[:, None]).squeeze(1).tolist()
        drawn = tokens.tolist()
        for one, rows in growing:
            first = first_rows[id(one)]
            if one.failure is None:
                one.take(drawn[first : first + len(rows)], values[first : first + len(rows)])
                self._tools.drafts.guessed += len(one.draft)
                self._tools.drafts.right += one.taken - 1


class _PromptScorer:
    """The log-probability of every prompt token but the first, which nothing predicts, from hidden states in order."""

    def __init__(self, model: LanguageModel, prompt: Sequence[int]) -> None:
        self._model = model
        self._prompt = prompt
        self.scores: list[float | None] = [None]

    def __call__(self, hidden: torch.Tensor) -> None:
        model = self._model
        item_size = torch.finfo(model.logit_dtype).bits // 8
        chunk = max(1, HEAD_BYTES // (model.vocabulary_size * item_size))
        first = len(self.scores) - 1
        # The last token predicts what is not in the prompt.
        count = min(len(hidden), len(self._prompt) - 1 - first)
        for start in range(0, count, chunk):
            stop = min(start + chunk, count)
            logits = model.compute_logits(hidden[start:stop])
            logprobs = torch.log_softmax(logits.to(model.logit_dtype), dim=-1)
            following = self._prompt[first + start + 1 : first + stop + 1]
            targets = torch.tensor(following, device=logprobs.device)
            self.scores.extend(logprobs.gather(1, targets[:, None]).squeeze(1).tolist())
