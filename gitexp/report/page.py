"""The page: one HTML file with everything in it, which loads nothing from elsewhere.

Its Content-Security-Policy allows the script that is in the file (by its hash), pictures that
are in the file, and nothing else: no request, no other script, whatever an experiment's texts
hold. Data never becomes markup: it lies in the page as JSON whose angle brackets are escaped, or
compressed as base64, and the script writes it as text.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

from gitexp.formats.extras import needed
from gitexp.report.curves import Json
from gitexp.report.data import Report

_ASSETS = files("gitexp.report") / "assets"
# one script in the page, in this order; each file is a view, or what views share
_SCRIPTS = (
    "data", "elements", "markdown", "state", "rows", "frame", "columns", "table", "groups",
    "compare", "chart", "curves", "images", "scatter", "bars", "importance", "parallel", "tree",
    "diff", "files", "one", "live", "main",
)  # fmt: skip
_HIDDEN = re.compile(
    "[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]"
)


def needs() -> Any:
    """Return what a page is made with; raise MissingExtraError where it is not installed."""
    return needed("jinja2", "a report", "report")


def render(report: Report) -> str:
    """Return the whole page.

    Raises:
        MissingExtraError: Jinja2 is not installed.
    """
    jinja2 = needs()
    script = "\n".join(_asset(f"js/{name}.js") for name in _SCRIPTS)
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["visible"] = visible
    text: str = environment.from_string(_asset("report.html")).render(
        table=report.table,
        style=_asset("report.css"),
        script=script,
        hashes=[f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"],
        data=jinja2.utils.htmlsafe_json_dumps(report.table, dumps=_dumped),
        blocks={
            name: _packed(report.details[name])
            for name in report.details
            if not report.table.get("live")  # a server gives them to who asks
        },
    )
    return text


def visible(text: str) -> str:
    """Return text with marks that turn or hide other text (bidi controls, zero-width characters)
    written out."""
    return _HIDDEN.sub(lambda match: f"[U+{ord(match[0]):04X}]", text)


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _dumped(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _packed(value: Any) -> str:
    """Return a value as JSON, compressed: piece by piece, since the whole text may be large."""
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    packed = [packer.compress(piece.encode("utf-8", "replace")) for piece in pieces(value)]
    return base64.b64encode(b"".join([*packed, packer.flush()])).decode()


def pieces(value: Any, depth: int = 2) -> Iterator[str]:
    """Yield a value as JSON, piece by piece."""
    if not depth or not value or not isinstance(value, (dict, list)):
        yield value if isinstance(value, Json) else _dumped(value)
        return
    named = isinstance(value, dict)
    for at, item in enumerate(value):
        yield "," if at else "{" if named else "["
        if named:
            yield f"{_dumped(str(item))}:"
        yield from pieces(value[item] if named else item, depth - 1)
    yield "}" if named else "]"
