"""The metrics of packages/metrics in Python, from their descriptions, on the libraries that the official scripts use.

Nothing here is shared with the TypeScript: two programs that agree on thousands of odd texts are unlikely to be wrong
in the same way. The names are those of the registries in packages/metrics.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import regex
from nltk.stem import PorterStemmer
from nltk.tokenize import NLTKWordTokenizer
from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
from punkt.data import english
from rouge_score.rouge_scorer import RougeScorer

Score = Callable[[str, str, str], float]
"""Prediction, gold, category code."""

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_stemmer = PorterStemmer()
_word_tokenizer = NLTKWordTokenizer()
_method_1 = SmoothingFunction().method1


def f1_of(common: int, predicted: int, expected: int) -> float:
    if common == 0:
        return 0.0
    precision = common / predicted
    recall = common / expected
    return 2 * precision * recall / (precision + recall)


def multiset_f1(predicted: Sequence[str], expected: Sequence[str]) -> float:
    common = (Counter(predicted) & Counter(expected)).total()
    return f1_of(common, len(predicted), len(expected))


def set_f1(predicted: set[str], expected: set[str]) -> float:
    return f1_of(len(predicted & expected), len(predicted), len(expected))


# LoCoMo


def locomo_words(text: str) -> list[str]:
    bare = text.replace(",", "").lower().translate(_PUNCTUATION)
    words: list[str] = regex.sub(r"\b(a|an|the|and)\b", " ", bare).split()
    return words


def locomo_stems(text: str) -> list[str]:
    return [stem(word) for word in locomo_words(text)]


def stem(word: str) -> str:
    stemmed: str = _stemmer.stem(word)
    return stemmed


def locomo_f1(prediction: str, gold: str, category: str) -> float:
    if category == "5":
        reply = prediction.lower()
        return float("no information available" in reply or "not mentioned" in reply)
    if category == "1":
        predictions = [locomo_stems(part.strip()) for part in prediction.split(",")]
        golds = [locomo_stems(part.strip()) for part in gold.split(",")]
        best = [max(multiset_f1(one, expected) for one in predictions) for expected in golds]
        return math.fsum(best) / len(best)
    if category == "3":
        gold = gold.split(";")[0].strip()
    return multiset_f1(locomo_stems(prediction), locomo_stems(gold))


def locomo_set_em(prediction: str, gold: str, _category: str) -> float:
    return float(set(locomo_words(prediction)) == set(locomo_words(gold)))


# Mem0


def mem0_words(text: str) -> list[str]:
    text = text.lower()
    for mark in ".,!?":
        text = text.replace(mark, " ")
    return text.split()


def mem0_f1(prediction: str, gold: str, _category: str) -> float:
    return set_f1(set(mem0_words(prediction)), set(mem0_words(gold)))


def mem0_em(prediction: str, gold: str, _category: str) -> float:
    if not prediction or not gold:
        return 0.0
    return float(prediction.strip().lower() == gold.strip().lower())


# BLEU


def make_punkt(abbreviations: Sequence[str] | None) -> PunktSentenceTokenizer:
    """NLTK's sentence splitter with the given abbreviations and nothing else, or with its trained English model."""
    parameters = PunktParameters()
    if abbreviations is None:
        parameters.abbrev_types = set(english.ABBREV_TYPES)
        parameters.collocations = set(english.COLLOCATIONS)
        parameters.sent_starters = set(english.SENT_STARTERS)
        parameters.ortho_context.update(english.ORTHO_CONTEXT)
    else:
        parameters.abbrev_types = set(abbreviations)
    return PunktSentenceTokenizer(parameters)


def word_tokenize(text: str, punkt: PunktSentenceTokenizer) -> list[str]:
    """NLTK's `word_tokenize`, whose model is a parameter here."""
    return [
        token for sentence in punkt.tokenize(text) for token in _word_tokenizer.tokenize(sentence)
    ]


def bleu(
    weights: tuple[float, ...], smoothing: Callable[..., Any] | None, punkt: PunktSentenceTokenizer
) -> Score:
    def score(prediction: str, gold: str, _category: str) -> float:
        reference = word_tokenize(gold.lower(), punkt)
        hypothesis = word_tokenize(prediction.lower(), punkt)
        if not reference or not hypothesis:
            return 0.0
        return float(
            sentence_bleu([reference], hypothesis, weights=weights, smoothing_function=smoothing)
        )

    return score


_MEM0_WEIGHTS = ((1, 0, 0, 0), (0.5, 0.5, 0, 0), (0.33, 0.33, 0.33, 0), (0.25, 0.25, 0.25, 0.25))


def make_bleu_metrics(punkt: PunktSentenceTokenizer) -> dict[str, Score]:
    metrics: dict[str, Score] = {}
    for order, weights in enumerate(_MEM0_WEIGHTS, start=1):
        metrics[f"mem0-bleu{order}"] = bleu(weights, _method_1, punkt)
        metrics[f"plain-bleu{order}"] = bleu((1 / order,) * order, None, punkt)
    return metrics


# MemoryOS


def memoryos_f1(prediction: str, gold: str, _category: str) -> float:
    def words(text: str) -> set[str]:
        return set(re.findall(r"\b\w+\b", text.lower()))

    return set_f1(words(prediction), words(gold))


# SQuAD


def squad_words(text: str) -> list[str]:
    bare = text.lower().translate(_PUNCTUATION)
    return re.sub(r"\b(a|an|the)\b", " ", bare).split()


