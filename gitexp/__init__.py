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
    from gitexp.compare.diff import diff
    from gitexp.formats.errors import (
        CannotRunError,
        FormatError,
        GateError,
        GitError,
        GitexpError,
        MissingExtraError,
        NotFoundError,
        RepositoryError,
        UsageError,
    )
    from gitexp.formats.experiment import Experiment, MetricPoint
    from gitexp.integrations.importers.import_runs import import_runs
    from gitexp.integrations.mlflow.autologging import autolog
    from gitexp.runs.active import (
        active_run,
        checkpoint,
        end_run,
        last_checkpoint,
        log_artifact,
        log_confusion_matrix,
        log_image,
        log_metric,
        log_metrics,
        log_param,
        log_params,
        log_table,
        seed_everything,
        show,
        start_run,
    )
    from gitexp.runs.log import log
    from gitexp.runs.run import Run
    from gitexp.runs.track import track
    from gitexp.store.api import experiments, get
    from gitexp.store.histories import histories
    from gitexp.store.remote.sharing import pull, push
    from gitexp.sweeps.sweep import sweep

_HOMES = {
    "gitexp.store.api": ("experiments", "get"),
    "gitexp.store.histories": ("histories",),
    "gitexp.compare.diff": ("diff",),
    "gitexp.runs.log": ("log",),
    "gitexp.formats.errors": (
        "CannotRunError", "FormatError", "GateError", "GitError", "GitexpError",
        "MissingExtraError", "NotFoundError", "RepositoryError", "UsageError",
    ),
    "gitexp.formats.experiment": ("Experiment", "MetricPoint"),
    "gitexp.runs.active": (
        "active_run", "checkpoint", "end_run", "last_checkpoint", "log_artifact",
        "log_confusion_matrix", "log_image", "log_metric", "log_metrics", "log_param",
        "log_params", "log_table", "seed_everything", "show", "start_run",
    ),
    "gitexp.runs.run": ("Run",),
    "gitexp.store.remote.sharing": ("pull", "push"),
    "gitexp.integrations.importers.import_runs": ("import_runs",),
    "gitexp.integrations.mlflow.autologging": ("autolog",),
    "gitexp.sweeps.sweep": ("sweep",),
    "gitexp.runs.track": ("track",),
}  # fmt: skip
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "CannotRunError", "Experiment", "FormatError", "GateError", "GitError", "GitexpError",
    "MetricPoint", "MissingExtraError", "NotFoundError", "RepositoryError", "Run", "UsageError",
    "__version__", "active_run", "autolog", "checkpoint", "diff", "end_run", "experiments", "get",
    "histories", "import_runs", "last_checkpoint", "log", "log_artifact", "log_confusion_matrix",
    "log_image", "log_metric", "log_metrics", "log_param", "log_params", "log_table", "pull",
    "push", "seed_everything", "show", "start_run", "sweep", "track",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'gitexp' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
