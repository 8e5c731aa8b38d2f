"""System metrics on request: processor, memory and GPU of this run, sampled by a thread into
``system.*`` metrics."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gitexp.formats.errors import MissingExtraError

if TYPE_CHECKING:
    from gitexp.runs.run import Run

SECONDS = 5.0
# until the first sample: the processor's use is that since the last look, and there has to be
# something to see
_FIRST = 0.5


class Sampler:
    """Logs ``system.*`` metrics of a process and its children every few seconds, until it is
    stopped."""

    def __init__(self, run: Run, pid: int | None = None, seconds: float = SECONDS) -> None:
        try:
            import psutil
        except ImportError:
            raise MissingExtraError("sampling system metrics", "system") from None
        self._run = run
        self._seconds = seconds
        self._own = psutil.Process()
        self._process = self._own if pid is None else psutil.Process(pid)
        self._gpus = _gpus()
        self._stop = threading.Event()
        self._sampled = False
        self._thread = threading.Thread(target=self._loop, daemon=True, name="gitexp-system")
        psutil.cpu_percent()
        self._thread.start()

    def stop(self) -> None:
        """Stop sampling; a run too short for a sample gets one now."""
        self._stop.set()
        self._thread.join(timeout=5)
        if not self._sampled:
            self._process = self._own
            self._sample()

    def _loop(self) -> None:
        import psutil

        psutil.cpu_percent()  # psutil remembers the last look of each thread
        pause = min(_FIRST, self._seconds)
        while not self._stop.wait(pause):
            self._sample()
            pause = self._seconds

    def _sample(self) -> None:
        import psutil

        with suppress(psutil.Error, OSError):
            family = [self._process, *self._process.children(recursive=True)]
            memory = sum(_memory(process) for process in family)
            values = {
                "system.cpu_percent": psutil.cpu_percent(),
                "system.memory_mb": memory / 1e6,
                "system.memory_percent": psutil.virtual_memory().percent,
            }
            self._run.log_metrics({**values, **_gpu_values(self._gpus)})
            self._sampled = True


def _memory(process: Any) -> int:
    import psutil

    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def _gpus() -> list[Any]:
    try:
        import pynvml

        pynvml.nvmlInit()
        return [pynvml.nvmlDeviceGetHandleByIndex(at) for at in range(pynvml.nvmlDeviceGetCount())]
    except Exception:  # no library, no driver or no GPU: pynvml has an error class for each
        return []


def _gpu_values(gpus: list[Any]) -> dict[str, float]:
    values: dict[str, float] = {}
    for at, gpu in enumerate(gpus):
        import pynvml

        with suppress(pynvml.NVMLError):
            values[f"system.gpu{at}_percent"] = pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu
            values[f"system.gpu{at}_memory_mb"] = pynvml.nvmlDeviceGetMemoryInfo(gpu).used / 1e6
    return values
