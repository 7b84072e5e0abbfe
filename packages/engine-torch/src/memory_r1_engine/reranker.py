"""Relevance of texts to a query by a cross-encoder: query and text are read together, and one logit is the score."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch

from memory_r1_engine.embeddings import read_max_tokens
from memory_r1_engine.types import EngineError

BATCH_SIZE = 32


class Reranker:
    """One cross-encoder from a local folder, in float32. Used from one thread at a time (the engine's worker)."""

    def __init__(self, directory: Path, device: str = "cpu") -> None:
        # Late: the rest of the server does not need it.
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        if not directory.is_dir():
            raise FileNotFoundError(f"no folder {directory}")
        self.directory = directory
        self._device = torch.device(device)
        self._tokenizer: Any = AutoTokenizer.from_pretrained(str(directory), local_files_only=True)
        model: Any
        model, report = AutoModelForSequenceClassification.from_pretrained(
            str(directory), local_files_only=True, dtype=torch.float32, output_loading_info=True
        )
        _check_head(model.config, sorted(report["missing_keys"]))
        self._model: Any = model.to(self._device).eval()
        self.max_tokens = read_max_tokens(directory, self._tokenizer, self._model.config)
        # Where a model has no padding, rows of different lengths cannot share a batch.
        paddings = (self._tokenizer.pad_token_id, self._model.config.pad_token_id)
        self._batch_size = 1 if None in paddings else BATCH_SIZE

    def score(self, query: str, texts: list[str], *, truncate: bool = True) -> list[float]:
        """One logit per text in the order given: the larger, the more the text has to do with the query.

        Of a pair that is too long, the longer of the two is cut until both fit `max_tokens`, or it is refused
        (EngineError 413) with `truncate` off. Equal texts are read once and have equal scores; texts of similar
        length share a batch, so a score may differ in the last bits with what else is in the call.
        """
        distinct = list(dict.fromkeys(texts))
        if not distinct:
            return []
        encoded = self._tokenizer(
            [query] * len(distinct),
            distinct,
            padding=False,
            truncation="longest_first" if truncate else False,
            max_length=self.max_tokens if truncate else None,
        )
        lengths = [len(row) for row in encoded["input_ids"]]
        if max(lengths) > self.max_tokens:
            raise EngineError(
                413,
                f"the query with a text has {max(lengths)} tokens and the model reads {self.max_tokens}: "
                "shorten them or allow truncation",
            )
        scores: dict[str, float] = {}
        by_length = sorted(range(len(distinct)), key=lambda index: lengths[index])
        for start in range(0, len(by_length), self._batch_size):
            batch = by_length[start : start + self._batch_size]
            rows = [{key: values[index] for key, values in encoded.items()} for index in batch]
            for index, score in zip(batch, self._score_batch(rows), strict=True):
                scores[distinct[index]] = score
        return [scores[text] for text in texts]

    def _score_batch(self, rows: list[dict[str, list[int]]]) -> list[float]:
        if len(rows) == 1:
            inputs = {key: torch.tensor([values]) for key, values in rows[0].items()}
        else:
            inputs = dict(self._tokenizer.pad(rows, return_tensors="pt"))
        with torch.inference_mode():
            logits = self._model(
                **{key: values.to(self._device) for key, values in inputs.items()}
            ).logits
        scores: list[float] = logits[:, 0].tolist()
        if not all(math.isfinite(score) for score in scores):
            raise EngineError(500, "the reranker gave a score that is not finite: is it damaged?")
        return scores


def _check_head(config: Any, missing: list[str]) -> None:
    """Refuses what transformers would load with a head of random numbers, or with a head for something else."""
    if missing:
        raise ValueError(
            f"the weights have no {missing[0]}: a reranker is a cross-encoder, with a head for one score"
        )
    if config.num_labels != 1:
        raise ValueError(
            f"the model tells {config.num_labels} classes apart; a reranker has one score (num_labels 1)"
        )
