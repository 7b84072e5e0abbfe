"""The route `/rerank` of text-embeddings-inference: what is asked, what is refused, and the order of the answer."""

from __future__ import annotations

import math
from typing import Any, Literal, Protocol

from memory_r1_engine.chat import StandardMessage
from memory_r1_engine.types import EngineError

#: Texts of one call: what a single caller may hold the engine up with.
MAX_TEXTS = 1024


class TextReranker(Protocol):
    """What the route needs (`reranker.Reranker`)."""

    @property
    def max_tokens(self) -> int: ...

    def score(self, query: str, texts: list[str], *, truncate: bool = True) -> list[float]: ...


class RerankRequest(StandardMessage):
    """text-embeddings-inference's shape."""

    query: str
    texts: list[str]
    raw_scores: bool | None = None
    return_text: bool | None = None
    truncate: bool | None = None
    truncation_direction: Literal["Right", "right"] | None = None


def check_request(given: RerankRequest) -> None:
    """Raises EngineError for what no reranker can order."""
    if not given.texts:
        raise EngineError(400, "texts: the list is empty")
    if not given.query.strip():
        raise EngineError(400, "query: it is empty")
    if len(given.texts) > MAX_TEXTS:
        raise EngineError(413, f"texts: {len(given.texts)} are given, and a call takes {MAX_TEXTS}")


def to_ranks(given: RerankRequest, logits: list[float]) -> list[dict[str, Any]]:
    """Best first, of equal logits the earlier text. A score is the logit's sigmoid, or itself if `raw_scores`."""
    best_first = sorted(range(len(logits)), key=lambda index: -logits[index])
    return [
        {
            "index": index,
            "score": logits[index] if given.raw_scores else _sigmoid(logits[index]),
            **({"text": given.texts[index]} if given.return_text else {}),
        }
        for index in best_first
    ]


def describe_reranker(name: str | None, reranker: TextReranker | None) -> dict[str, Any] | None:
    """What the server's capabilities say of it; None: there is none."""
    if reranker is None:
        return None
    return {"model_name": name, "max_tokens": reranker.max_tokens, "max_texts": MAX_TEXTS}


def _sigmoid(logit: float) -> float:
    # Never the exponential of a large number, which would overflow.
    if logit >= 0:
        return 1 / (1 + math.exp(-logit))
    power = math.exp(logit)
    return power / (1 + power)
