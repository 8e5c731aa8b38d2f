"""Credentials in text and in command lines, found by what they look like and by what they are
called.

A token whose form its service has published is one wherever it stands. Of anything else the name
(``DB_PASSWORD``, ``wandb-key``, ``Authorization``) and the value have to speak for it: a number, a
word, a path, a placeholder or a piece of code is no secret.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

HIDDEN = "***"
_FORMS = {  # what services say of their tokens; none of these is ever something else
    "GitHub token": r"gh[opsur]_[A-Za-z0-9]{30,}|github_pat_\w{22,}",
    "GitLab token": r"gl[a-z]{2,5}-[\w-]{20,}",
    "Hugging Face token": r"(?:hf|api_org)_[A-Za-z0-9]{30,}",
    "key of an LLM service": r"sk-[\w-]{20,}|(?:gsk|csk|fw|r8|pplx|tgp_v1|xai|nvapi)[_-][\w-]{30,}",
    "W&B key": r"wandb_v\d_\w{40,}",
    "AWS Access Key": r"A(?:KIA|SIA|BIA|CCA)[A-Z0-9]{16}",
    "Google key": r"AIza[\w-]{35}|ya29\.[\w-]{20,}|GOCSPX-[\w-]{20,}",
    "Slack token": r"xox[a-z](?:\.xox[a-z])?-[\w-]{10,}|xapp-\d-[\w-]{20,}",
    "Slack webhook": r"services/T[A-Z0-9]{6,}/B[A-Z0-9]{6,}/\w{16,}",
    "Zapier webhook": r"(?<=hooks\.zapier\.com/)hooks/catch/[\w/]+",
    "Azure key": r"(?<=AccountKey=)[A-Za-z0-9+/]{40,}=*|[\w~.-]{3}\dQ~[\w~.-]{31,34}",
    "Stripe key": r"(?:sk|rk)_(?:live|test)_\w{16,}|whsec_[A-Za-z0-9+/=]{24,}",
    "Twilio key": r"SK[0-9a-f]{32}",
    "SendGrid key": r"SG\.[\w-]{16,}\.[\w-]{16,}",
    "Mailchimp key": r"[0-9a-f]{32}-us\d{1,2}",
    "PyPI token": r"pypi-[\w-]{50,}",
    "npm token": r"npm_[A-Za-z0-9]{36}",
    "Docker token": r"dckr_(?:pat|oat)_[\w-]{20,}",
    "DigitalOcean token": r"do[opr]_v1_[0-9a-f]{64}",
    "Databricks token": r"dapi[0-9a-f]{32}(?:-\d)?",
    "Telegram token": r"(?:bot)?\d{8,10}:AA[\w-]{32,}",
    "Discord token": r"[MNO][\w-]{23,27}\.[\w-]{6}\.[\w-]{27,}",
    "JSON web token": r"eyJ[\w-]{10,4000}\.eyJ[\w-]{10,}\.[\w-]*",
    "Neptune token": r"eyJhcGlf[\w+/=-]{20,}",
    "LangSmith key": r"lsv2_(?:pt|sk)_\w{32,}",
    "Vault token": r"hv[sbr]\.[\w-]{24,}",
    "service token": (
        r"(?:dp\.(?:pt|st|sa|ct)\.|lin_api_|ntn_|secret_|PMAK-|shp(?:at|ss|ca|pa)_|gl(?:sa|c)_|"
        r"NRAK-|sntry[su]_|sq0(?:atp|csp)-|ATATT3x|ATCTT3x|figd_|pcsk_|tskey-[a-z]+-|sbp_|HRKU-|"
        r"KGAT_|rnd_|AGE-SECRET-KEY-1)(?=[\w-]{0,200}\d)[\w=-]{24,}"
    ),
    "private key": r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----",
}
# text, which ``re`` compiles when a line is looked at that may hold a secret at all
_FORM = r"(?<![A-Za-z0-9_])(?:" + "|".join(f"({form})" for form in _FORMS.values()) + ")"
_KINDS = tuple(_FORMS)
_SAMPLE = r"(?i)x{6}|example$|0{8}|1234567890|\.{3}|your"  # hf_xxxxxxxx, AKIA...EXAMPLE
# None of these may look twice at one part of a text: it can be long, and anybody's. So a name is
# looked for where its word begins, and what has to stand before and behind a value is asked of what
# was found.
_NAMED = r"(?P<name>[A-Za-z_][\w.-]*)"
_END = "\"',;&|<>})"
_ASSIGNED = (  # NAME=value, name: "value", 'name': 'value', Authorization: Bearer value
    r"(?<![\w.-])(?:[^\WA-Za-z_]|[.-])*"
    + _NAMED
    + r"[\"'\]]{0,3}\s*(?::=|=>|[:=](?!=))\s*(?i:(?:bearer|basic|token)\s+)?"
    r"(?:\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)'|(?P<bare>[^\s\"',;&|<>{}()]+))"
)
_OPTION = r"(?<![\w-])--?" + _NAMED + r"\s+(?P<bare>[^\s\"',;&|<>-][^\s\"',;&|<>]*)"
_HEADER = r"(?P<name>(?i:bearer|basic|token))\s+(?P<bare>[\w+/=.~-]{16,})"
_NETRC = r"\b(?P<name>password)\s+(?P<bare>\S+)$"
_LOGIN = r"\s*$|.*?\b(?:login|machine)\s+\S+\s"  # what stands before it
_ADDRESS = r"(?<=://)[^/@\s:]*:(?P<bare>[^/@\s]+)(?=@)"
_LOGIN_ALONE = r"(?<=://)(?P<bare>[^/@\s:]{20,})(?=@)"
_QUERY = r"(?<=[?&])" + _NAMED + r"=(?P<bare>[^\s\"'&<>]+)"
_HOOK = r"(?i)(?<![a-z0-9])(?:web)?hook(?:s|b2)?/(?P<bare>[^\s\"'<>?]{16,})"  # its path is its key
_NAME = (
    r"(?i)(?:key|token|credential|bearer|authorization|cookie|session|signature|webhook"
    r"|(?:^|_)(?:pat|sig|dsn|jwt|auth))s?$"
)
NO_SECRET = (
    r"(?i)(?:^|_)(?:cache|sort|primary|foreign|public|partition|hash|shard|dict|json|group|index"
    r"|row|pad|eos|bos|unk|sep|cls|mask|special|stop|max|min|num|n|next|page|new|total|per|image"
    r"|idempotency|experiment)_?(?:key|token)s?$"
)
_PASSWORD = r"(?i)(?:pass(?:word|wd|phrase|code)?|pwd|secret)s?$"
_WORD = (  # resnet50, IMAGENET1K, MyModel2, 20240101T1200, 128x128
    r"[a-z]*\d{0,4}(?:[A-Z][a-z]+\d{0,3}|[A-Z]{2,}(?=\d|$|[A-Z][a-z])\d{0,3})*"
    r"|[A-Z]?\d+|\d+[A-Za-z]\d*|v?\d+[a-z]{1,3}"
)
_REFERENCE = (  # a variable, a template, code, a placeholder, a path or an address
    r"[$<{%\[(~*.]|/(?![A-Za-z0-9+/]{39,}=*$)|.*(?:\$\{|\{\{|[()\[\]<]|\.\.\.|x{4})"
    r"|[a-z]+://|[A-Za-z]:\\"
    r"|(?:sha\d+|md5)[:-]|(?i:your|change|example|dummy|fake|todo|os\.|process\.|env\.)"
)


class Found(NamedTuple):
    """Where a secret stands in a text, and what it is."""

    start: int
    end: int
    kind: str


def find(text: str) -> Iterator[Found]:
    """Yield the secrets of one line of text, those of a known form first."""
    for match in re.finditer(_FORM, text):
        if match.lastindex and not re.search(_SAMPLE, match[0]):
            yield Found(match.start(), match.end(), _KINDS[match.lastindex - 1])
    for match in re.finditer(_ADDRESS, text):
        if is_secret("password", match["bare"]):
            yield Found(*match.span("bare"), "a password in an address")
    for pattern, kind in ((_LOGIN_ALONE, "a token in an address"), (_HOOK, "a webhook")):
        for match in re.finditer(pattern, text):
            if is_random(match["bare"]):
                yield Found(*match.span("bare"), kind)
    for pattern in (_ASSIGNED, _OPTION, _HEADER, _NETRC, _QUERY):
        for match in re.finditer(pattern, text):
            group = match.lastgroup or "bare"
            if _stands_alone(text, match, group) and is_secret(match["name"], match[group]):
                yield Found(*match.span(group), f"the value of {match['name']}")
            elif group != "bare":  # which may hold a whole assignment
                at = match.start(group)
                yield from (Found(a + at, b + at, kind) for a, b, kind in find(match[group]))


def _stands_alone(text: str, match: re.Match[str], group: str) -> bool:
    """Whether a value is no piece of code, and a password without a sign is one of a netrc file."""
    if match.re.pattern == _NETRC:
        return re.match(_LOGIN, text[: match.start()]) is not None
    behind = text[match.end() : match.end() + 1]
    return match.re.pattern != _ASSIGNED or group != "bare" or behind.isspace() or behind in _END


def why(text: str) -> str | None:
    """Return what a line of text holds that is a secret; None where it holds none."""
    return next((found.kind for found in find(text)), None) if _MAY_HOLD.search(text) else None


def redact(text: str) -> str:
    """Return a line of text with ``***`` in the place of each secret."""
    if not _MAY_HOLD.search(text):
        return text
    found = sorted(find(text), key=lambda item: (item.start, -item.end))
    parts, at = [], 0
    for item in found:
        if item.start >= at:
            parts += [text[at : item.start], HIDDEN]
            at = item.end
    return "".join([*parts, text[at:]])


def redact_all(text: str) -> str:
    """Return a text of many lines with ``***`` in the place of each secret."""
    return "".join(map(redact, text.splitlines(keepends=True))) if _MAY_HOLD.search(text) else text


def redact_bytes(data: bytes) -> bytes:
    """Return what a command printed with ``***`` in the place of each secret; else as it was."""
    text = data.decode("utf-8", "surrogateescape")
    return redact_all(text).encode("utf-8", "surrogateescape")


_MAY_HOLD = re.compile(r"[A-Za-z0-9+/_.-]{16}|(?i:pass|pwd|secret|token|key|auth|cred|://)")


def is_secret(name: str, value: str) -> bool:
    """Whether the value that goes by a name is a credential."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).replace("-", "_").replace(".", "_")
    password = re.search(_PASSWORD, name)
    if len(value) < 6 or " " in value or not (password or re.search(_NAME, name)):
        return False
    if re.match(_REFERENCE, value) or re.search(NO_SECRET, name):
        return False
    if not password:
        return is_random(value)
    return re.search(r"[^\w\s.:/@-]", value) is not None or not all(map(_is_word, _pieces(value)))


