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

    def checked(
        self, repo: Repo, known: Settings, talk: dvc_status.Talk | None
    ) -> tuple[dict[str, Any], str | None]:
        """Return them checked, with what the settings say and, as ``extra``, what a result depends
        on; and what the user should be told about the data. Raises UsageError."""
        extra = {
            **conditions.here(),
            "because": (self.because or "").strip(),
            "inputs": conditions.hash_inputs(repo.root, self.inputs),
            "seed": dict(seeds.last),
        }
        array = conditions.slurm_array()
        values = {
            "name": names.check_name(repo, self.name) if self.name else None,
            "title": self.title,
            "note": self.note,
            "labels": tuple(sorted(map(names.check_label, self.labels))),
            "group": self.group.strip() if self.group else array and f"array-{array}",
            "advance": known.advance if self.advance is None else self.advance,
            "sign": known.sign if self.sign is None else self.sign,
        }
        data = dvc_status.settle(repo, known, talk)  # which may commit it
        return {**values, "extra": {**extra, **data.conditions}}, data.told