def squad_em(prediction: str, gold: str, _category: str) -> float:
    return float(" ".join(squad_words(prediction)) == " ".join(squad_words(gold)))


def squad_sub_em(prediction: str, gold: str, _category: str) -> float:
    return float(" ".join(squad_words(gold)) in " ".join(squad_words(prediction)))


def squad_f1(prediction: str, gold: str, _category: str) -> float:
    return multiset_f1(squad_words(prediction), squad_words(gold))


def squad2_f1(prediction: str, gold: str, _category: str) -> float:
    predicted, expected = squad_words(prediction), squad_words(gold)
    if not predicted or not expected:
        return float(predicted == expected)
    return multiset_f1(predicted, expected)


# ROUGE


def rouge(kind: str, part: str, scorer: RougeScorer) -> Score:
    def score(prediction: str, gold: str, _category: str) -> float:
        return float(getattr(scorer.score(gold, prediction)[kind], part))

    return score


def make_rouge_metrics() -> dict[str, Score]:
    metrics: dict[str, Score] = {}
    for suffix, is_stemmed in (("", False), ("-stemmed", True)):
        for kind in ("1", "2", "l"):
            name = f"rouge{kind.upper()}"
            scorer = RougeScorer([name], use_stemmer=is_stemmed)
            for part, field in (("precision",) * 2, ("recall",) * 2, ("f1", "fmeasure")):
                metrics[f"rouge-{kind}-{part}{suffix}"] = rouge(name, field, scorer)
    return metrics


def make_answer_metrics(punkt: PunktSentenceTokenizer) -> dict[str, Score]:
    return {
        "locomo-f1": locomo_f1,
        "locomo-set-em": locomo_set_em,
        "mem0-f1": mem0_f1,
        "mem0-em": mem0_em,
        **make_bleu_metrics(punkt),
        "memoryos-f1": memoryos_f1,
        "squad-em": squad_em,
        "squad-sub-em": squad_sub_em,
        "squad-f1": squad_f1,
        "squad2-f1": squad2_f1,
        **make_rouge_metrics(),
    }


# Retrieval: what was retrieved (a list of turn ids for each item, best first), evidence ids. None: no value.

RetrievalScore = Callable[[list[list[str]], list[str]], float | None]


def evidence_recall(retrieved: list[list[str]], evidence: list[str]) -> float | None:
    if not evidence:
        return None
    held = {turn for item in retrieved for turn in item}
    return len(held & set(evidence)) / len(set(evidence))


def evidence_precision(retrieved: list[list[str]], evidence: list[str]) -> float | None:
    if not evidence or not retrieved:
        return None
    return sum(not set(item).isdisjoint(evidence) for item in retrieved) / len(retrieved)


def locomo_recall(retrieved: list[list[str]], evidence: list[str]) -> float | None:
    if not evidence:
        return None
    context = [turn for item in retrieved for turn in item]
    if context and context[0].startswith("S"):
        sessions = [name[1:] for name in context]
        return sum(turn.split(":")[0][1:] in sessions for turn in evidence) / len(evidence)
    return sum(turn in context for turn in evidence) / len(evidence)


def longmemeval_gain(relevances: Sequence[int]) -> float:
    if not relevances:
        return 0.0
    discounted = (relevance / math.log2(rank) for rank, relevance in enumerate(relevances[1:], 2))
    return relevances[0] + math.fsum(discounted)


def longmemeval_ndcg(retrieved: list[list[str]], evidence: list[str]) -> float | None:
    if not evidence:
        return None
    relevances = []
    seen: set[str] = set()
    for item in retrieved:
        relevances.append(int(bool((set(item) & set(evidence)) - seen)))
        seen.update(item)
    return longmemeval_gain(relevances) / longmemeval_gain([1] * len(set(evidence)))


RETRIEVAL_METRICS: dict[str, RetrievalScore] = {
    "evidence-recall": evidence_recall,
    "evidence-precision": evidence_precision,
    "locomo-recall": locomo_recall,
    "longmemeval-recall-any": lambda retrieved, evidence: (
        None
        if not evidence
        else float(any(turn in item for item in retrieved for turn in evidence))
    ),
    "longmemeval-recall-all": lambda retrieved, evidence: (
        None
        if not evidence
        else float(all(any(turn in item for item in retrieved) for turn in evidence))
    ),
    "longmemeval-ndcg": longmemeval_ndcg,
}


# LongMemEval's own form: a ranking of a whole corpus.


def longmemeval_scores(
    ranked: list[str], evidence: list[str], corpus: list[str], k: int
) -> dict[str, float]:
    found = set(ranked[:k])
    ideal = longmemeval_gain(sorted((int(name in evidence) for name in corpus), reverse=True)[:k])
    gain = longmemeval_gain([int(name in evidence) for name in ranked[:k]])
    return {
        "any": float(any(name in found for name in evidence)),
        "all": float(all(name in found for name in evidence)),
        "ndcg": gain / ideal if ideal else 0.0,
    }


def longmemeval_session_scores(
    ranked: list[str], evidence: list[str], corpus: list[str], k: int
) -> dict[str, float]:
    """Of the sessions that a ranking of turns finds: the first k different ones, each as often as its turns."""

    def session_of(turn: str) -> str:
        return turn.rsplit("_", 1)[0]

    sessions = [session_of(turn) for turn in ranked]
    length = k
    while length <= len(corpus) and len(set(sessions[:length])) < k:
        length += 1
    return longmemeval_scores(
        sessions,
        sorted({session_of(turn) for turn in evidence}),
        [session_of(turn) for turn in corpus],
        length,
    )
