"""The cross-encoder: scores against transformers' own of one pair at a time, and text-embeddings-inference's route."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    BertTokenizerFast,
    LlamaConfig,
    LlamaForSequenceClassification,
)

from conftest import SHAPE, save_model
from memory_r1_engine.ranking import MAX_TEXTS
from memory_r1_engine.reranker import BATCH_SIZE, Reranker
from memory_r1_engine.types import EngineError
from serving import TOKEN, ScriptedEngine, serving

WORDS = ["anna", "has", "a", "dog", "named", "rex", "and", "moved", "to", "lake", "in", "may"]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
QUERY = "where has Anna moved"
TEXTS = ["anna has a dog", "", "rex", "Anna moved to a lake in May", "☃ unknown 日本語 words 👩‍💻"]
SHAPE_OF_BERT: dict[str, Any] = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 24,
    # Larger than usual, so that the scores of random weights differ by more than rounding.
    "initializer_range": 0.6,
}


def save_with_tokenizer(model: Any, directory: Path) -> Path:
    model.save_pretrained(directory)
    (directory / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    BertTokenizerFast(vocab=str(directory / "vocab.txt")).save_pretrained(directory)
    return directory


@pytest.fixture(scope="module")
def reranker_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two layers with a head for one score that reads 24 tokens."""
    torch.manual_seed(0)
    model = BertForSequenceClassification(BertConfig(**SHAPE_OF_BERT, num_labels=1))
    return save_with_tokenizer(model, tmp_path_factory.mktemp("tiny-cross-encoder"))


@pytest.fixture(scope="module")
def reranker(reranker_directory: Path) -> Reranker:
    return Reranker(reranker_directory)


