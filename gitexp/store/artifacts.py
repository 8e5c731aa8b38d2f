"""Artifacts before they are kept: where they go in the tree, and figures as bytes."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from gitexp.formats import message
from gitexp.formats.errors import UsageError
from gitexp.formats.experiment import Experiment
from gitexp.repo import Repo, blobs
from gitexp.repo.process import chunks
from gitexp.store import result_paths


def path_in_tree(repo: Repo | None, file: Path) -> str:
    """Return the path in the tree of a file that is kept: its own in the work tree, else one below
    ``.gitexp/artifacts``."""
    if repo is not None:
        with suppress(ValueError):
            path = file.resolve().relative_to(repo.root.resolve()).as_posix()
            if not path.startswith(".git/") and not result_paths.is_own(path):
                return path
    return f"{result_paths.ARTIFACTS}/{file.name}"


class Output(NamedTuple):
    """A file that a command wrote, as its experiment holds it; its size is None where a partial
    clone has not its content."""

    path: str
    hash: str
    size: int | None


def outputs(repo: Repo, experiment: Experiment) -> list[Output]:
    """Return what the command of an experiment wrote."""
    paths = [str(path) for path in experiment.extra.get("outputs", ())]
    if not paths:
        return []
    held = listed(repo, experiment.id, paths)
    there = [(path, held[path][2]) for path in paths if path in held]
    sizes = blobs.sizes(repo, (oid for _, oid in there))
    return [Output(*item, size and size[1]) for item, size in zip(there, sizes)]


def listed(repo: Repo, commit: str, paths: Iterable[str]) -> dict[str, list[str]]:
    """Return the files of a commit at or below some paths, ``{path: [mode, kind, hash]}``."""
    asked = ("--literal-pathspecs", "ls-tree", "-r", "-z", "--full-tree", commit, "--")
    lots = (repo.entries(*asked, *chunk) for chunk in chunks([*paths]))
    entries = (item.partition("\t") for lot in lots for item in lot)
    return {path: about.split() for about, _, path in entries}


def called(name: str, kind: str = "") -> str:
    """Return the path in the tree of an artifact that is made here, by its name below the folder
    of its kind; raise UsageError where that cannot be one."""
    path = Path(f"{kind}{name}")
    odd = path == Path(kind) or path.is_absolute() or "\0" in str(path)
    if odd or ".." in path.parts or ".git" in path.parts:
        raise UsageError(
            f"'{name}' cannot be an artifact's name; use a plain relative one like 'roc.png'"
        )
    return f"{result_paths.ARTIFACTS}/{path.as_posix()}"


def rendered(figure: Any, name: str) -> bytes:
    """Return a figure in the format that the name's ending says; raise UsageError where it is
    neither Matplotlib's nor Plotly's, or cannot be drawn so."""
    import io

    form = Path(name).suffix.lstrip(".")
    try:
        if hasattr(figure, "savefig"):
            buffer = io.BytesIO()
            figure.savefig(buffer, format=form or "png")
            return buffer.getvalue()
        if hasattr(figure, "to_html"):
            as_page = form in ("html", "")
            return figure.to_html().encode() if as_page else bytes(figure.to_image(format=form))
    except ValueError as error:
        why = message.one_line(str(error))
        raise UsageError(f"'{name}' cannot be drawn: {why}; try 'figure.png'") from None
    raise UsageError(
        f"a figure must be Matplotlib's or Plotly's, not {type(figure).__name__}; for others:"
        " log_artifact"
    )
