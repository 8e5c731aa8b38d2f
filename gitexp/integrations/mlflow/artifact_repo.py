"""Artifacts of MLflow's runs and models: small ones lie in the experiment's tree, large ones beside
it in ``.git/gitexp/mlflow/files``.

While a run goes on, the small ones lie in its folder at the path that they will have in the tree,
so whoever records it (its process, or ``gitexp recover``) takes them along. Afterwards they are
read from git, so a clone has them too.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from mlflow.entities import FileInfo
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST
from mlflow.store.artifact.artifact_repo import ArtifactRepository, verify_artifact_path

from gitexp.formats import message, settings
from gitexp.integrations.mlflow import database, run_file, uris
from gitexp.integrations.mlflow.sync import Follower
from gitexp.runs import journal

_TOP = "artifacts"  # the folder that a run's address ends with
_lock = threading.Lock()  # MLflow logs the files of a folder in threads


class _Held(NamedTuple):
    """Where a run's files are: its folder while it goes on, else the commit of its experiment."""

    folder: Path | None
    commit: str | None


class GitArtifacts(ArtifactRepository):
    """The artifacts of one run or model."""

    def __init__(
        self, artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None
    ) -> None:
        super().__init__(artifact_uri, tracking_uri, registry_uri)
        address = uris.parse(artifact_uri)
        if address is None:
            raise MlflowException(
                f"'{artifact_uri}' is not an address of gitexp's artifacts", INVALID_PARAMETER_VALUE
            )
        self._address = address
        self._repo = uris.reading(address.folder)
        self._tree = (
            uris.RUN_FILES if address.kind == "runs" else f"{uris.MODEL_FILES}/{address.id}"
        )
        self._large = address.folder / "files" / address.kind / address.id

    # -- writing -----------------------------------------------------------------------------------

    def log_artifact(self, local_file: str, artifact_path: str | None = None) -> None:
        """Keep a file: in the tree where it is no larger than the setting ``max_file_size``, else
        beside it."""
        verify_artifact_path(artifact_path)
        source = Path(local_file)
        path = self._inside(artifact_path, source.name)
        held = self._held()
        size = source.stat().st_size
        with _lock:
            target = self._target(held, path, size)
            target.parent.mkdir(parents=True, exist_ok=True)
            for other in (
                self._large / path,
                *([held.folder / "artifacts" / self._tree / path] if held.folder else []),
            ):
                if other != target and other.is_file():
                    other.unlink()
            part = target.parent / f".{target.name}.{os.getpid()}.new"
            try:
                shutil.copyfile(source, part)
                os.replace(part, target)
            finally:
                part.unlink(missing_ok=True)

    def log_artifacts(self, local_dir: str, artifact_path: str | None = None) -> None:
        """Keep all files of a folder."""
        for file in sorted(Path(local_dir).rglob("*")):
            if file.is_file():
                below = file.parent.relative_to(local_dir).as_posix()
                self.log_artifact(
                    str(file),
                    "/".join(part for part in (artifact_path, below) if part and part != ".")
                    or None,
                )

    def delete_artifacts(self, artifact_path: str | None = None) -> None:
        """Remove files; what an experiment's commit holds stays there."""
        held = self._held()
        for top in (
            self._large,
            *([held.folder / "artifacts" / self._tree] if held.folder else []),
        ):
            target = top / self._inside(artifact_path)
            if target.is_dir():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)

    # -- reading -----------------------------------------------------------------------------------

    def list_artifacts(self, path: str | None = None) -> list[Any]:
        """Return the files and folders right below a path."""
        at = self._inside(path)
        prefix = f"{at}/" if at else ""
        found: dict[str, Any] = {}
        for file, size in self._files():
            if file.startswith(prefix):
                first, deeper, _ = file[len(prefix) :].partition("/")
                shown = self._outside(prefix + first)
                found[shown] = FileInfo(shown, bool(deeper), None if deeper else size)
        return [found[name] for name in sorted(found)]

    def _download_file(self, remote_file_path: str, local_path: str) -> None:
        path = self._inside(remote_file_path)
        held = self._held()
        for top in (
            self._large,
            *([held.folder / "artifacts" / self._tree] if held.folder else []),
        ):
            if (top / path).is_file():
                shutil.copyfile(top / path, local_path)
                return
        if held.commit:
            found = (
                next(self._repo.objects([f"{held.commit}:{self._in(held.commit)}/{path}"]))
                if "\n" not in path
                else None
            )
            if found is not None and found.kind == "blob":
                Path(local_path).write_bytes(found.data)
                return
        raise MlflowException(f"No such artifact: '{remote_file_path}'", RESOURCE_DOES_NOT_EXIST)

    # -- places ------------------------------------------------------------------------------------

    def _held(self) -> _Held:
        _follower(self._address.folder).catch_up()
        with closing(database.connect(self._address.folder / "tracking.sqlite")) as db:
            run: str | None = self._address.id
            if self._address.kind != "runs":
                run = _source_run(db, self._address)
            row = db.execute(
                'SELECT folder, "commit" FROM gitexp_run WHERE run_uuid = ?', [run]
            ).fetchone() or (None, None)
        folder = self._address.folder.parent / "runs" / row[0] if row[0] else None
        return _Held(folder if folder and folder.is_dir() else None, row[1])

    def _in(self, commit: str) -> str:
        """Return where the files lie in a commit: in the folder of its project."""
        found = next(self._repo.objects([commit]))
        text = found.data.decode("utf-8", "replace") if found else ""
        return message.trailers(text).get("Project", "") + self._tree

    def _target(self, held: _Held, path: str, size: int) -> Path:
        """Return where a file goes: into the run's folder while it goes on and the limits allow
        it."""
        if held.folder is None:
            return self._large / path
        limits = _limits(self._address.folder.parents[2])
        used = sum(file.stat().st_size for file in journal.artifacts(held.folder).values())
        if size > limits.max_file_size or used + size > limits.max_untracked_size:
            run_file.change(
                held.folder,
                lambda known: known.setdefault("files", {}).update({f"{self._tree}/{path}": size}),
            )
            return self._large / path
        return held.folder / "artifacts" / self._tree / path

    def _files(self) -> Iterator[tuple[str, int]]:
        """Yield every file with its size, wherever it lies."""
        held = self._held()
        if held.commit:
            tree = self._in(held.commit)
            listed = self._repo.git("ls-tree", "-r", "-l", "-z", held.commit, "--", f"{tree}/")
            for entry in filter(None, listed.split(b"\0")):
                facts, _, name = entry.partition(b"\t")
                size = facts.split()[-1]
                yield (
                    os.fsdecode(name).removeprefix(f"{tree}/"),
                    int(size) if size.isdigit() else 0,
                )
        for top in (
            self._large,
            *([held.folder / "artifacts" / self._tree] if held.folder else []),
        ):
            for file in sorted(top.rglob("*")):
                with suppress(OSError):
                    if file.is_file() and not (
                        file.name.startswith(".") and file.name.endswith(".new")
                    ):
                        yield file.relative_to(top).as_posix(), file.stat().st_size

    def _inside(self, *parts: str | None) -> str:
        """Return a path below the run's artifacts; raise MlflowException where it leads out of
        them."""
        path = PurePosixPath(
            *(part.replace("\\", "/") for part in (self._address.below, *parts) if part)
        )
        if (
            path.is_absolute()
            or ".." in path.parts
            or ".git" in [part.lower() for part in path.parts]
        ):
            raise MlflowException(f"Invalid artifact path: '{path}'", INVALID_PARAMETER_VALUE)
        if self._address.above and path.parts:
            if path.parts[0] != _TOP:
                raise MlflowException(f"No such artifact: '{path}'", RESOURCE_DOES_NOT_EXIST)
            path = path.relative_to(_TOP)
        return "" if str(path) == "." else str(path)

    def _outside(self, path: str) -> str:
        if self._address.above:
            return f"{_TOP}/{path}"
        return path.removeprefix(f"{self._address.below}/") if self._address.below else path


def _source_run(db: sqlite3.Connection, address: uris.Address) -> str | None:
    if address.kind != "models":
        return None
    row = db.execute(
        "SELECT source_run_id FROM logged_models WHERE model_id = ?", [address.id]
    ).fetchone()
    return row[0] if row else None


@lru_cache(maxsize=32)
def _follower(folder: Path) -> Follower:
    return Follower(uris.reading(folder))


@lru_cache(maxsize=32)
def _limits(root: Path) -> settings.Settings:
    return settings.load(root)