@pytest.fixture(scope="module")
def http(reranker: Reranker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    folder = tmp_path_factory.mktemp("served")
    with serving(ScriptedEngine(), folder, reranker=reranker) as caller:
        yield caller.http


def one_by_one(directory: Path, query: str, texts: list[str]) -> list[float]:
    """Transformers' own run of each pair alone."""
    model = BertForSequenceClassification.from_pretrained(directory).eval()
    tokenizer = BertTokenizerFast.from_pretrained(directory)
    scores = []
    for text in texts:
        # As lists of one: of two plain strings transformers drops an empty second one, and the token that ends it.
        inputs = tokenizer([query], [text], truncation=True, max_length=24, return_tensors="pt")
        with torch.no_grad():
            scores.append(float(model(**inputs).logits[0, 0]))
    return scores


def test_equals_each_pair_alone(reranker: Reranker, reranker_directory: Path) -> None:
    scores = reranker.score(QUERY, TEXTS)
    assert scores == pytest.approx(one_by_one(reranker_directory, QUERY, TEXTS), abs=1e-5)
    ranked = sorted(scores)
    assert min(b - a for a, b in itertools.pairwise(ranked)) > 1e-3
    assert reranker.score(QUERY, TEXTS) == scores, "the same call gives the same bits"
    # Which of the two is the query is told by the token types.
    assert reranker.score(TEXTS[0], [QUERY])[0] != pytest.approx(scores[0], abs=1e-3)


def test_order_is_kept_over_several_batches_and_equal_texts_score_equal(
    reranker: Reranker, reranker_directory: Path
) -> None:
    distinct = [f"{WORDS[n % 12]} {' '.join(WORDS[n // 12 :])}" for n in range(72)]
    texts = [text for text in distinct for _ in range(2)]
    assert len(set(texts)) == len(distinct) > 2 * BATCH_SIZE
    scores = reranker.score(QUERY, texts)
    assert scores[::2] == scores[1::2]
    assert scores[::2] == pytest.approx(one_by_one(reranker_directory, QUERY, distinct), abs=1e-5)
    assert reranker.score(QUERY, []) == []


def test_long_pairs(reranker: Reranker, reranker_directory: Path) -> None:
    assert reranker.max_tokens == 24
    # 24 tokens, three of them [CLS], [SEP] and [SEP]: 21 words of both.
    fits, long = " ".join(["dog"] * 17), " ".join(["dog"] * 40)
    assert reranker.score(QUERY, [long]) == pytest.approx(reranker.score(QUERY, [fits]), abs=1e-6)
    assert reranker.score(QUERY, [fits], truncate=False) == reranker.score(QUERY, [fits])
    with pytest.raises(EngineError, match="has 47 tokens and the model reads 24") as caught:
        reranker.score(QUERY, ["a", long], truncate=False)
    assert caught.value.status == 413
    # A query that is too long by itself is cut as well, the longer of the two first.
    expected = one_by_one(reranker_directory, long, ["rex", long])
    assert reranker.score(long, ["rex", long]) == pytest.approx(expected, abs=1e-5)


def test_a_decoder_without_padding_reads_one_pair_at_a_time(tmp_path: Path) -> None:
    torch.manual_seed(0)
    shape = {**SHAPE, "pad_token_id": None}
    config = LlamaConfig(**shape, num_key_value_heads=2, num_labels=1)
    reranker = Reranker(save_model(LlamaForSequenceClassification(config), tmp_path))
    alone = [reranker.score("who?", [text])[0] for text in ("Anna", "the dog by the lake", "")]
    assert reranker.score("who?", ["Anna", "the dog by the lake", ""]) == alone
    assert len(set(alone)) == 3


def test_what_is_no_reranker_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Reranker(tmp_path / "nowhere")
    encoder = save_with_tokenizer(BertModel(BertConfig(**SHAPE_OF_BERT)), tmp_path / "encoder")
    with pytest.raises(ValueError, match=r"the weights have no classifier\.bias: a reranker is a"):
        Reranker(encoder)
    classes = BertForSequenceClassification(BertConfig(**SHAPE_OF_BERT, num_labels=3))
    with pytest.raises(ValueError, match="tells 3 classes apart; a reranker has one score"):
        Reranker(save_with_tokenizer(classes, tmp_path / "classes"))


def test_weights_that_are_not_numbers(reranker_directory: Path) -> None:
    broken = Reranker(reranker_directory)
    with torch.no_grad():
        broken._model.classifier.bias.fill_(math.nan)
    with pytest.raises(EngineError, match="not finite") as caught:
        broken.score(QUERY, ["rex"])
    assert caught.value.status == 500


def test_over_http(http: httpx2.Client, reranker: Reranker) -> None:
    logits = reranker.score(QUERY, TEXTS)
    order = sorted(range(len(TEXTS)), key=lambda index: logits[index], reverse=True)
    body = {"query": QUERY, "texts": TEXTS}
    raw = http.post("/rerank", json={**body, "raw_scores": True, "return_text": True}).json()
    assert raw == [
        {"index": index, "score": logits[index], "text": TEXTS[index]} for index in order
    ]
    plain = http.post("/rerank", json=body).json()
    assert [list(entry) for entry in plain] == [["index", "score"]] * len(TEXTS)
    assert [entry["index"] for entry in plain] == order
    assert [entry["score"] for entry in plain] == pytest.approx(
        [1 / (1 + math.exp(-logits[index])) for index in order], abs=1e-9
    )
    # Fields of TEI's that ask for nothing, and one that nobody knows.
    more = {"truncate": None, "truncation_direction": "Right", "model": "http://127.0.0.1/rerank"}
    assert http.post("/rerank", json={**body, **more}).json() == plain
    names = [entry["id"] for entry in http.get("/v1/models").json()["data"]]
    assert names == ["tiny", "tiny-reranker"]
    told = http.get("/api/v1/get_server_capabilities").json()["reranker"]
    assert told == {"model_name": "tiny-reranker", "max_tokens": 24, "max_texts": 1024}


def test_ties_are_in_the_order_of_the_texts(http: httpx2.Client) -> None:
    texts = ["rex", "a dog", "rex", "a dog", "rex"]
    answer = http.post("/rerank", json={"query": QUERY, "texts": texts}).json()
    assert [entry["index"] for entry in answer] in ([0, 2, 4, 1, 3], [1, 3, 0, 2, 4])


class FarApart:
    """Scores whose sigmoids are 0 and 1 to the last bit."""

    max_tokens = 8

    def score(self, query: str, texts: list[str], *, truncate: bool = True) -> list[float]:
        return [float(text) for text in texts]


def test_scores_that_saturate_keep_the_order_of_the_logits(tmp_path: Path) -> None:
    texts = ["-900", "800", "900", "-800", "0"]
    with serving(ScriptedEngine(), tmp_path, reranker=FarApart()) as caller:
        answer = caller.http.post("/rerank", json={"query": "a", "texts": texts}).json()
    assert [entry["index"] for entry in answer] == [2, 1, 4, 3, 0]
    assert [entry["score"] for entry in answer] == [1.0, 1.0, 0.5, 0.0, 0.0]


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        ({"query": "a", "texts": []}, 400, "texts: the list is empty"),
        ({"query": "", "texts": ["a"]}, 400, "query: it is empty"),
        ({"query": " \n", "texts": ["a"]}, 400, "query: it is empty"),
        ({"query": "a", "texts": ["a"] * (MAX_TEXTS + 1)}, 413, "1025 are given, and a call takes"),
        ({"query": "a", "texts": ["dog " * 40], "truncate": False}, 413, "the model reads 24"),
        ({"query": "a"}, 422, "texts: Field required"),
        ({"texts": ["a"]}, 422, "query: Field required"),
        ({"query": "a", "texts": "a"}, 422, "texts: Input should be a valid list"),
        ({"query": "a", "texts": ["a", None]}, 422, "texts.1: Input should be a valid string"),
        ({"query": "a", "texts": ["a"], "truncation_direction": "Left"}, 422, "direction"),
        ({"query": "a", "texts": ["a"], "raw_scores": "yes"}, 422, "raw_scores"),
    ],
)
def test_refusals(http: httpx2.Client, body: dict[str, Any], status: int, detail: str) -> None:
    response = http.post("/rerank", json=body)
    assert response.status_code == status
    assert list(response.json()) == ["detail"]
    assert detail in response.json()["detail"]


def test_the_largest_call_and_the_token(http: httpx2.Client) -> None:
    texts = [f"{'dog ' * (n % 7)}{n % 64}" for n in range(MAX_TEXTS)]
    answer = http.post("/rerank", json={"query": "a", "texts": texts}).json()
    assert sorted(entry["index"] for entry in answer) == list(range(MAX_TEXTS))
    headers = {"Authorization": "Bearer wrong"}
    refused = http.post("/rerank", json={"query": "a", "texts": ["a"]}, headers=headers)
    assert refused.status_code == 401
    assert TOKEN not in refused.text


def test_without_a_reranker(tmp_path: Path) -> None:
    with serving(ScriptedEngine(), tmp_path) as caller:
        response = caller.http.post("/rerank", json={"query": "a", "texts": ["a"]})
        assert response.status_code == 404
        assert json.loads(response.text) == {
            "detail": "no reranker is served: start with --reranker-dir"
        }
        assert caller.http.get("/api/v1/get_server_capabilities").json()["reranker"] is None
