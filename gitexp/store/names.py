"""Names of experiments: the numbers that gitexp gives, names of the user's own, and labels."""

from __future__ import annotations

import os
import re
from pathlib import Path

from gitexp.formats.errors import GitError, UsageError
from gitexp.formats.experiment import Experiment
from gitexp.repo import Repo, files

HIGHEST = "highest"  # below .git/gitexp: the highest number that was given
_OWN_NAME = re.compile(r"exp-[0-9]+")
_GITS_OWN = re.compile(r"(?i:head)|[A-Z_]+_HEAD|stash|(?:refs|heads|tags|remotes)/.*")


def alias(repo: Repo, experiment: Experiment, name: str) -> dict[str, str]:
    """Return the event that gives an experiment a second name; its first name, or none, takes that
    away.

    Raises:
        UsageError: it cannot be a name, or is another's.
    """
    name = name.strip()
    if name in ("", experiment.name):
        return {"alias": ""}
    return {"alias": name if name == experiment.alias else check_name(repo, name)}


def check_name(repo: Repo, name: str) -> str:
    """Return a tag name of the user's own, without spaces around it, if it can be one and is free;
    else raise UsageError."""
    name = str(name).strip()
    if _OWN_NAME.fullmatch(name):
        raise UsageError(
            f"names like '{name}' are given by gitexp; choose a word, for example baseline"
        )
    gits_own = _GITS_OWN.fullmatch(name)
    if gits_own or repo.refs(f"refs/heads/{name}", f"refs/remotes/{name}"):
        whose = "git's own" if gits_own else "a branch"
        raise UsageError(f"'{name}' is {whose} already; choose another name, as baseline-2")
    odd = name[:1] in "-@" or name.isdigit() or any(mark in name for mark in (":", "..", "~", "^"))
    if odd or not repo.succeeds("check-ref-format", f"refs/tags/{name}"):
        raise UsageError(
            f"'{name}' cannot be a tag's name; use letters, digits, dots and dashes, for example"
            " baseline-2"
        )
    if repo.refs(f"refs/tags/{name}"):
        raise taken(name)
    from gitexp.store.index import Index

    if known := Index(repo).named(name):
        raise UsageError(f"'{name}' is a name of {known.name} already; choose another name")
    return name


def is_taken(error: GitError, name: str) -> bool:
    """Whether git refused a tag since something else has its name: a tag, one below it, a lock, an
    empty file, or a link to a branch."""
    taken = rf"refs/tags/{re.escape(name)}(\.lock)?': .*(exists|broken)|write non-commit object"
    return re.search(taken, error.stderr) is not None


def check_label(label: str) -> str:
    """Return a label, without the spaces around it, if it can be one: a word without spaces, commas
    or a leading sign; else raise UsageError."""
    label = str(label).strip()
    odd = not label.isprintable() or any(char in label for char in ' ,"')
    if not label or odd or label[0] in "+-":
        raise UsageError(
            f"'{label}' cannot be a label; use a word without spaces and commas that does not start"
            " with + or -"
        )
    return label


def taken(name: str) -> UsageError:
    """Return the error that says so."""
    return UsageError(f"there is a tag '{name}' already; choose another name")


def highest(repo: Repo, scan: bool = False) -> int:
    """Return the highest number that any experiment here ever had.

    Kept in a file, so that a name is not given again after ``rm``. The tags are looked through only
    where somebody changed them since: their folder and ``packed-refs`` are newer than the file. DVC
    looks a name up among the tags before its own ``refs/exps``, so a number that one of its
    experiments has is not given either.
    """
    known, refs = files.read_text(repo.state_dir / HIGHEST).strip(), repo.common_dir / "refs"
    number = int(known) if known.isdecimal() else 0
    places = (refs / "tags", repo.common_dir / "packed-refs", repo.common_dir / "reftable")
    of_dvc = (Path(folder) for folder, _, _ in os.walk(refs / "exps"))  # which may vanish meanwhile
    changed = max(map(files.modified, (*places, *of_dvc)))
    if not scan and number and files.modified(repo.state_dir / HIGHEST) >= changed:
        return number
    taken = repo.refs("refs/tags", "refs/exps")
    names = (re.fullmatch(r"refs/(?:tags|exps)/(?:.*/)?exp-(\d{1,15})", ref) for ref in taken)
    return max([number, *(int(match[1]) for match in names if match)])


def remember_highest(repo: Repo, number: int) -> None:
    repo.write_state(HIGHEST, str(number).encode())
