"""What a run depended on beyond its code, params and packages: input files, seed, environment
variables, GPU and driver.

Kept in the summary of the tag, and in trailers of the commit from which the summary can be made
again. Only variables from a list are kept: the environment of a process is full of secrets.
"""

from __future__ import annotations

import functools
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from gitexp.formats.errors import UsageError
from gitexp.repo import Repo, files

VARIABLES = (  # what is known to change numbers; none holds a secret
    "PYTHONHASHSEED", "PYTHONOPTIMIZE", "OMP_NUM_THREADS", "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "MKL_CBWR",
    "OPENBLAS_CORETYPE", "CUDA_VISIBLE_DEVICES", "CUBLAS_WORKSPACE_CONFIG", "CUDA_LAUNCH_BLOCKING",
    "NVIDIA_TF32_OVERRIDE",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "PYTORCH_CUDA_ALLOC_CONF", "TF_DETERMINISTIC_OPS",
    "TF_CUDNN_DETERMINISTIC",
    "TF_ENABLE_ONEDNN_OPTS", "XLA_FLAGS", "JAX_ENABLE_X64", "JAX_PLATFORMS", "KERAS_BACKEND", "TZ",
)  # fmt: skip
_SHA256 = "sha256:"
# the trailers that say what is in the summary: as JSON, and as text
_JSON = {name: name.capitalize().replace("_s", "-S")
         for name in ("inputs", "data", "data_stale", "variables", "seed")}  # fmt: skip
_TEXT = {"gpu": "GPU", "job": "Job"}


def current() -> dict[str, Any]:
    """Return the conditions of this process and machine, as the summary keeps them; empty ones are
    left out."""
    found = {
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "gpu": _gpu(),
        "job": slurm_job(),
    }
    return {key: value for key, value in found.items() if value}


def slurm_job() -> str | None:
    """Return the number of the SLURM job that this runs in, with that of its task in an array."""
    array = slurm_array()
    if array:
        return f"slurm {array}_{os.environ.get('SLURM_ARRAY_TASK_ID')}"
    job = os.environ.get("SLURM_JOB_ID")
    return f"slurm {job}" if job else None


def slurm_array() -> str | None:
    """Return the number of the job array that this is a task of."""
    return os.environ.get("SLURM_ARRAY_JOB_ID")


def hash_inputs(root: Path, paths: Iterable[str | os.PathLike[str]]) -> dict[str, str]:
    """Return ``{path: "sha256:..."}`` for files and folders that a run reads.

    Paths in the repository are given from its top, others whole. A folder's hash is that of the
    list of its files.

    Raises:
        UsageError: there is no such file.
    """
    found = {}
    for path in paths:
        file = Path(os.path.abspath(path))
        hashed = hash_input(file)
        if hashed is None:
            raise UsageError(f"the input '{path}' is not there, or cannot be read; check the path")
        # by what a link leads to, unless that lies elsewhere
        ways = ((file.resolve(), root.resolve()), (file, root))
        inside = (way.relative_to(top) for way, top in ways if way.is_relative_to(top))
        found[next(inside, file).as_posix()] = hashed
    return found


def hash_input(path: Path) -> str | None:
    """Return the hash of a file or folder, None where it cannot be read, or is a device or a pipe,
    which may have no end."""
    try:
        if path.is_dir():
            found = [item for item in files.below(path) if item.is_file()]
            hashes = ((files.digest(file, "sha256"), file.relative_to(path)) for file in found)
            listing = "".join(f"{hashed} {name.as_posix()}\n" for hashed, name in hashes)
            return _SHA256 + _sha256(listing.encode("utf-8", "surrogateescape"))
        return _SHA256 + files.digest(path, "sha256") if path.is_file() else None
    except (OSError, ValueError):
        return None


def hash_recorded(repo: Repo, commit: str, path: str) -> str | None:
    """Return the hash of a file as a commit holds it (LFS's pointer says the file's own), None
    where it holds none."""
    if path.startswith("/") or not path.isprintable():
        return None
    found = next(repo.objects([f"{commit}:{path}"]))
    if found is None or found.kind != "blob":
        return None
    pointer = re.match(rb"version https://git-lfs[^\n]*\noid sha256:([0-9a-f]{64})\n", found.data)
    return _SHA256 + (pointer[1].decode() if pointer else _sha256(found.data))


def trailers(conditions: Mapping[str, Any]) -> dict[str, str]:
    """Return the trailers that say the same as the summary."""
    known = {key: value for key, value in conditions.items() if value}
    how = functools.partial(json.dumps, sort_keys=True, ensure_ascii=False)
    said = {name: how(known[key]) for key, name in _JSON.items() if key in known}
    return said | {name: str(known[key]) for key, name in _TEXT.items() if key in known}


def of_trailers(trailers: Mapping[str, str]) -> dict[str, Any]:
    """Return what ``trailers`` made them of; raise ValueError where one cannot be read."""
    found = {key: json.loads(trailers[name]) for key, name in _JSON.items() if name in trailers}
    return found | {key: trailers[name] for key, name in _TEXT.items() if name in trailers}


def texts(conditions: Mapping[str, Any], key: str) -> dict[str, str]:
    """Return one mapping of text to text of a summary, without what has no business there: tags
    come from anybody."""
    value = conditions.get(key)
    known = value if isinstance(value, Mapping) else {}
    return {str(name): item for name, item in known.items() if isinstance(item, str)}


def _sha256(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()


def _gpu() -> str:
    """Return the GPUs, their driver and CUDA, as far as files and what is imported tell: no
    process, no import."""
    parts: list[str] = []
    with suppress(OSError):
        models = [
            match[1]
            for card in sorted(Path("/proc/driver/nvidia/gpus").iterdir())
            if (match := re.search(r"Model:\s*(.+)", (card / "information").read_text()))
        ]
        parts += [f"{models.count(model)} x {model}" for model in dict.fromkeys(models)]
    with suppress(OSError):
        if match := re.search(
            r"Kernel Module[^0-9]*([\d.]+)", Path("/proc/driver/nvidia/version").read_text()
        ):
            parts.append(f"driver {match[1]}")
    cuda = getattr(getattr(sys.modules.get("torch"), "version", None), "cuda", None)
    if not cuda:
        with suppress(OSError, ValueError, KeyError, TypeError):
            cuda = json.loads(Path("/usr/local/cuda/version.json").read_bytes())["cuda"]["version"]
    return ", ".join([*parts, f"CUDA {cuda}"] if cuda and parts else parts)
