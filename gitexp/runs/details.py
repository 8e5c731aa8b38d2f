"""What somebody says of an experiment, beside what was measured: its name, labels and the like."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, NamedTuple

from gitexp.formats.settings import Settings
from gitexp.repo import Repo, dvc_status
from gitexp.runs import seeds
from gitexp.store import conditions, names


class Settled(NamedTuple):
    """Details that were checked, as a ``Draft`` and a run's facts hold them, with ``extra``: what
    the result depends on. And what the user should be told about the data."""

    values: dict[str, Any]
    told: str | None


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

    def settled(self, repo: Repo, known: Settings, talk: dvc_status.Talk | None = None) -> Settled:
        """Check them, and fill in what the settings say and what is known of the data; raise
        UsageError where a name or label cannot be one, or an input is missing."""
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
        return Settled({**values, "extra": {**extra, **data.conditions}}, data.told)
