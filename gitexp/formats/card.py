"""How an experiment or a run shows in a notebook: a small table of escaped HTML."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

_MOST = 30  # rows of each kind
_LONGEST = 200


def html(
    title: str, facts: Mapping[str, Any], params: Mapping[str, Any], metrics: Mapping[str, Any]
) -> str:
    """Return a card: the title, a line of facts, and params beside metrics."""
    known = {name: value for name, value in facts.items() if value not in (None, "", ())}
    line = " · ".join(f"{escape(name)} {_text(value)}" for name, value in known.items())
    kinds = {"metrics": metrics, "params": params}
    tables = "".join(_table(kind, values) for kind, values in kinds.items() if values)
    head = f"<strong>{_text(title)}</strong><br><small>{line}</small>"
    style = "display:flex;gap:2em;align-items:flex-start;flex-wrap:wrap"
    return f'<div>{head}<div style="{style}">{tables}</div></div>'


def _table(kind: str, values: Mapping[str, Any]) -> str:
    left, some = "<td style='text-align:left'>", [*values.items()][:_MOST]
    rows = [f"<tr>{left}{_text(name)}</td><td>{_text(value)}</td></tr>" for name, value in some]
    over = len(values) - _MOST
    more = f"<tr><td colspan=2>and {over} more</td></tr>" if over > 0 else ""
    head = f"<thead><tr><th colspan=2 style='text-align:left'>{kind}</th></tr></thead>"
    return f"<table>{head}<tbody>{''.join(rows)}{more}</tbody></table>"


def _text(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else text
    plain = "".join(char if char.isprintable() else " " for char in text)
    return escape(plain if len(plain) <= _LONGEST else f"{plain[: _LONGEST - 1]}…")