def is_opaque(value: str) -> bool:
    """Whether a value without a telling name is long and random enough to be a key, and no hash."""
    return (
        re.fullmatch(r"(?=.*[a-z])(?=.*[A-Z])(?=.*\d)[\w-]{32,}", value) is not None
        and re.search(r"[A-Za-z0-9]{24}", value) is not None
        and is_random(value)
    )


def without_secrets(value: Any, name: str = "", hidden: list[str] | None = None) -> Any:
    """Return params or other plain data with ``***`` for secrets; ``name`` is the dotted one that
    it goes by, and ``hidden`` takes the names of what was hidden."""
    if isinstance(value, Mapping):
        return {
            key: without_secrets(item, f"{name}.{key}" if name else str(key), hidden)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [without_secrets(item, name, hidden) for item in value]
    if not isinstance(value, str) or len(value) < 6:
        return value
    plain = HIDDEN if is_secret(name, value) else redact_all(value)
    if plain != value and hidden is not None:
        hidden.append(name)
    return plain


def is_random(value: str) -> bool:
    """Whether a value was drawn, not written: a part of it is no word, number or name."""
    return len(value) >= 16 and any(
        len(piece) >= 8 and len(set(piece.lower())) >= 6 and not _is_word(piece)
        for piece in _pieces(value)
    )


def _is_word(piece: str) -> bool:
    """Whether a piece is a word, number or name (``MyModel2``): its letters are not mixed."""
    if not re.fullmatch(_WORD, piece) or len(re.findall(r"\d+", piece)) > 2:
        return False
    turns = sum(one.islower() != two.islower() for one, two in itertools.pairwise(piece))
    large = sum(map(str.isupper, piece)) / max(1, sum(map(str.isalpha, piece)))
    return len(piece) < 12 or (turns < 0.45 * len(piece) and not 0.26 < large < 0.74)


def _pieces(value: str) -> list[str]:
    return re.split(r"[\W_]+", value)
