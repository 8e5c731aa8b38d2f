"""DagsHub's logger, which records an experiment at its end: only the import changes.

    from gitexp.integrations.dagshub import dagshub_logger

The files are written by DagsHub's own client, where it would write them. Signature and behaviour:
``dagshub.logger`` 0.7.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gitexp.runs import active

if TYPE_CHECKING:
    from dagshub.logger import DAGsHubLogger


@contextmanager
def dagshub_logger(
    metrics_path: str = "metrics.csv",
    should_log_metrics: bool = True,
    hparams_path: str = "params.yml",
    should_log_hparams: bool = True,
    should_make_dirs: bool = True,
    eager_logging: bool = True,
) -> Iterator[DAGsHubLogger]:
    """Yield DagsHub's logger; what it logs also becomes a gitexp run, recorded when the block ends.

    Lists and mappings stay what they are in the experiment, where DagsHub's client turns them into
    text. With the usual file names the experiment's own ``metrics.csv`` and ``params.yml`` take
    their place in the work tree.
    """
    from dagshub.logger import DAGsHubLogger

    with active.start_run() as run:

        class Logger(DAGsHubLogger):
            """DagsHub's, which tells the run as well."""

            def log_metrics(
                self, metrics: Mapping[str, Any] | None = None, step_num: int = 1, **kwargs: Any
            ) -> None:
                values = {**(metrics or {}), **kwargs}
                if should_log_metrics:
                    run.log_metrics(values, step=step_num)
                super().log_metrics(values, step_num)

            def log_hyperparams(
                self, params: Mapping[str, Any] | None = None, **kwargs: Any
            ) -> None:
                values = {**(params or {}), **kwargs}
                if should_log_hparams:
                    run.log_params(values)
                super().log_hyperparams(values)

        given = (metrics_path, should_log_metrics, hparams_path, should_log_hparams)
        logger = Logger(*given, should_make_dirs, eager_logging)
        try:
            yield logger
        finally:
            logger.save()  # type: ignore[no-untyped-call]
            logger.close()  # type: ignore[no-untyped-call]
            names = ["metrics.csv"] if metrics_path == "metrics.csv" and should_log_metrics else []
            names += ["params.yml"] if hparams_path == "params.yml" and should_log_hparams else []
            run.add_facts("outputs", names)
