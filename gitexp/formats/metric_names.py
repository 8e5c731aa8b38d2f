"""Which names are a metric's, by their words (settings, prose and times are printed, too), and
whether less or more of it is better."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping

from gitexp.formats.errors import UsageError

METRIC = (
    r"loss(?:es)?|acc|accuracy|auc|aucpr|auprc|auroc|f1|mse|rmse|mae|mape|r2|precision|recall|score"
    r"|rew|reward|returns?|perplexity|ppl|m?error|err|m?iou|map|map\d+|bleu|rouge|wer|cer|psnr|ssim"
    r"|lpips|fid|dice|jaccard|kappa|sensitivity|specificity|ndcg|mrr|nll|n?loglik|likelihood|elbo"
    r"|m?logloss|rmsle|top1|top5|mcc|bp[bcd]|cost|fitness|inertia|silhouette"
)
_BESIDE = (  # words that say which one
    r"train(?:ing)?|val|valid|validation|test(?:ing)?|eval|dev|best|final|max|min|avg|average|mean"
    r"|total|running|last|epoch|batch|mini|minibatch|squared|absolute|root|roc|pr|macro|micro"
    r"|weighted|balanced|log|cross|entropy|reconstruction|d|g|kl|episode|episodic|smooth|ema|top"
    r"|set|\d+"
)
_SETTING = (
    r"weights?|scale|coeff?|threshold|dir|path|file|type|fn|func|function|name|every|interval|freq"
    r"|patience|target|margin|smoothing|clip|factor|decay|size|num|k|metric|lr|penalty|max|min|thr"
    r"|tol|eps|steps|epochs|iters|batches|ratio|mode|id|device|seed|index|alpha|beta|gamma|lambda"
)
_OF_SETTING = (  # before a metric's name
    r"(?:max|min|target|num|n|use|no|with|save|log)_|(?:args|cfg|config|hparams|opts?)\."
)
_BETTER_LOW = {
    "loss", "rmse", "mse", "mae", "mape", "error", "err", "perplexity", "logloss", "deviance",
    "wer", "cer", "fid", "regret",
}  # fmt: skip
_BETTER_HIGH = {
    "accuracy", "acc", "auc", "roc", "f1", "r2", "precision", "recall", "score", "map", "bleu",
    "iou", "dice", "reward", "mrr", "ndcg",
}  # fmt: skip


@functools.lru_cache(1000)
def named_in(phrase: str, strict: bool) -> str | None:
    """Return the words at the end of a phrase that make a metric's name, None where it has none;
    ``strict``: every word has to be one of a metric's name."""
    words = phrase.split(" ")
    if any(word.endswith("'s") for word in words[:-1]):  # valid_0's l2
        return " ".join(words[-2:])
    first = len(words) - 1
    while first and is_of_name(words[first - 1]):
        first -= 1
    if first and strict:
        return None
    name = " ".join(words[first:])
    return name if is_metric(name) else None


@functools.lru_cache(1000)
def is_of_name(word: str) -> bool:
    """Whether a word may be part of a metric's name: ``best`` and ``loss`` of ``best loss``."""
    return is_metric(word) or bool(re.fullmatch(rf"(?i){_BESIDE}|{METRIC}", word))


@functools.lru_cache(1000)
def is_metric(name: str) -> bool:
    """Whether a name is one of a metric, by its words: ``val_acc``, but not ``loss_weight``."""
    parts = re.split(r"[^a-z0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower())
    setting = re.match(_OF_SETTING, name.lower()) or re.fullmatch(_SETTING, parts[-1])
    return not setting and any(re.fullmatch(METRIC, part) for part in parts)


def better_by_name(name: str) -> str | None:
    """Return ``min`` or ``max``, what is better of a metric, by the words of its name."""
    words = set(re.split(r"[^a-z0-9]+", name.lower()))
    if words & _BETTER_LOW:
        return "min"
    return "max" if words & _BETTER_HIGH else None


def known_direction(name: str, settings: Mapping[str, str], how: str = "To say it, ") -> str:
    """Return which way of a metric is better; raise UsageError, which says how to tell it, where
    nobody said it."""
    if way := settings.get(name) or better_by_name(name):
        return way
    key = json.dumps(name, ensure_ascii=False)  # a string of TOML, too
    raise UsageError(
        f'is a lower or a higher \'{name}\' better? {how}set {key} = "min" (or "max") in'
        " [tool.gitexp.metrics] of pyproject.toml"
    )
