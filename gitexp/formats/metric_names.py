"""Which names are a metric's, by their words (settings, prose and times are printed, too), and
whether less or more of it is better."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping

from gitexp.formats.errors import UsageError

_LOWER = (  # is better
    r"loss(?:es)?|m?error|err|mse|rmse|rmsle|mae|s?mape|m?logloss|perplexity|ppl|deviance|nll"
    r"|nloglik|bp[bcd]|bce|brier|wer|cer|eer|fid|lpips|cost|regret|inertia|f[pn]r"
)
_HIGHER = (
    r"acc|accuracy|auc|aucpr|auprc|auroc|roc|f1|r2|precision|recall|score|rew|reward|returns?"
    r"|m?iou|map|m?ap\d+|ap|bleu|rouge\d?|meteor|cider|chrf|psnr|ssim|dice|jaccard|kappa|mcc|t[pn]r"
    r"|sensitivity|specificity|ndcg|mrr|loglik|likelihood|elbo|top1|top5|fitness|silhouette|nmi"
    r"|ari|pearson|spearman"
)
METRIC = rf"{_LOWER}|{_HIGHER}|kld?|entropy"
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
    parts = re.split("[-_/]", word)
    return is_metric(word) or all(re.fullmatch(rf"(?i){_BESIDE}|{METRIC}", one) for one in parts)


@functools.lru_cache(1000)
def is_metric(name: str) -> bool:
    """Whether a name is one of a metric, by its words: ``val_acc``, but not ``loss_weight``."""
    words = _words(name)
    setting = re.match(_OF_SETTING, name.lower()) or re.fullmatch(_SETTING, words[-1])
    return not setting and any(re.fullmatch(METRIC, word) for word in words)


def _words(name: str) -> list[str]:
    """Return the words of a name in lower case: of ``mAP`` and ``valLoss`` those with and without
    their humps as borders."""
    plain = name.replace("R^2", "R2").replace("R²", "R2")
    spelt = (plain, re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", plain))
    return [word for one in spelt for word in re.split(r"[^a-z0-9]+", one.lower())]


def better_by_name(name: str) -> str | None:
    """Return ``min`` or ``max``, what is better of a metric, by the words of its name."""
    words = {*_words(name)}
    low, high = (any(re.fullmatch(known, x) for x in words) for known in (_LOWER, _HIGHER))
    if words & {"neg", "negative"} and (low or words & {"likelihood", "loglik", "elbo"}):
        low, high = not low, low  # scikit-learn's neg_mean_squared_error
    return "min" if low else "max" if high else None


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
