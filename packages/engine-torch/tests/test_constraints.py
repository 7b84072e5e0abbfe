"""Masks: what is allowed, where a completion may end, and what is refused."""

from __future__ import annotations

import pytest

from memory_r1_engine.constraints import (
    ConstraintCompiler,
    find_allowed_tokens,
    find_forced_token,
    is_allowed,
    mask_completion,
    unpack_forbidden,
)
from memory_r1_engine.core import TorchEngine
from memory_r1_engine.types import Constraint, EngineError


@pytest.fixture(scope="module")
def compiler(engine: TorchEngine) -> ConstraintCompiler:
    return engine._compiler


def encode(engine: TorchEngine, text: str) -> list[int]:
    tokens: list[int] = engine.tokenizer.encode(text, add_special_tokens=False)
    return tokens


def decode(engine: TorchEngine, mask: bytes) -> set[str]:
    return {engine.tokenizer.decode([token]) for token in find_allowed_tokens(mask)}


def test_a_finished_grammar_allows_the_end_only(
    engine: TorchEngine, compiler: ConstraintCompiler
) -> None:
    state = compiler.start(Constraint("regex", "xyz|xyzz"))
    for token in encode(engine, "xyz"):
        state.consume(token)
    assert decode(engine, state.compute_mask()) == {"<|im_end|>", "z"}
    (last,) = encode(engine, "z")
    state.consume(last)
    assert find_allowed_tokens(state.compute_mask()) == [2]
    state.consume(2)
    assert state.is_ended


def test_the_end_is_not_allowed_in_the_middle(
    engine: TorchEngine, compiler: ConstraintCompiler
) -> None:
    state = compiler.start(Constraint("regex", "xyz"))
    assert 2 not in find_allowed_tokens(state.compute_mask())
    assert decode(engine, state.compute_mask()) == {"x"}


def test_masks_of_a_completion(engine: TorchEngine, compiler: ConstraintCompiler) -> None:
    constraint = Constraint("regex", "[ab]{2}")
    completion = [*encode(engine, "a"), *encode(engine, "b"), 2]
    masks = mask_completion(compiler.start(constraint), completion)
    assert decode(engine, masks[1]) == {"a", "b"}
    assert find_forced_token(masks[1]) is None
    assert find_forced_token(masks[2]) == 2


def test_json_schema(engine: TorchEngine, compiler: ConstraintCompiler) -> None:
    constraint = Constraint("json_schema", '{"enum": ["Zürich", "東京 🙂"]}')
    for text in ('"Zürich"', '"東京 🙂"'):
        mask_completion(compiler.start(constraint), [*encode(engine, text), 2])
    with pytest.raises(EngineError, match=r"completion token 1 .* not allowed"):
        mask_completion(compiler.start(constraint), encode(engine, '"x"'))


def test_tokens_after_the_end(engine: TorchEngine, compiler: ConstraintCompiler) -> None:
    (letter,) = encode(engine, "x")
    with pytest.raises(EngineError, match=r"completion token 2 .* after the constraint's end"):
        mask_completion(compiler.start(Constraint("regex", "x+")), [letter, 2, letter])


def test_states_are_independent(engine: TorchEngine, compiler: ConstraintCompiler) -> None:
    constraint = Constraint("regex", "xy")
    first, second = compiler.start(constraint), compiler.start(constraint)
    first.consume(encode(engine, "x")[0])
    assert decode(engine, second.compute_mask()) == {"x"}


def test_unpacking_agrees_with_the_bits() -> None:
    masks = [bytes([0b00000101, 0b10000000]), bytes([0, 0b00000001])]
    allowed = unpack_forbidden(masks, 16).logical_not()
    assert [row.nonzero().flatten().tolist() for row in allowed] == [[0, 2, 15], [8]]
    # Beyond a mask's end nothing is allowed; a mask may be longer than the vocabulary, and another shorter.
    beyond = unpack_forbidden([*masks, bytes([0xFF] * 4)], 20).logical_not()
    assert [row.nonzero().flatten().tolist() for row in beyond] == [
        [0, 2, 15],
        [8],
        list(range(20)),
    ]
    assert is_allowed(masks[0], 15)
    assert not is_allowed(masks[0], 14)
    assert find_forced_token(masks[1]) == 8


@pytest.mark.parametrize(
    ("constraint", "message"),
    [
        (Constraint("regex", "("), "unclosed group"),
        (Constraint("regex", "(?=a)b"), "look-around"),
        (Constraint("regex", r"a[^\s\S]b"), "no text matches"),
        (Constraint("json_schema", "{bad"), "key must be a string"),
        (Constraint("json_schema", '{"type": "strin"}'), "strin"),
        (Constraint("json_schema", "false"), "Unsatisfiable"),
    ],
)
def test_invalid_constraints(
    compiler: ConstraintCompiler, constraint: Constraint, message: str
) -> None:
    with pytest.raises(EngineError, match=message) as caught:
        compiler.start(constraint)
    assert caught.value.status == 400
