"""Sampled sequences against transformers, against the trainer, and against themselves in other company."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from helpers import build_tokens, create_random_model, get_flat
from memory_r1_engine.core import TorchEngine
from memory_r1_engine.drawing import draw_tokens
from memory_r1_engine.types import Constraint, Datum, EngineError, SampleJob, SampleResult

REGEX = Constraint("regex", r"(ADD|NOOP|UPDATE [0-9]{1,2}): [a-z ]{2,12}")


def build_jobs(**changes: object) -> list[SampleJob]:
    """Prompts of unequal length, two with a common start, unequal numbers of samples and of tokens."""
    generator = random.Random(11)
    stem = build_tokens(generator, 30)
    prompts = [
        stem + build_tokens(generator, 5),
        stem + build_tokens(generator, 17),
        build_tokens(generator, 3),
        build_tokens(generator, 41),
    ]
    jobs = [
        SampleJob(prompt, num_samples=1 + index % 3, max_tokens=6 + 9 * index, seed=100 + index)
        for index, prompt in enumerate(prompts)
    ]
    return [dataclasses.replace(job, **changes) for job in jobs]  # type: ignore[arg-type]  # fields by name


def assert_close(found: SampleResult, expected: SampleResult) -> None:
    assert [one.tokens for one in found.sequences] == [one.tokens for one in expected.sequences]
    for one, other in zip(found.sequences, expected.sequences, strict=True):
        assert one.stop_reason == other.stop_reason
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)


def to_datum(job: SampleJob, tokens: list[int]) -> Datum:
    completion = tuple(tokens)
    chunks = (job.tokens, completion[:-1]) if len(completion) > 1 else (job.tokens,)
    return Datum(chunks, completion, constraint=job.constraint)


def test_greedy_equals_transformers(engine: TorchEngine, tiny_model_directory: Path) -> None:
    model: Any = AutoModelForCausalLM.from_pretrained(tiny_model_directory)
    jobs = build_jobs(temperature=0.0, num_samples=1)
    for job, result in zip(jobs, engine.sample(jobs), strict=True):
        generated = model.generate(
            torch.tensor([job.tokens]), max_new_tokens=job.max_tokens, do_sample=False
        )
        assert result.sequences[0].tokens == generated[0, len(job.tokens) :].tolist()


@pytest.mark.parametrize("name", ["qwen2", "gpt-neox", "windowed"])
def test_greedy_equals_transformers_elsewhere(
    other_model_directories: dict[str, Path], name: str
) -> None:
    directory = other_model_directories[name]
    test_greedy_equals_transformers(TorchEngine(directory, threads=1), directory)


@pytest.mark.parametrize("constraint", [None, REGEX])
@pytest.mark.parametrize("adapter", [False, True])
def test_the_trainer_agrees_with_the_sampler(
    engine: TorchEngine, constraint: Constraint | None, adapter: bool
) -> None:
    model_id = f"agree-{constraint is None}-{adapter}"
    create_random_model(engine, model_id)
    snapshot = engine.create_snapshot(model_id)
    jobs = build_jobs(constraint=constraint, snapshot=snapshot)
    results = engine.sample(jobs)
    pairs = [
        (job, sequence)
        for job, result in zip(jobs, results, strict=True)
        for sequence in result.sequences
    ]
    data = [to_datum(job, sequence.tokens) for job, sequence in pairs]
    outputs = engine.forward(model_id, data, "cross_entropy").outputs
    for (_, sequence), output in zip(pairs, outputs, strict=True):
        assert sequence.logprobs == pytest.approx(output.logprobs, abs=1e-4)
    assert len({tuple(sequence.tokens) for _, sequence in pairs}) > 5


@pytest.mark.parametrize("constraint", [None, REGEX])
def test_a_job_alone_equals_the_job_in_a_batch(
    engine: TorchEngine, constraint: Constraint | None
) -> None:
    jobs = build_jobs(constraint=constraint)
    together = engine.sample(jobs)
    for job, result in zip(jobs, together, strict=True):
        assert_close(engine.sample([job])[0], result)
    reordered = engine.sample(jobs[::-1])[::-1]
    assert reordered == together


def test_a_small_cache_splits_the_batch(tiny_model_directory: Path, engine: TorchEngine) -> None:
    # 3 layers * 2 * 2 heads * 16 * 4 bytes = 768 bytes a token; 100 tokens hold one or two sequences.
    small = TorchEngine(tiny_model_directory, threads=1, cache_bytes=768 * 100)
    jobs = build_jobs()
    for found, expected in zip(small.sample(jobs), engine.sample(jobs), strict=True):
        assert_close(found, expected)


def test_separate_rows_sample_the_same(tiny_model_directory: Path, engine: TorchEngine) -> None:
    separate = TorchEngine(tiny_model_directory, threads=1, shared_prefix_packing=False)
    jobs = build_jobs(prompt_logprobs=True)
    for found, expected in zip(separate.sample(jobs), engine.sample(jobs), strict=True):
        assert_close(found, expected)
        assert (found.prompt_logprobs or [])[1:] == pytest.approx(
            (expected.prompt_logprobs or [])[1:], abs=1e-4
        )


def test_the_same_call_twice_is_identical(engine: TorchEngine) -> None:
    jobs = build_jobs()
    assert engine.sample(jobs) == engine.sample(jobs)


def test_seeds_and_samples_differ(engine: TorchEngine) -> None:
    (job, *_) = build_jobs(num_samples=4, max_tokens=12)
    first = engine.sample([job])[0].sequences
    second = engine.sample([dataclasses.replace(job, seed=job.seed + 1)])[0].sequences
    assert len({tuple(sequence.tokens) for sequence in (*first, *second)}) == 8
    # More samples of the same seed extend the list.
    more = engine.sample([dataclasses.replace(job, num_samples=6)])[0].sequences
    assert [one.tokens for one in more[:4]] == [one.tokens for one in first]


def test_stop_tokens(engine: TorchEngine) -> None:
    (job, *_) = build_jobs(num_samples=1, max_tokens=20)
    (free,) = engine.sample([job])[0].sequences
    assert free.stop_reason == "length"
    assert len(free.tokens) == 20
    stop = free.tokens[7]
    (stopped,) = engine.sample([dataclasses.replace(job, stop=(stop,))])[0].sequences
    assert stopped.tokens == free.tokens[: free.tokens.index(stop) + 1]
    assert stopped.stop_reason == "stop"


def test_a_constraint_ends_with_the_end_token(engine: TorchEngine) -> None:
    jobs = build_jobs(constraint=REGEX, max_tokens=60, num_samples=5)
    for result in engine.sample(jobs):
        for sequence in result.sequences:
            assert sequence.stop_reason == "stop"
            assert sequence.tokens[-1] in engine.eos_token_ids
            text = engine.tokenizer.decode(sequence.tokens[:-1])
            assert text.split(":")[0].split(" ")[0] in {"ADD", "NOOP", "UPDATE"}


def test_one_token_completions(engine: TorchEngine) -> None:
    for result in engine.sample(build_jobs(max_tokens=1)):
        assert all(len(sequence.tokens) == 1 for sequence in result.sequences)


def test_long_completions_outgrow_the_first_buffer(
    engine: TorchEngine, tiny_model_directory: Path
) -> None:
    model: Any = AutoModelForCausalLM.from_pretrained(tiny_model_directory)
    (job, *_) = build_jobs(temperature=0.0, num_samples=1, max_tokens=150)
    generated = model.generate(torch.tensor([job.tokens]), max_new_tokens=150, do_sample=False)
    found = engine.sample([job])[0].sequences[0].tokens
    assert found == generated[0, len(job.tokens) :].tolist()


def test_prompt_logprobs_equal_transformers(
    engine: TorchEngine, tiny_model_directory: Path
) -> None:
    model: Any = AutoModelForCausalLM.from_pretrained(tiny_model_directory)
    jobs = build_jobs(prompt_logprobs=True)
    jobs.append(SampleJob((9,), 1, 1, prompt_logprobs=True))
    for job, result in zip(jobs, engine.sample(jobs), strict=True):
        with torch.no_grad():
            logits = model(torch.tensor([job.tokens])).logits[0, :-1]
        targets = torch.tensor(job.tokens[1:], dtype=torch.long)
        expected = logits.log_softmax(-1).gather(1, targets[:, None]).squeeze(1).tolist()
        assert result.prompt_logprobs is not None
        assert result.prompt_logprobs[0] is None
        assert result.prompt_logprobs[1:] == pytest.approx(expected, abs=1e-4)


def test_the_base_ignores_adapters(tiny_model_directory: Path, engine: TorchEngine) -> None:
    jobs = build_jobs()
    expected = TorchEngine(tiny_model_directory, threads=1).sample(jobs)
    create_random_model(engine, "beside")
    snapshot = engine.create_snapshot("beside")
    mixed = [*jobs, *(dataclasses.replace(job, snapshot=snapshot) for job in jobs)]
    results = engine.sample(mixed)
    assert results[: len(jobs)] == expected
    assert results[len(jobs) :] != expected


def count_merged(engine: TorchEngine) -> int:
    """Snapshots whose layers are kept merged."""
    return len(engine._merged)


def test_merged_weights_sample_as_the_adapter_beside_the_base(tiny_model_directory: Path) -> None:
    merging = TorchEngine(tiny_model_directory, threads=1)
    beside = TorchEngine(tiny_model_directory, threads=1, merge_bytes=0)
    found = []
    for engine in (merging, beside):
        create_random_model(engine, "one")
        jobs = build_jobs(snapshot=engine.create_snapshot("one"), prompt_logprobs=True)
        found.append(engine.sample(jobs))
    assert (count_merged(merging), count_merged(beside)) == (1, 0)
    for one, other in zip(*found, strict=True):
        assert_close(one, other)
        assert (one.prompt_logprobs or [])[1:] == pytest.approx(
            (other.prompt_logprobs or [])[1:], abs=1e-4
        )


def test_merged_weights_keep_to_their_budget_and_their_snapshot(tiny_model_directory: Path) -> None:
    engine = TorchEngine(tiny_model_directory, threads=1)
    create_random_model(engine, "model")
    first = engine.create_snapshot("model")
    engine.sample(build_jobs(snapshot=first))
    (merged,) = engine._merged.values()
    size = sum(weight.numel() * weight.element_size() for weight in merged.values())

    small = TorchEngine(tiny_model_directory, threads=1, merge_bytes=2 * size + 1)
    create_random_model(small, "model")
    snapshots = []
    for _ in range(3):
        snapshots.append(small.create_snapshot("model"))
        with torch.no_grad():
            get_flat(small, "model").mul_(1.5)
    results = [small.sample(build_jobs(snapshot=snapshot)) for snapshot in snapshots]
    assert list(small._merged) == snapshots[1:]
    # Merged again, the oldest samples the same; all three differ.
    assert small.sample(build_jobs(snapshot=snapshots[0])) == results[0]
    assert list(small._merged) == [snapshots[2], snapshots[0]]
    assert results[0] != results[1] != results[2]
    small.drop_snapshot(snapshots[0])
    assert list(small._merged) == [snapshots[2]]


def draw(weights: list[float], uniforms: list[float], **settings: float) -> list[int]:
    count = len(uniforms)
    rows = torch.tensor([weights] * count, dtype=torch.float64)
    return draw_tokens(
        (rows / rows.sum(-1, keepdim=True)).log(),
        temperatures=[settings.get("temperature", 1.0)] * count,
        top_ks=[int(settings.get("top_k", -1))] * count,
        top_ps=[settings.get("top_p", 1.0)] * count,
        uniforms=uniforms,
    ).tolist()


def test_drawing_inverts_the_distribution_by_hand() -> None:
    # Running sums 0.1, 0.1, 0.6, 1.0: a token of probability 0 is never drawn.
    uniforms = [0.0, 0.09, 0.11, 0.59, 0.61, 0.999999999999]
    assert draw([1, 0, 5, 4], uniforms) == [0, 0, 2, 2, 3, 3]
    assert draw([1, 0, 5, 4], uniforms, temperature=0) == [2] * 6
    # Temperature 0.5 squares: 1, 25, 16 of 42.
    assert draw([1, 0, 5, 4], [0.02, 0.03, 0.61, 0.63], temperature=0.5) == [0, 2, 2, 3]


def test_top_k_and_top_p_by_hand() -> None:
    # top_k 2 leaves 5 and 4 (of 9), in the order of ids.
    assert draw([1, 0, 5, 4], [0.0, 0.55, 0.56], top_k=2) == [2, 2, 3]
    # top_p 0.5 needs the 5 only; 0.51 the 4 as well.
    assert draw([1, 0, 5, 4], [0.0, 0.99], top_p=0.5) == [2, 2]
    assert draw([1, 0, 5, 4], [0.0, 0.99], top_p=0.51) == [2, 3]


def test_drawing_over_several_blocks_matches_frequencies() -> None:
    size = 1000
    weights = torch.rand(size, generator=torch.Generator().manual_seed(0)) ** 4
    cumulative = (weights.double() / weights.double().sum()).cumsum(0)
    uniforms = torch.rand(500, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = torch.searchsorted(cumulative, uniforms, right=True).tolist()
    found = draw(weights.double().tolist(), uniforms.tolist())
    assert found == expected
    assert len(Counter(found)) > 100


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokens": ()}, "prompt is empty"),
        ({"tokens": (1, 384)}, r"prompt\[1\] is token 384"),
        ({"tokens": (5,) * 510}, "exceed the model's context of 512"),
        ({"num_samples": 0}, "num_samples is 0"),
        ({"max_tokens": 0}, "max_tokens is 0"),
        ({"temperature": -0.1}, "temperature is -0.1"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"top_p": 0.0}, "top_p is 0"),
        ({"top_k": 0}, "top_k is 0"),
        ({"constraint": Constraint("regex", "(")}, "invalid regex"),
        ({"snapshot": "gone"}, "unknown snapshot gone"),
    ],
)
def test_bad_jobs(engine: TorchEngine, changes: dict[str, object], message: str) -> None:
    job = dataclasses.replace(SampleJob((5, 6), 1, 4), **changes)  # type: ignore[arg-type]  # fields by name
    with pytest.raises(EngineError, match=message) as caught:
        engine.sample([SampleJob((5,), 1, 1), job])
    assert caught.value.status == (404 if "snapshot" in changes else 400)


def test_no_jobs(engine: TorchEngine) -> None:
    with pytest.raises(EngineError, match="no sample jobs"):
        engine.sample([])


def run_joining(engine: TorchEngine, jobs: list[SampleJob], every: int) -> list[SampleResult]:
    """Each job joins `every` steps after the one before, or when there is room."""
    run = engine.start_sampling()
    waiting = list(enumerate(jobs))
    results: dict[int, SampleResult] = {}
    step = 0
    while waiting or not run.is_empty:
        if waiting and (step % every == 0 or run.is_empty):
            index, job = waiting[0]
            assert run.can_join(job)
            assert run.join(job) == index
            waiting.pop(0)
        for number, outcome in run.step():
            assert isinstance(outcome, SampleResult)
            results[number] = outcome
        step += 1
    return [results[index] for index in range(len(jobs))]


def build_company() -> list[SampleJob]:
    """Jobs of every kind: greedy, cut, constrained, scored, short and long."""
    jobs = build_jobs()
    return [
        *jobs,
        *build_jobs(constraint=REGEX, max_tokens=40),
        dataclasses.replace(jobs[2], temperature=0.0, max_tokens=70),
        dataclasses.replace(jobs[1], top_p=0.7, temperature=1.3, seed=5),
        dataclasses.replace(jobs[0], top_k=5, prompt_logprobs=True, seed=6),
    ]


@pytest.mark.parametrize("every", [1, 4, 9])
def test_joining_a_running_batch_changes_no_token(
    tiny_model_directory: Path, engine: TorchEngine, every: int
) -> None:
    jobs = build_company()
    for found, job in zip(run_joining(engine, jobs, every), jobs, strict=True):
        (alone,) = engine.sample([job])
        assert_close(found, alone)
        assert (found.prompt_logprobs or [])[1:] == pytest.approx(
            (alone.prompt_logprobs or [])[1:], abs=1e-4
        )
    # With room for few sequences the others of a job wait inside, and decode when some have left.
    small = TorchEngine(tiny_model_directory, threads=1, cache_bytes=768 * 150)
    wide = [dataclasses.replace(job, num_samples=5) for job in build_jobs(max_tokens=12)]
    run = small.start_sampling()
    assert run.join(wide[3]) == 0
    results = []
    while not run.is_empty:
        results += run.step()
    ((number, found_wide),) = results
    assert number == 0
    assert isinstance(found_wide, SampleResult)
    assert_close(found_wide, engine.sample([wide[3]])[0])


@pytest.mark.parametrize("name", ["qwen2", "windowed"])
def test_joining_elsewhere(other_model_directories: dict[str, Path], name: str) -> None:
    engine = TorchEngine(other_model_directories[name], threads=1)
    jobs = build_jobs()
    for found, job in zip(run_joining(engine, jobs, 3), jobs, strict=True):
        assert_close(found, engine.sample([job])[0])


def test_tokens_do_not_depend_on_company_in_double_precision(double_engine: TorchEngine) -> None:
    generator = random.Random(2)
    jobs = [
        SampleJob(build_tokens(generator, 5 + 7 * index), 4, 60, seed=index) for index in range(6)
    ]
    together = double_engine.sample(jobs)
    joined = run_joining(double_engine, jobs, 5)
    for job, one, other in zip(jobs, together, joined, strict=True):
        (alone,) = double_engine.sample([job])
        for mine, with_others, late in zip(
            alone.sequences, one.sequences, other.sequences, strict=True
        ):
            assert mine.tokens == with_others.tokens == late.tokens
            assert mine.logprobs == pytest.approx(with_others.logprobs, abs=1e-11)
            assert mine.logprobs == pytest.approx(late.logprobs, abs=1e-11)


def test_a_run_has_one_set_of_weights(engine: TorchEngine) -> None:
    create_random_model(engine, "run")
    snapshot = engine.create_snapshot("run")
    job, *_ = build_jobs(snapshot=snapshot)
    run = engine.start_sampling()
    with pytest.raises(EngineError, match="unknown snapshot"):
        run.join(dataclasses.replace(job, snapshot="gone"))
    with pytest.raises(EngineError, match="prompt is empty"):
        run.join(dataclasses.replace(job, tokens=()))
    assert run.join(job) == 0
    assert run.can_join(job)
    assert not run.can_join(dataclasses.replace(job, snapshot=None))
    outcomes = []
    while not run.is_empty:
        outcomes += run.step()
    assert outcomes == [(0, engine.sample([job])[0])]


def test_stop_strings(engine: TorchEngine) -> None:
    (job, *_) = build_jobs(num_samples=1, max_tokens=60, seed=4)
    (free,) = engine.sample([job])[0].sequences
    pieces = [engine.tokenizer.decode([token]) for token in free.tokens]
    # A string over the boundary of two tokens of plain text, at its first occurrence.
    middle = next(
        index
        for index in range(20, 55)
        if all(piece.isascii() and piece.strip() for piece in pieces[index : index + 2])
    )
    stop = pieces[middle][-1] + pieces[middle + 1][0]
    text, count = "", 0
    while stop not in text:
        count += 1
        text = engine.tokenizer.decode(free.tokens[:count], skip_special_tokens=True)
    for strings in ((stop,), ("☃☃☃", stop)):
        stopping = dataclasses.replace(job, stop_strings=strings)
        (stopped,) = engine.sample([stopping])[0].sequences
        assert stopped.tokens == free.tokens[:count]
        assert stopped.stop_reason == "stop"
    (other,) = engine.sample([dataclasses.replace(job, stop_strings=("☃☃☃",))])[0].sequences
    assert other == free
    with pytest.raises(EngineError, match="a stop string is empty"):
        engine.sample([dataclasses.replace(job, stop_strings=("",))])


def measure_mass(weights: list[float], **settings: float) -> list[float]:
    """The share of evenly spread uniforms that draws each token."""
    count = 4200
    drawn = Counter(draw(weights, [(index + 0.5) / count for index in range(count)], **settings))
    return [drawn[token] / count for token in range(len(weights))]


def test_distributions_by_hand() -> None:
    weights = [1.0, 0.0, 5.0, 4.0]
    # top_p after top_k: of 5 and 4 (5/9 and 4/9) the 5 alone reaches 0.55.
    assert measure_mass(weights, top_k=2, top_p=0.55) == [0, 0, 1, 0]
    assert measure_mass(weights, top_k=2, top_p=0.56) == pytest.approx(
        [0, 0, 5 / 9, 4 / 9], abs=1e-3
    )
    # The temperature comes first. At 0.5 weights are 1, 25, 16 (of 42): the 25 (0.595) reaches 0.59 and not 0.6.
    assert measure_mass(weights, temperature=0.5) == pytest.approx(
        [1 / 42, 0, 25 / 42, 16 / 42], abs=1e-3
    )
    assert measure_mass(weights, temperature=0.5, top_p=0.59) == [0, 0, 1, 0]
    assert measure_mass(weights, temperature=0.5, top_p=0.6) == pytest.approx(
        [0, 0, 25 / 41, 16 / 41], abs=1e-3
    )
    # Equal tokens: the lower id is kept first.
    assert measure_mass([2, 2, 2], top_k=2) == pytest.approx([0.5, 0.5, 0], abs=1e-3)
    assert measure_mass([2, 2, 2], top_p=0.3) == [1, 0, 0]


@pytest.mark.parametrize(
    "constraint",
    [
        Constraint("json_schema", '{"enum": ["lake", "town", 7]}'),
        Constraint(
            "tools",
            '{"tools": [{"type": "function", "function": {"name": "add", "parameters": {"type": "object",'
            ' "properties": {"text": {"type": "string", "maxLength": 9}}, "required": ["text"],'
            ' "additionalProperties": false}}}, {"type": "function", "function": {"name": "noop"}}]}',
        ),
        Constraint(
            "tools",
            '{"tools": [{"type": "function", "function": {"name": "noop"}}], "tool_choice": "auto"}',
        ),
    ],
    ids=["schema", "tools", "auto"],
)
def test_the_trainer_agrees_under_every_constraint(
    engine: TorchEngine, constraint: Constraint
) -> None:
    model_id = f"constraint-{hash(constraint)}"
    create_random_model(engine, model_id)
    snapshot = engine.create_snapshot(model_id)
    jobs = build_jobs(constraint=constraint, snapshot=snapshot, max_tokens=50, num_samples=3)
    sampled = [
        (job, sequence)
        for job, result in zip(jobs, run_joining(engine, jobs, 2), strict=True)
        for sequence in result.sequences
    ]
    data = [to_datum(job, sequence.tokens) for job, sequence in sampled]
    outputs = engine.forward(model_id, data, "cross_entropy").outputs
    for (_, sequence), output in zip(sampled, outputs, strict=True):
        assert sequence.logprobs == pytest.approx(output.logprobs, abs=1e-4)
