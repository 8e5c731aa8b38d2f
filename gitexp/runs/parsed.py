"""The params of a command: what its own parser arrived at, what the files that it names say, and
what stands on its command line.

The parser tells by a hook (``startup/``) that every Python below ``gitexp run`` finds first on its
path. It notes each parse of a program's own command line in the run's folder, a line each; which of
them is the training's is judged here. Defaults count least, then files, then what was given.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gitexp.formats import environment, params, readers, redaction
from gitexp.formats.errors import GitexpError
from gitexp.runs import arguments

_HOOK = Path(__file__).with_name("startup")
_CONFIG = (
    r"(?i)(?:.*_)?(?:config|cfg|conf|params|hparams|hyp|args|options|settings|recipe|experiment"
    r"|opt)s?(?:_?(?:file|path|name|yaml|json|toml))?|[a-z]"
)
_ENDINGS = (".yaml", ".yml", ".json", ".toml", ".ini", ".py")
_MOST_BYTES = 10**6
_MOST_VALUES = 1_000  # of a file that is still one of settings
_FINAL = frozenset(("script", "hydra", "jsonargparse"))  # have read the files themselves
_REFERENCE = r"\$\{([\w.]+)\}"


@dataclass
class Parsed:
    """A command's params, how many come from where, and words that may be values or not."""

    params: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    unclear: list[str] = field(default_factory=list)


def environ(env: Mapping[str, str]) -> dict[str, str]:
    """Return a command's environment with the hook in it."""
    path = [str(_HOOK), *filter(None, [env.get("PYTHONPATH")])]
    kept = {name: value for name, value in env.items() if name != "GITEXP_PARSED"}  # of a run above
    return {**kept, "PYTHONPATH": os.pathsep.join(path)}


def of_run(folder: Path, facts: Mapping[str, Any]) -> Parsed:
    """Return the params of a run's command, as far as they are known by now, by what ``run.json``
    says of it: its ``command`` and how to read its ``arguments``."""
    how = facts.get("arguments")
    if not isinstance(how, dict):
        return Parsed()
    words = arguments.inner(facts.get("command") or []) if how["read"] else []
    notes = _chosen([*_notes(folder)], words) if words else []
    return _joined(words, notes, how["files"])


def _joined(
    words: Sequence[str], notes: Sequence[Mapping[str, Any]], files: Mapping[str, dict[str, Any]]
) -> Parsed:
    """Lay what was given over what files say, and that over what a parser has by itself."""
    of_files: dict[str, Any] = {}
    for one in files.values():
        of_files.update(params.flatten(one))
    of_parser: dict[str, Any] = {}
    for note in notes:  # a second parser may not know what the first one got
        more = params.flatten(_values(note)).items()
        of_parser.update({key: one for key, one in more if one is not None or key not in of_parser})
    own = _own(notes[-1]["argv"], words) if notes else None
    given = params.flatten(arguments.as_params(words, own))
    rest = given
    if own is not None:  # the parser has read it, but for what stands before it and what it left
        left = arguments.as_params(["", *notes[-1]["left"]], 1)
        rest = params.flatten({**arguments.as_params(words[:own]), **left})
    by_hand = {key: one for key, one in rest.items() if key not in of_parser}
    by_hand.update({key: one for key, one in of_parser.items() if key in given})
    is_final = notes and notes[-1]["kind"] in _FINAL
    under, over = (of_files, of_parser) if is_final else (of_parser, of_files)
    flat = {**under, **over, **by_hand}
    parsers = " and ".join(dict.fromkeys(note["kind"] for note in notes))
    sources = {
        parsers: {*flat} - {*of_files, *by_hand},
        ", ".join(files): {*of_files} - {*by_hand},
        "command line": {*by_hand},
    }
    counts = {source: len(names) for source, names in sources.items() if names}
    unclear = arguments.unclear(words) if own is None else []
    return Parsed(params.nested(flat), counts, unclear)


def _values(note: Mapping[str, Any]) -> dict[str, Any]:
    """Return the params that a parser arrived at, without secrets."""
    flat = params.flatten(params.plain(note["values"]))
    if note["kind"] == "hydra":
        flat = {name: _resolved(value, flat) for name, value in flat.items()}
    return params.nested({name: _without_secret(name, value) for name, value in flat.items()})


