"""gitexp: every training run becomes one git commit with one tag.

    import gitexp

    with gitexp.start_run(params={"lr": 0.01}) as run:
        run.log_metric("rmse", 18.2)

    gitexp.experiments()            # a DataFrame, one row each
    gitexp.get("exp-5").params
    gitexp.diff("exp-3", "exp-7")

Names are loaded when they are first used, so that importing the package costs nothing.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from gitexp.api import diff, experiments, get, histories, log
    from gitexp.current import (
        active_run,
        end_run,
        log_artifact,
        log_metric,
        log_metrics,
        log_param,
        log_params,
        seed_everything,
        start_run,
    )
    from gitexp.experiment import Experiment, MetricPoint
    from gitexp.importing.function import import_runs
    from gitexp.integrations.mlflow.autologging import autolog
    from gitexp.run import Run
    from gitexp.sharing import pull, push
    from gitexp.sweeping.function import sweep
    from gitexp.tracking import track

_HOMES = {
    "gitexp.api": ("diff", "experiments", "get", "histories", "log"),
    "gitexp.experiment": ("Experiment", "MetricPoint"),
    "gitexp.current": (
        "active_run", "end_run", "log_artifact", "log_metric", "log_metrics", "log_param", "log_params", "seed_everything", "start_run",
    ),
    "gitexp.run": ("Run",),
    "gitexp.sharing": ("pull", "push"),
    "gitexp.importing.function": ("import_runs",),
    "gitexp.integrations.mlflow.autologging": ("autolog",),
    "gitexp.sweeping.function": ("sweep",),
    "gitexp.tracking": ("track",),
}  # fmt: skip
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Experiment", "MetricPoint", "Run", "__version__", "active_run", "autolog", "diff", "end_run",
    "experiments", "get", "histories", "import_runs", "log", "log_artifact", "log_metric",
    "log_metrics", "log_param", "log_params", "pull", "push", "seed_everything", "start_run",
    "sweep", "track",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'gitexp' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
