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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gitexp.formats import environment, params, redaction
from gitexp.formats.errors import GitexpError
from gitexp.runs import arguments

_HOOK = Path(__file__).with_name("startup")
_CONFIG = re.compile(
    r"(?:.*_)?(?:config|cfg|conf|params|hparams|hyp|args|options|settings|recipe|experiment|opt)s?"
    r"(?:_?(?:file|path|name|yaml|json|toml))?|[a-z]",
    re.IGNORECASE,
)
_ENDINGS = (".yaml", ".yml", ".json", ".toml", ".py")
_MOST_BYTES = 10**6
_MOST_VALUES = 1_000  # of a file that is still one of settings
_FINAL = frozenset(("script", "hydra", "jsonargparse"))  # have read the files themselves
_REFERENCE = re.compile(r"\$\{([\w.]+)\}")


@dataclass
class Parsed:
    """The params of a command.

    Attributes:
        counts: how many of them come from where.
        unclear: words that may be values of an option, or not.
    """

    params: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    unclear: list[str] = field(default_factory=list)


def environ(env: Mapping[str, str]) -> dict[str, str]:
    """Return a command's environment with the hook in it."""
    path = [str(_HOOK), *filter(None, [env.get("PYTHONPATH")])]
    kept = {name: value for name, value in env.items() if name != "GITEXP_PARSED"}  # of a run above
    return {**kept, "PYTHONPATH": os.pathsep.join(path)}


def of_run(folder: Path, facts: Mapping[str, Any]) -> Parsed:
    """Return the params of a run's command, as far as they are known by now.

    Args:
        facts: what ``run.json`` says of the run: its ``command`` and how to read its ``arguments``.
    """
    how = facts.get("arguments")
    if not isinstance(how, dict):
        return Parsed()
    files: Mapping[str, dict[str, Any]] = how["files"]
    of_files: dict[str, Any] = {}
    for values in files.values():
        of_files = params.merge(of_files, values)
    words: list[str] = (facts.get("command") or []) if how["read"] else []
    if not words:
        return Parsed(of_files, {name: len(params.flatten(one)) for name, one in files.items()})
    return _joined(words, _chosen([*_notes(folder)], words), of_files, files)


def _joined(
    words: Sequence[str],
    notes: Sequence[Mapping[str, Any]],
    of_files: dict[str, Any],
    files: Iterable[str],
) -> Parsed:
    """Lay what was given over what files say, and that over what a parser has by itself."""
    own = _own(notes[-1]["argv"], words) if notes else None
    given = arguments.as_params(words, own)
    names = {*params.flatten(given)}
    flat: dict[str, Any] = {}
    for note in notes:  # a second parser may not know what the first one got
        more = params.flatten(_values(note)).items()
        flat.update({key: value for key, value in more if value is not None or key not in flat})
    of_parser = arguments.nested(flat)
    result = params.merge(of_parser, of_files)
    if notes and notes[-1]["kind"] in _FINAL:
        result = params.merge(of_files, of_parser)
    if own is not None:  # the parser has read it, but for what is left and stands before it
        rest = [*words[: own - 1], *environment.redact(notes[-1]["left"])]
        given = arguments.as_params(rest)
    told = arguments.nested({name: value for name, value in flat.items() if name in names})
    result = params.merge(params.merge(result, _lacking(given, flat)), told)
    every = {*params.flatten(result)}
    by_file = {*params.flatten(of_files)} & every
    by_hand = (names & {*flat} | {*params.flatten(given)} - {*flat}) & every
    counts = {
        " and ".join(dict.fromkeys(note["kind"] for note in notes)): len(every - by_file - by_hand),
        ", ".join(files): len(by_file - by_hand),
        "command line": len(by_hand),
    }
    unclear = arguments.unclear(words) if own is None else []
    return Parsed(result, {name: count for name, count in counts.items() if count}, unclear)


def _lacking(given: Mapping[str, Any], flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is given on the command line and no parser has."""
    return arguments.nested(
        {name: value for name, value in params.flatten(given).items() if name not in flat}
    )


def _values(note: Mapping[str, Any]) -> dict[str, Any]:
    """Return the params that a parser arrived at, without secrets."""
    flat = params.flatten(params.plain(note["values"]))
    if note["kind"] == "hydra":
        flat = {name: _resolved(value, flat) for name, value in flat.items()}
    return arguments.nested({name: _without_secret(name, value) for name, value in flat.items()})


def _without_secret(name: str, value: Any) -> Any:
    hidden = isinstance(value, (str, int)) and not isinstance(value, bool)
    return redaction.HIDDEN if hidden and environment.is_secret(name, str(value)) else value


def _resolved(value: Any, flat: Mapping[str, Any], depth: int = 0) -> Any:
    """Return a value with what it refers to (``${model.depth}``) in its place; what only Hydra can
    work out stays."""
    if not isinstance(value, str) or "${" not in value or depth > 10:
        return value
    if (whole := _REFERENCE.fullmatch(value)) and whole[1] in flat:
        return _resolved(flat[whole[1]], flat, depth + 1)
    return _REFERENCE.sub(
        lambda found: str(_resolved(flat.get(found[1], found[0]), flat, depth + 1)), value
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
    """Return the jobs of a Hydra multirun: each one's ``folder``, ``values`` and when it began
    (``at``)."""
    return [{**note, "values": _values(note)} for note in _notes(folder) if note["folder"]]


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


def config_files(command: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return what the config files say that a command line names, by their names: words of their
    own, and values of options like ``--config``. A file that holds anything else is none."""
    own = arguments.start(command)
    found: dict[str, dict[str, Any]] = {}
    at = 0
    for name, values, words in arguments.options(command):
        at += len(words)
        if at <= own or not (name is None or _CONFIG.fullmatch(name.rpartition(".")[2])):
            continue
        for word in words if name is None else values or ():
            if word.lower().endswith(_ENDINGS) and (read := _config(Path(word))):
                found[word] = read
    return found


def _config(path: Path) -> dict[str, Any] | None:
    with suppress(OSError, GitexpError):
        if path.is_file() and path.stat().st_size <= _MOST_BYTES:
            read = params.load_file(path)
            return read if len(params.flatten(read)) <= _MOST_VALUES else None
    return None
