"""Sentence embeddings from an encoder: mean of the last layer over the attention mask, at unit length."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from memory_r1_engine.types import EngineError

BATCH_SIZE = 32


class Embedder:
    """One encoder from a local folder, in float32. Used from one thread at a time (the engine's worker)."""

    def __init__(self, directory: Path, device: str = "cpu") -> None:
        # Late: the rest of the server does not need it.
        from transformers import AutoModel, AutoTokenizer

        if not directory.is_dir():
            raise FileNotFoundError(f"no folder {directory}")
        _check_pooling(directory)
        self.directory = directory
        self._device = torch.device(device)
        self._tokenizer: Any = AutoTokenizer.from_pretrained(str(directory), local_files_only=True)
        model: Any = AutoModel.from_pretrained(
            str(directory), local_files_only=True, dtype=torch.float32
        )
        self._model: Any = model.to(self._device).eval()
        self.dimension = int(self._model.config.hidden_size)
        self.max_tokens = read_max_tokens(directory, self._tokenizer, self._model.config)

    def embed(
        self, texts: list[str], *, normalize: bool = True, truncate: bool = True
    ) -> tuple[list[list[float]], int]:
        """One vector per text in the order given, and the number of tokens read.

        Longer texts are cut at `max_tokens`, or refused (EngineError 413) with `truncate` off. Texts of similar
        length share a batch, so a text's numbers may differ in the last bits with what else is in the call.
        """
        if not texts:
            return [], 0
        encoded = self._tokenizer(
            texts,
            padding=False,
            truncation=truncate,
            max_length=self.max_tokens if truncate else None,
            return_attention_mask=False,
            return_token_type_ids=False,
        )
        ids: list[list[int]] = [list(row) for row in encoded["input_ids"]]
        longest = max(len(row) for row in ids)
        if longest > self.max_tokens:
            raise EngineError(
                413,
                f"an input has {longest} tokens and the model reads {self.max_tokens}: "
                "shorten it or allow truncation",
            )
        vectors: list[list[float]] = [[] for _ in ids]
        by_length = sorted(range(len(ids)), key=lambda index: len(ids[index]))
        for start in range(0, len(by_length), BATCH_SIZE):
            batch = by_length[start : start + BATCH_SIZE]
            rows = self._embed_batch([ids[index] for index in batch], normalize)
            for index, row in zip(batch, rows, strict=True):
                vectors[index] = row
        return vectors, sum(len(row) for row in ids)

    def _embed_batch(self, ids: list[list[int]], normalize: bool) -> list[list[float]]:
        width = max(len(row) for row in ids)
        padding = self._tokenizer.pad_token_id or 0
        tokens = torch.tensor([row + [padding] * (width - len(row)) for row in ids])
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in ids])
        tokens, mask = tokens.to(self._device), mask.to(self._device)
        with torch.inference_mode():
            states = self._model(input_ids=tokens, attention_mask=mask).last_hidden_state
            weights = mask.unsqueeze(-1).to(states.dtype)
            pooled = (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)
            if normalize:
                pooled = torch.nn.functional.normalize(pooled, dim=1)
        rows: list[list[float]] = pooled.tolist()
        return rows


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    return content if isinstance(content, dict) else {}


def _check_pooling(directory: Path) -> None:
    """Refuses a model that was trained with another pooling: its vectors would be quietly worse."""
    settings = _read_json(directory / "1_Pooling" / "config.json")
    modes = [
        key for key, value in settings.items() if key.startswith("pooling_mode_") and value is True
    ]
    if modes and modes != ["pooling_mode_mean_tokens"]:
        raise ValueError(f"the model pools by {', '.join(modes)}; only mean pooling is supported")


def read_max_tokens(directory: Path, tokenizer: Any, config: Any) -> int:
    """How many tokens a model of sentences reads at most, special tokens included: the least of what its files say."""
    limits = [
        _read_json(directory / "sentence_bert_config.json").get("max_seq_length"),
        getattr(tokenizer, "model_max_length", None),
        getattr(config, "max_position_embeddings", None),
    ]
    # transformers writes "no limit" as a very large number.
    known = [int(limit) for limit in limits if isinstance(limit, int | float) and 0 < limit < 1e9]
    return min(known, default=512)