def _without_secret(name: str, value: Any) -> Any:
    hidden = isinstance(value, (str, int)) and not isinstance(value, bool)
    return redaction.HIDDEN if hidden and environment.is_secret(name, str(value)) else value


def _resolved(value: Any, flat: Mapping[str, Any], depth: int = 0) -> Any:
    """Return a value with its references (``${model.depth}``) resolved, as far as they can be."""
    if not isinstance(value, str) or "${" not in value or depth > 10:
        return value
    if (whole := re.fullmatch(_REFERENCE, value)) and whole[1] in flat:
        return _resolved(flat[whole[1]], flat, depth + 1)
    return re.sub(
        _REFERENCE,
        lambda found: str(_resolved(flat.get(found[1], found[0]), flat, depth + 1)),
        value,
    )


# -- notes of the hook -----------------------------------------------------------------------------


def _notes(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield what programs noted, in the order in which they did."""
    found: list[dict[str, Any]] = []
    for file in folder.glob("parsed-*.txt"):
        with suppress(OSError):
            for line in file.read_text("ascii", "replace").splitlines():
                with suppress(ValueError, SyntaxError, MemoryError, RecursionError):
                    found.append(ast.literal_eval(line))
    yield from sorted(found, key=lambda note: note["at"])


def jobs(folder: Path) -> list[dict[str, Any]]:
    """Return a Hydra multirun's jobs: ``folder``, ``values``, and ``at``, when it began; of those
    that came to an end ``ended``, when, and the ``error``, empty where all was well."""
    notes = [note for note in _notes(folder) if note["folder"]]
    ends = {
        note["folder"]: {"ended": note["at"], **note["values"]}
        for note in notes
        if note["kind"] == "end"
    }
    return [
        {**note, "values": _values(note), **ends.get(note["folder"], {})}
        for note in notes
        if note["kind"] != "end"
    ]


def _chosen(notes: Sequence[dict[str, Any]], words: Sequence[str]) -> list[dict[str, Any]]:
    """Return the notes of the program that the command line is for: behind launchers, the last one
    that has a part of it for its own. Where none has, as below a shell script, the outermost."""
    single = [note for note in notes if not note["folder"]]
    places = [_own(note["argv"], words) or 0 for note in single]
    if last := max(places, default=0):
        return [note for note, place in zip(single, places) if place == last]
    return [note for note in single if not note["inner"]]


def _own(argv: Sequence[str], words: Sequence[str]) -> int | None:
    """Return where a program's own arguments begin on a command line, None where it has others."""
    at = len(words) - len(argv) + 1
    if at < 1 or [*words[at:]] != environment.redact(argv[1:]):
        return None
    name = Path(argv[0]).name
    called = words[at - 1].replace("\\", "/").rpartition("/")[2]
    same = name == called or Path(name).stem in (Path(called).stem, called.rpartition(".")[2])
    return at if same or argv[0] in ("-c", "-", "") or name == "__main__.py" else None


# -- config files ----------------------------------------------------------------------------------


def config_files(command: Sequence[str], folder: Path = Path()) -> dict[str, dict[str, Any]]:
    """Return what the config files say that a command line names which is to run in a folder, by
    their names: words of their own, and values of options like ``--config``. A file that holds
    anything else is none."""
    own = arguments.start(command)
    found: dict[str, dict[str, Any]] = {}
    at = 0
    for name, values, words in arguments.options(command):
        at += len(words)
        if at <= own or not (name is None or re.fullmatch(_CONFIG, name.rpartition(".")[2])):
            continue
        for word in words if name is None else values or ():
            if word.lower().endswith(_ENDINGS) and (read := _config(folder / word)):
                found[word] = read
    return found


def _config(path: Path) -> dict[str, Any] | None:
    """Return the params in a file, nested; None where it is none of settings."""
    with suppress(OSError, GitexpError):
        small = path.is_file() and path.stat().st_size <= _MOST_BYTES
        if small and not readers.is_metrics(path.name):
            read = params.load_file(path)
            return read if len(params.flatten(read)) <= _MOST_VALUES else None
    return None
