"""System metrics on request: what a run uses, sampled by a thread into ``system.*``."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gitexp.formats.extras import needed

if TYPE_CHECKING:
    from gitexp.runs.run import Run

_SECONDS = 5.0
_FIRST = 0.5  # until the first sample: the processor's use is that since the last look


class Sampler:
    """Logs ``system.*`` metrics of a process and its children, until it is stopped."""

    def __init__(self, run: Run, pid: int | None = None) -> None:
        self._psutil = needed("psutil", "sampling system metrics", "system")
        self._run = run
        self._own = self._psutil.Process()
        self._process = self._own if pid is None else self._psutil.Process(pid)
        self._nvml, self._gpus = _gpus()
        self._stop = threading.Event()
        self._sampled = False
        self._thread = threading.Thread(target=self._loop, daemon=True, name="gitexp-system")
        self._psutil.cpu_percent()
        self._thread.start()

    def stop(self) -> None:
        """Stop sampling; a run too short for a sample gets one now."""
        self._stop.set()
        self._thread.join(timeout=5)
        if not self._sampled:
            self._process = self._own
            self._sample()

    def _loop(self) -> None:
        self._psutil.cpu_percent()  # it remembers the last look of each thread
        pause = _FIRST
        while not self._stop.wait(pause):
            self._sample()
            pause = _SECONDS

    def _sample(self) -> None:
        memory = 0
        with suppress(self._psutil.Error, OSError):
            for process in (self._process, *self._process.children(recursive=True)):
                with suppress(self._psutil.Error):
                    memory += process.memory_info().rss
            values = {
                "system.cpu_percent": self._psutil.cpu_percent(),
                "system.memory_mb": memory / 1e6,
                "system.memory_percent": self._psutil.virtual_memory().percent,
            }
            for at, gpu in enumerate(self._gpus):
                with suppress(self._nvml.NVMLError):
                    used = self._nvml.nvmlDeviceGetUtilizationRates(gpu).gpu
                    values[f"system.gpu{at}_percent"] = used
                    memory = self._nvml.nvmlDeviceGetMemoryInfo(gpu).used
                    values[f"system.gpu{at}_memory_mb"] = memory / 1e6
            self._run.log_metrics(values)
            self._sampled = True


def _gpus() -> tuple[Any, list[Any]]:
    """Return NVIDIA's library and its handles of the GPUs, none where something is missing."""
    try:
        import pynvml as nvml

        nvml.nvmlInit()
        return nvml, [*map(nvml.nvmlDeviceGetHandleByIndex, range(nvml.nvmlDeviceGetCount()))]
    except Exception:  # no library, no driver or no GPU: pynvml has an error class for each
        return None, []
