"""Prompt-lookup drafting: guessing a sequence's next tokens from what followed the same few tokens before.

Replies of memory agents copy: a fact into an operation, a memory into an answer, keys of JSON again and again.
Guesses are put to the model as one run of tokens, which costs little more than one token where a step is bound by
reading the weights. A guess is right where it is the token that is drawn from the model's distribution in that place,
so sequences are what they are without drafts, up to rounding. (Prompt lookup decoding, Saxena 2023; the same idea as
LLMA, arXiv 2304.04487.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

DRAFT_ROWS = 16
"""Rows of a decode step up to which sequences get drafts; their share of it is the longest draft."""

_LENGTHS = (3, 2)
"""Tokens that must have come before in the same order, the longest first."""


@dataclass
class DraftCounts:
    """What drafts did since the engine began, in tokens: guessed, and of them those that were right."""

    guessed: int = 0
    right: int = 0


NgramIndex = dict[tuple[int, ...], int]
"""For each few tokens in a row, the place of the token that followed them last."""


def index_ngrams(tokens: Sequence[int]) -> NgramIndex:
    """The index of a prompt; its samples share it."""
    index: NgramIndex = {}
    for place in range(len(tokens)):
        _note_follower(index, tokens, place)
    return index


def _note_follower(index: NgramIndex, tokens: Sequence[int], place: int) -> None:
    for length in _LENGTHS:
        if place >= length:
            index[tuple(tokens[place - length : place])] = place


class Drafter:
    """Guesses one sequence's next tokens, as many as its guesses have lately deserved.

    A wrong guess ends drafting until one that was not put to the model would have been right; a draft that was right to
    its end doubles the next one.
    """

    def __init__(self, prompt: Sequence[int], index: NgramIndex) -> None:
        self._tokens = list(prompt)
        self._prompt_index = index
        self._own_index: NgramIndex = {}
        # Guesses in a row that were right.
        self._trust = 0
        # The place of the token that is guessed to come next: what is copied goes on being copied while it is right.
        self._source = self._find_follower()

    def append(self, token: int) -> None:
        """The sequence's next token, guessed or not."""
        right = self._source is not None and self._tokens[self._source] == token
        self._trust = self._trust + 1 if right else 0
        self._tokens.append(token)
        _note_follower(self._own_index, self._tokens, len(self._tokens) - 1)
        if self._source is not None and right:
            self._source += 1
        else:
            self._source = self._find_follower()

    def draft(self, limit: int) -> list[int]:
        """At most `limit` guessed tokens; none where guesses have not been right or nothing is known."""
        if self._source is None:
            return []
        count = max(0, min(limit, self._trust))
        known = self._tokens[self._source : self._source + count]
        # A copy that reaches the sequence's end goes on with its own beginning: a text that repeats itself.
        return [known[number % len(known)] for number in range(count)]

    def _find_follower(self) -> int | None:
        for length in _LENGTHS:
            key = tuple(self._tokens[-length:])
            place = self._own_index.get(key, self._prompt_index.get(key))
            if place is not None:
                return place
        return None
