"""Drafts by hand, and sequences with drafts against the same without."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from helpers import build_tokens
from memory_r1_engine import decoding
from memory_r1_engine.core import TorchEngine
from memory_r1_engine.drafting import Drafter, index_ngrams
from memory_r1_engine.types import Constraint, SampleJob, SampleResult


def start_drafter(prompt: list[int], following: Sequence[int] = ()) -> Drafter:
    drafter = Drafter(prompt, index_ngrams(prompt))
    for token in following:
        drafter.append(token)
    return drafter


def test_nothing_is_guessed_before_a_guess_was_right() -> None:
    assert start_drafter([5, 6, 7, 8, 5, 6]).draft(9) == []
    assert start_drafter([5, 6, 7, 8, 5, 6], [7]).draft(9) == [8]
    assert start_drafter([5, 6, 7, 8, 5, 6], [1]).draft(9) == []
    assert start_drafter([1, 2, 3, 4], [5, 6]).draft(9) == []
    assert start_drafter([], [1]).draft(9) == []


def test_drafts_grow_while_they_are_right_and_keep_to_the_limit() -> None:
    prompt = [*range(20, 40), 20, 21]
    assert start_drafter(prompt, [22, 23]).draft(9) == [24, 25]
    assert start_drafter(prompt, range(22, 30)).draft(5) == [30, 31, 32, 33, 34]
    assert start_drafter(prompt, range(22, 30)).draft(0) == []
    assert start_drafter(prompt, range(22, 30)).draft(-1) == []
    assert start_drafter(prompt, [*range(22, 30), 1]).draft(9) == []


def test_a_text_that_repeats_itself_is_continued() -> None:
    assert start_drafter([1], [8, 9, 8, 9, 8]).draft(9) == [9]
    assert start_drafter([1], [8, 9, 8, 9, 8, 9, 8, 9]).draft(9) == [8, 9, 8, 9]


def test_the_longer_match_wins_and_then_the_later_one() -> None:
    # After 2, 3: 50 last; after 1, 2, 3: 40.
    assert start_drafter([1, 2, 3, 40, 41, 9, 2, 3, 50, 51, 1, 2, 3], [40]).draft(9) == [41]
    assert start_drafter([2, 3, 40, 41, 2, 3, 50, 51, 7, 2, 3], [50]).draft(9) == [51]


def count_steps(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Lengths of the runs of every decode step from here on."""
    steps: list[list[int]] = []
    original = decoding._TreeDecoding.step

    def step(self: decoding._TreeDecoding, runs: Sequence[Sequence[int]]) -> torch.Tensor:
        steps.append([len(run) for run in runs])
        return original(self, runs)

    monkeypatch.setattr(decoding._TreeDecoding, "step", step)
    return steps


def assert_equal(found: Sequence[SampleResult], expected: Sequence[SampleResult]) -> None:
    for one, other in zip(found, expected, strict=True):
        for mine, plain in zip(one.sequences, other.sequences, strict=True):
            assert mine.tokens == plain.tokens
            assert mine.stop_reason == plain.stop_reason
            assert mine.logprobs == pytest.approx(plain.logprobs, abs=1e-11)


def build_copying_jobs() -> list[SampleJob]:
    """What invites drafts: forms that leave few choices, and replies that may repeat themselves."""
    generator = random.Random(3)
    prompts = [build_tokens(generator, 12 + 9 * index) for index in range(4)]
    form = Constraint("regex", r"(one two three four five six, ){1,4}(one|two) and (yes|no)\.")
    object_form = Constraint(
        "json_schema",
        '{"type":"object","properties":{"a":{"enum":["left","right"]},"b":{"enum":["left","right"]}},'
        '"required":["a","b"],"additionalProperties":false}',
    )
    return [
        SampleJob(prompts[0], 1, 90, seed=1, temperature=0.0),
        SampleJob(prompts[1], 2, 90, seed=2, constraint=form),
        SampleJob(prompts[2], 1, 60, seed=3, constraint=object_form),
        SampleJob(prompts[3], 1, 75, seed=4, temperature=0.4, top_p=0.8),
        SampleJob(prompts[0], 1, 40, seed=5, temperature=0.0, stop_strings=("e",)),
    ]


