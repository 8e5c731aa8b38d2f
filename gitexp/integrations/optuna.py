"""Optuna: ``study.optimize(objective, callbacks=[GitexpCallback()])`` records each trial of a study
of your own as an experiment.

They share the study's name as their group and stand beside the branch. For trials from one frozen
snapshot, in parallel, see ``gitexp sweep``.
"""

from __future__ import annotations

from typing import Any

from gitexp.formats.message import each
from gitexp.runs.log import log

_STATUS = {"COMPLETE": "finished", "PRUNED": "killed", "FAIL": "failed"}


class GitexpCallback:
    """Records a trial when it is over.

    Args:
        metric: what the study's value is called; several where it has several.
        options: more for ``gitexp.log``: labels, inputs and the like.
    """

    def __init__(self, metric: str | tuple[str, ...] = "value", **options: Any) -> None:
        self._names = each(metric)
        self._options = options

    def __call__(self, study: Any, trial: Any) -> None:
        """Record one trial; Optuna calls it."""
        found = dict(zip(self._names, trial.values or ()))
        if between := trial.intermediate_values:
            found[f"{self._names[0]}.intermediate"] = [between[step] for step in sorted(between)]
        status = _STATUS.get(trial.state.name, "finished")
        options: Any = {"advance": False, "group": study.study_name, "status": status}
        log(params=trial.params, metrics=found, **options | self._options)
