"""What somebody says of an experiment, beside what was measured: its name, labels and the like."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, NamedTuple

from gitexp.formats.settings import Settings
from gitexp.repo import Repo, dvc_status
from gitexp.runs import seeds
from gitexp.store import conditions, names


class Details(NamedTuple):
    """What was said of an experiment; ``start_run`` says what each of it is."""

    name: str | None = None
    title: str | None = None
    note: str = ""
    because: str | None = None
    labels: Iterable[str] = ()
    group: str | None = None
    advance: bool | None = None
    inputs: Iterable[str | os.PathLike[str]] = ()
    sign: bool | None = None

    def words(self) -> dict[str, str | None]:
        """Return what is free text."""
        title, group = (text(word) or None for word in (self.title, self.group))
        return {"title": title, "note": text(self.note), "group": group}

    def checked(
        self, repo: Repo, known: Settings, talk: dvc_status.Talk | None
    ) -> tuple[dict[str, Any], str | None]:
        """Return them checked, with what the settings say and, as ``extra``, what a result depends
        on; and what the user should be told about the data. Raises UsageError."""
        extra = {
            **conditions.current(),
            "because": text(self.because),
            "inputs": conditions.hash_inputs(repo.root, self.inputs),
            "seed": dict(seeds.last),
        }
        array = conditions.slurm_array()
        values: dict[str, Any] = {
            "name": names.check_name(repo, self.name) if self.name else None,
            **self.words(),
            "labels": tuple(sorted(map(names.check_label, self.labels))),
            "advance": known.advance if self.advance is None else self.advance,
            "sign": known.sign if self.sign is None else self.sign,
        }
        values["group"] = values["group"] or (array and f"array-{array}")
        data = dvc_status.commit_changed(repo, known, talk)  # which may commit it
        return {**values, "extra": {**extra, **data.conditions}}, data.told


def text(given: object) -> str:
    """Return somebody's words as text, which a number, a path or an exception is, too."""
    return "" if given is None else str(given).strip()
