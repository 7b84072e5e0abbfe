"""Embeddings: the pooling against one text at a time, and both HTTP shapes."""

from __future__ import annotations

import base64
import json
import math
import struct
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizerFast

from memory_r1_engine.embeddings import BATCH_SIZE, Embedder
from memory_r1_engine.types import EngineError
from serving import ScriptedEngine, serving

WORDS = ["anna", "has", "a", "dog", "named", "rex", "and", "moved", "to", "lake", "in", "may"]
TEXTS = ["anna has a dog", "", "rex", "Anna moved to a lake in May", "☃ unknown words"]


@pytest.fixture(scope="module")
def encoder_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two layers that reads 16 tokens."""
    directory = tmp_path_factory.mktemp("tiny-bert")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (directory / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    BertTokenizerFast(vocab=str(directory / "vocab.txt")).save_pretrained(directory)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(directory)
    (directory / "sentence_bert_config.json").write_text('{"max_seq_length": 16}', encoding="utf-8")
    return directory


@pytest.fixture(scope="module")
def embedder(encoder_directory: Path) -> Embedder:
    return Embedder(encoder_directory)


def test_equals_the_mean_over_each_text_alone(embedder: Embedder, encoder_directory: Path) -> None:
    model = BertModel.from_pretrained(encoder_directory).eval()
    tokenizer = BertTokenizerFast.from_pretrained(encoder_directory)
    vectors, tokens = embedder.embed(TEXTS)
    plain, _ = embedder.embed(TEXTS, normalize=False)
    expected_tokens = 0
    for text, vector, unnormalized in zip(TEXTS, vectors, plain, strict=True):
        inputs = tokenizer(text, return_tensors="pt")
        expected_tokens += inputs["input_ids"].shape[1]
        with torch.no_grad():
            mean = model(**inputs).last_hidden_state[0].mean(dim=0)
        assert unnormalized == pytest.approx(mean.tolist(), abs=1e-6)
        assert vector == pytest.approx((mean / mean.norm()).tolist(), abs=1e-6)
        assert math.hypot(*vector) == pytest.approx(1.0, abs=1e-6)
    assert tokens == expected_tokens
    assert embedder.dimension == 32


def test_order_is_kept_over_several_batches(embedder: Embedder) -> None:
    texts = [" ".join(WORDS[: 1 + number % 11]) for number in range(2 * BATCH_SIZE + 3)]
    vectors, _ = embedder.embed(texts)
    assert len(vectors) == len(texts)
    for number, vector in enumerate(vectors):
        assert vector == pytest.approx(vectors[number % 11], abs=1e-6)
    assert vectors[0] != pytest.approx(vectors[1], abs=1e-3)
    assert embedder.embed([]) == ([], 0)


def test_long_texts(embedder: Embedder) -> None:
    assert embedder.max_tokens == 16
    long = " ".join(["dog"] * 40)
    cut = " ".join(["dog"] * 14)
    assert embedder.embed([long])[0][0] == pytest.approx(embedder.embed([cut])[0][0], abs=1e-6)
    with pytest.raises(EngineError, match="has 42 tokens and the model reads 16") as caught:
        embedder.embed(["a", long], truncate=False)
    assert caught.value.status == 413


def test_other_poolings_are_refused(encoder_directory: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Embedder(tmp_path / "nowhere")
    pooling = tmp_path / "1_Pooling"
    pooling.mkdir()
    settings = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    (pooling / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(ValueError, match="only mean pooling"):
        Embedder(tmp_path)


def test_over_http(embedder: Embedder, tmp_path: Path) -> None:
    expected, tokens = embedder.embed(TEXTS)
    with serving(ScriptedEngine(), tmp_path, embedder=embedder) as caller:
        http = caller.http
        assert [entry["id"] for entry in http.get("/v1/models").json()["data"]] == [
            "tiny",
            "tiny-encoder",
        ]
        for model in ({"model": "tiny-encoder"}, {}, {"model": "http://127.0.0.1:1/embed"}):
            answer = http.post("/v1/embeddings", json={"input": TEXTS, **model}).json()
            assert [entry["embedding"] for entry in answer["data"]] == expected
        assert [entry["index"] for entry in answer["data"]] == [0, 1, 2, 3, 4]
        assert answer["model"] == "tiny-encoder"
        assert answer["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}
        packed = http.post("/v1/embeddings", json={"input": "rex", "encoding_format": "base64"})
        raw = base64.b64decode(packed.json()["data"][0]["embedding"])
        assert struct.unpack("<32f", raw) == pytest.approx(expected[2], abs=1e-6)

        assert http.post("/embed", json={"inputs": TEXTS}).json() == expected
        assert http.post("/embed", json={"inputs": "rex"}).json()[0] == pytest.approx(
            expected[2], abs=1e-6
        )
        plain = http.post("/embed", json={"inputs": "rex", "normalize": False}).json()[0]
        assert math.hypot(*plain) != pytest.approx(1.0, abs=1e-3)

        long = "dog " * 40
        assert http.post("/embed", json={"inputs": long, "truncate": False}).status_code == 413
        other = http.post("/v1/embeddings", json={"input": "a", "model": "other"})
        assert other.status_code == 404
        assert 'this engine serves "tiny-encoder"' in other.json()["detail"]
        size = http.post("/v1/embeddings", json={"input": "a", "dimensions": 8})
        assert size.status_code == 400
        for body in ({"inputs": 3}, {}, {"inputs": ["a", None]}):
            assert http.post("/embed", json=body).status_code == 422


def test_without_an_encoder(tmp_path: Path) -> None:
    with serving(ScriptedEngine(), tmp_path) as caller:
        response = caller.http.post("/embed", json={"inputs": "a"})
        assert response.status_code == 404
        assert "--embedding-dir" in response.json()["detail"]