@pytest.fixture(scope="module")
def plain_engine(tiny_model_directory: Path) -> TorchEngine:
    return TorchEngine(tiny_model_directory, dtype="float64", threads=1, draft_rows=0)


@pytest.mark.parametrize("rows", [4, 16, 64])
def test_drafts_change_no_token(
    tiny_model_directory: Path,
    plain_engine: TorchEngine,
    monkeypatch: pytest.MonkeyPatch,
    rows: int,
) -> None:
    drafting = TorchEngine(tiny_model_directory, dtype="float64", threads=1, draft_rows=rows)
    jobs = build_copying_jobs()
    expected = plain_engine.sample(jobs)
    steps = count_steps(monkeypatch)
    assert_equal(drafting.sample(jobs), expected)
    assert max(map(max, steps)) > 1
    assert max(map(sum, steps)) <= max(rows, 6)
    for job, alone in zip(jobs, expected, strict=True):
        steps.clear()
        assert_equal(drafting.sample([job]), [alone])
    # Forced to repeat itself: hardly more steps than the tokens make whole drafts.
    counting = dataclasses.replace(
        jobs[0], constraint=Constraint("regex", "9{80}"), temperature=1.0, max_tokens=100
    )
    steps.clear()
    (result,) = drafting.sample([counting])
    assert drafting.tokenizer.decode(result.sequences[0].tokens[:-1]) == "9" * 80
    assert len(steps) < 80 / rows + 12
    counts = drafting.count_drafts()
    assert 80 - len(steps) <= counts["right"] <= counts["guessed"]
    assert plain_engine.count_drafts() == {"guessed": 0, "right": 0}


def test_drafts_and_newcomers(tiny_model_directory: Path, plain_engine: TorchEngine) -> None:
    """Sequences that come and go while others have drafts under way."""
    drafting = TorchEngine(tiny_model_directory, dtype="float64", threads=1, draft_rows=40)
    jobs = [
        dataclasses.replace(job, seed=seed) for seed in range(3) for job in build_copying_jobs()
    ]
    run = drafting.start_sampling()
    results: dict[int, SampleResult] = {}
    waiting = list(jobs)
    step = 0
    while waiting or not run.is_empty:
        if waiting and (step % 3 == 0 or run.is_empty):
            run.join(waiting.pop(0))
        for number, outcome in run.step():
            assert isinstance(outcome, SampleResult)
            results[number] = outcome
        step += 1
    assert_equal(
        [results[index] for index in range(len(jobs))],
        [plain_engine.sample([job])[0] for job in jobs],
    )


def test_gaps_are_closed(tiny_model_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside a sequence whose drafts are right, one without drafts leaves columns unused; they do not add up."""
    widths: list[int] = []
    original = decoding._TreeDecoding._compact

    def compact(self: decoding._TreeDecoding) -> None:
        original(self)
        widths.append(self._columns_used - 2 * max(self._own_lengths))

    monkeypatch.setattr(decoding._TreeDecoding, "_compact", compact)
    engine = TorchEngine(tiny_model_directory, dtype="float64", threads=1, draft_rows=64)
    jobs = build_copying_jobs()
    engine.sample([dataclasses.replace(job, max_tokens=300) for job in jobs])
    assert max(widths) < decoding._FIRST_CAPACITY
    assert len(widths) > 0


def test_models_without_packing_get_no_drafts(other_model_directories: dict[str, Path]) -> None:
    directory = other_model_directories["windowed"]
    engine = TorchEngine(directory, dtype="float64", threads=1)
    plain = TorchEngine(directory, dtype="float64", threads=1, draft_rows=0)
    jobs = build_copying_jobs()[:1]
    assert engine.sample(jobs) == plain.sample(jobs)
