"""Files of a commit brought into a folder, without a checkout: as a checkout would write them, with
the content that the pointers of Git LFS and DVC stand for.

All are made in a folder beside first, so that either all of them arrive or none.
"""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path, PurePosixPath

from gitexp.formats.errors import GitError, NotFoundError, UsageError
from gitexp.repo import content, dvc, dvc_pointers, trees
from gitexp.repo.dvc_pointers import Data
from gitexp.repo.repository import Repo

_ARTIFACTS = ".gitexp/artifacts/"  # what lies there may be named without it
_LFS_SIZE = re.compile(rb"version https://git-lfs[^\0]*\nsize (\d+)\n")


def download(
    repo: Repo,
    commit: str,
    paths: Iterable[str],
    to: Path,
    force: bool = False,
    named: str = "",
) -> list[Path]:
    """Write files of a commit below ``to`` and return where they are.

    A file arrives under its own name, what lies in a folder below the name of that folder; in
    patterns, ``*`` stands for anything. Nothing is overwritten without ``force``.

    Raises:
        NotFoundError: there is no such file, or only a pointer to its content is here.
        UsageError: a file is there already, or two would have one place.
    """
    modes = _files(repo, commit)
    data = dvc_pointers.of_commit(repo, commit) if any(map(dvc_pointers.is_pointer, modes)) else {}
    chosen: dict[str, Path] = {}
    for path in paths:
        for name, place in _chosen(path, [*modes, *data], data, commit, named).items():
            target = to / place
            if name not in chosen and target in chosen.values():
                raise UsageError(f"two of these files would become {target}; bring them one by one")
            chosen[name] = target
    _check_free(chosen.values(), force)
    # a repository that is only read, as a container mounts it, has no room of ours
    top = repo.state_dir if os.access(repo.state_dir, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="get-", dir=top) as folder:
        made = {name: Path(folder, str(number)) for number, name in enumerate(chosen)}
        for name, file in made.items():
            if name in data:
                if not dvc.bring(repo, data[name], file):
                    raise NotFoundError(
                        f"'{name}' is neither in DVC's cache nor on its remote; where you have it,"
                        " run: dvc push"
                    )
            else:
                _write(repo, commit, name, modes[name], file)
        for name, file in made.items():
            target = chosen[name]
            target.parent.mkdir(parents=True, exist_ok=True)
            if os.path.lexists(target):
                target.unlink()
            shutil.move(file, target)
    return [*chosen.values()]


def _files(repo: Repo, commit: str) -> dict[str, str]:
    """Return ``{path: mode}`` of a commit's files and links."""
    listed = repo.entries("ls-tree", "-r", "-z", "--full-tree", commit)
    entries = (item.partition("\t") for item in listed)
    return {
        path: about[:6]
        for about, _, path in entries
        if about[:6] != "160000" and trees.is_path(path)
    }


def _chosen(
    path: str, names: list[str], data: Mapping[str, Data], commit: str, named: str
) -> dict[str, PurePosixPath]:
    """Return ``{path: where it goes}`` for what is named: a file, all of a folder, or what fits a
    pattern."""
    wanted = path.replace(os.sep, "/").strip("/").removeprefix("./")
    for one in (wanted, _ARTIFACTS + wanted):
        if one in names:
            return {one: PurePosixPath(PurePosixPath(one).name)}
        pointers = {f"{item.path}{dvc_pointers.SUFFIX}" for item in data.values()}
        below = [name for name in names if name.startswith(f"{one}/") and name not in pointers]
        top = PurePosixPath(one).parent
        if not below and any(mark in one for mark in "*?["):
            below = [
                name for name in names if fnmatch.fnmatchcase(name, one) and name not in pointers
            ]
            top = PurePosixPath(re.split(r"[*?\[]", one)[0] + "x").parent
        if below:
            return {name: PurePosixPath(name).relative_to(top) for name in below}
    by_name = {PurePosixPath(name).name: name.removeprefix(_ARTIFACTS) for name in names}
    near = [by_name[name] for name in get_close_matches(PurePosixPath(wanted).name, by_name)]
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    raise NotFoundError(
        f"there is no file '{path}' in {named or commit[:10]}.{hint} To list its files: git"
        f" ls-tree -r --name-only {commit[:10]}"
    )


def _check_free(targets: Iterable[Path], force: bool) -> None:
    for target in targets:
        if target.is_dir() and not target.is_symlink():
            raise UsageError(f"{target} is a folder already; choose another place")
        if os.path.lexists(target) and not force:
            raise UsageError(
                f"{target} is there already and would be overwritten; choose another place, or"
                " force it (--force)"
            )


def _write(repo: Repo, commit: str, path: str, mode: str, file: Path) -> None:
    """Write a file as git's checkout would; a link stays one."""
    try:
        raw = repo.git("cat-file", "blob", f"{commit}:{path}")
        if key := content.annex_key(raw, mode == "120000"):
            _of_annex(repo, commit, path, key, file)
            return
        if mode == "120000":
            file.symlink_to(os.fsdecode(raw))
            return
        pointer = _LFS_SIZE.fullmatch(raw)
        file.write_bytes(raw if pointer else repo.git("cat-file", "--filters", f"{commit}:{path}"))
    except GitError as error:
        raise NotFoundError(
            f"'{path}' is not in this clone ({error}); to bring it: gitexp pull"
        ) from None
    if pointer and not _smudged(repo, path, file, int(pointer[1])):
        raise _only_pointer(repo, commit, path, "lfs")
    if mode == "100755":
        file.chmod(0o755)


def _only_pointer(repo: Repo, commit: str, path: str, name: str) -> NotFoundError:
    how = content.bringing(repo, commit, name)
    return NotFoundError(str(content.advice([(path, how)], repo.root)))


def _of_annex(repo: Repo, commit: str, path: str, key: str, file: Path) -> None:
    """Copy what git-annex has in the place of a link or pointer of its own."""
    found = repo.line("annex", "contentlocation", "--", key, ok=(0, 1))
    if not found:
        raise _only_pointer(repo, commit, path, "annex")
    shutil.copyfile(repo.root / found, file)


def _smudged(repo: Repo, path: str, file: Path, size: int) -> bool:
    """Put the content in the place of a pointer of Git LFS; whether it could be had."""
    whole = file.with_suffix(".lfs")
    with (
        open(file, "rb") as pointer,
        repo.stream("lfs", "smudge", "--", path, stdin=pointer) as source,
        open(whole, "wb") as target,
    ):
        shutil.copyfileobj(source, target)
    os.replace(whole, file)
    return file.stat().st_size == size
