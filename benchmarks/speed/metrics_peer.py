"""Worker of run-metrics.ts: scores every pair of a file by each metric, in one or more passes. See metrics-ours.ts.

The definitions are those of ../metrics-differential/reference_metrics.py: NLTK's stemmer, tokeniser and BLEU, called as
the official scripts call them.
"""

from __future__ import annotations

import json
import platform
import sys
import time
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from reference_metrics import Score, make_answer_metrics, make_punkt


def measure(
    name: str, score: Score, pairs: Sequence[tuple[str, str, str]], number: int
) -> dict[str, Any]:
    processor_start = time.process_time()
    start = time.perf_counter()
    total = 0.0
    for prediction, gold, category in pairs:
        total += score(prediction, gold, category)
    seconds = time.perf_counter() - start
    return {
        "metric": name,
        "pass": number,
        "seconds": seconds,
        "processorSeconds": time.process_time() - processor_start,
        "sum": total,
    }


def main() -> None:
    # NLTK warns of every BLEU of 0.
    warnings.simplefilter("ignore")
    file, passes, abbreviations, *names = sys.argv[1:]
    with Path(file).open(encoding="utf-8") as lines:
        pairs: list[tuple[str, str, str]] = [tuple(json.loads(line)) for line in lines]
    metrics = make_answer_metrics(make_punkt(json.loads(abbreviations)))
    measurements = [
        measure(name, metrics[name], pairs, number)
        for name in names
        for number in range(1, int(passes) + 1)
    ]
    versions = {"python": platform.python_version(), "nltk": version("nltk")}
    json.dump({"measurements": measurements, "versions": versions}, sys.stdout)


if __name__ == "__main__":
    main()
