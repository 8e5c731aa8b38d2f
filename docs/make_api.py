"""Write docs/api.md, the reference of the Python interface, from the docstrings themselves.

python docs/make_api.py            # write it
python docs/make_api.py --check    # exit code 1 where it is not up to date
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gitexp

PAGE = Path(__file__).with_name("api.md")
_HEAD = """# Python interface

Everything that `import gitexp` offers. This page is made by `make docs` from the docstrings.

    import gitexp

    with gitexp.start_run(params={"lr": 0.01}) as run:  # one commit, one tag
        for step in range(3):
            run.log_metric("loss", 1 / (step + 1), step=step)

    best = gitexp.get("best:loss")
    print(best.name, best.params["lr"], best.history())
"""
_CHAPTERS = {
    "Record": (
        "start_run", "log", "track", "sweep", "autolog", "import_runs", "active_run", "end_run",
        "log_metric", "log_metrics", "log_param", "log_params", "log_artifact", "log_image",
        "log_table", "log_confusion_matrix", "checkpoint", "last_checkpoint", "seed_everything",
        "show",
    ),
    "Read": ("experiments", "histories", "get", "diff"),
    "Share": ("push", "pull"),
    "Classes": ("Run", "Experiment", "MetricPoint"),
    "Errors": (
        "GitexpError", "UsageError", "FormatError", "RepositoryError", "GitError",
        "MissingExtraError", "NotFoundError", "CannotRunError", "GateError",
    ),
}  # fmt: skip
# What the rest of gitexp calls on a run; people have no use for it.
INTERNAL = {
    "know", "log_points", "add_facts", "silence", "going_on", "folder",
    "end_later", "go_on", "replace_conditions", "set_condition", "keep", "silent",
    "source", "count_on",
}  # fmt: skip


class _Bare(str):
    """An annotation, shown without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def page() -> str:
    """Return the whole page."""
    parts = [_HEAD]
    for chapter, names in _CHAPTERS.items():
        parts.append(f"## {chapter}\n")
        for name in names:
            parts += _described(f"gitexp.{name}", getattr(gitexp, name))
    return "\n".join(parts)


def _described(path: str, thing: Any) -> Iterator[str]:
    """Yield the section of a function or a class, and of a class's public methods."""
    yield f"### {path}\n"
    if not isinstance(thing, type) or not issubclass(thing, BaseException):
        yield f"```python\n{_signature(path, thing)}\n```\n"
    yield f"{_text(inspect.getdoc(thing) or '')}\n"
    if not isinstance(thing, type) or issubclass(thing, (BaseException, tuple)):
        return
    members = {name: it for kind in thing.__mro__[:-1] for name, it in vars(kind).items()}
    for name, member in members.items():
        if name.startswith("_") or name in INTERNAL or not _is_documented(member):
            continue
        called = f"{thing.__name__}.{name}"
        yield f"#### {called}\n"
        if not isinstance(member, property):
            yield f"```python\n{_signature(called, member)}\n```\n"
        yield f"{_text(inspect.getdoc(member) or '')}\n"


def _is_documented(member: Any) -> bool:
    return inspect.isfunction(member) or isinstance(member, property)


def _signature(path: str, thing: Any) -> str:
    """Return a call with its arguments, one on each line where they do not fit into one."""
    signature = inspect.signature(thing)
    shown = [
        item.replace(annotation=_Bare(item.annotation))
        for item in signature.parameters.values()
        if item.name != "self"
    ]
    result = signature.return_annotation
    arrow = "" if result in (inspect.Signature.empty, "None") else f" -> {result}"
    one = f"{path}{signature.replace(parameters=shown, return_annotation=inspect.Signature.empty)}"
    if len(one) + len(arrow) <= 88:
        return f"{one}{arrow}"
    starred = [item.kind for item in shown]
    rows = [f"    {item}," for item in map(str, shown)]
    if (
        inspect.Parameter.KEYWORD_ONLY in starred
        and inspect.Parameter.VAR_POSITIONAL not in starred
    ):
        rows.insert(starred.index(inspect.Parameter.KEYWORD_ONLY), "    *,")
    return "\n".join([f"{path}(", *rows, f"){arrow}"])


def _text(doc: str) -> str:
    """Return a docstring as Markdown: its sections with bold heads, their entries as lists."""
    text = re.sub(r"``(.+?)``", r"`\1`", doc)
    lines, inside = [], False
    for line in text.splitlines():
        if re.fullmatch(r"(Args|Raises|Attributes|Returns|Yields):", line):
            lines += [f"**{line}**", ""]
            inside = True
        elif inside and re.match(r"    \S", line):
            name, colon, rest = line.strip().partition(":")
            lines.append(f"- `{name}`:{rest}" if colon else f"  {line.strip()}")
        elif inside and line.startswith("     "):
            lines.append(f"  {line.strip()}")
        else:
            inside = inside and not line
            lines.append(line)
    return "\n".join(lines).rstrip()


def main() -> None:
    """Write the page, or check it."""
    new = page()
    if "--check" in sys.argv[1:]:
        old = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
        sys.exit(0 if old == new else f"docs/{PAGE.name} is not up to date; run: make docs")
    PAGE.write_text(new, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
