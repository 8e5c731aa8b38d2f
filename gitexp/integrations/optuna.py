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
        metric: what the study's value is called; several where it has several. By default as the
            study's ``metric_names`` are, else ``value``.
        options: more for ``gitexp.log``: labels, inputs and the like.
    """

    def __init__(self, metric: str | tuple[str, ...] = (), **options: Any) -> None:
        self._names = [*each(metric)]
        self._options = options

    def __call__(self, study: Any, trial: Any) -> None:
        """Record one trial; Optuna calls it."""
        names = self._names or study.metric_names or ["value"]
        if len(names) < len(study.directions):
            names = [f"{names[0]}_{number}" for number in range(len(study.directions))]
        found = dict(zip(names, trial.values or ()))
        if between := trial.intermediate_values:
            found[f"{names[0]}.intermediate"] = dict(sorted(between.items()))
        state = trial.state.name
        labels = [*each(self._options.get("labels", ())), *(["pruned"] * (state == "PRUNED"))]
        usual = {"status": _STATUS.get(state, "finished"), "started": trial.datetime_start}
        usual |= {"advance": False, "group": study.study_name, **self._options, "labels": labels}
        log(params=trial.params, metrics=found, **usual)
