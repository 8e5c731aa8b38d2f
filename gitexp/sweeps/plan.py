"""What a sweep is to do, frozen: the command, the space, the search, and the snapshot that all of
its trials run from.

It lies in git as ``refs/gitexp/sweeps/<group>``: a commit whose tree is the snapshot and whose
message holds the rest as one line of JSON. The ref keeps the tree from being collected, and is all
that ``--resume`` needs, after a crash or weeks later.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from gitexp.formats import message, params, settings
from gitexp.formats.errors import NotFoundError, UsageError, did_you_mean, not_started
from gitexp.repo import Repo, content, dvc_status, snapshot, trees
from gitexp.runs import finish, journal
from gitexp.store import result_paths
from gitexp.sweeps import folders
from gitexp.sweeps import space as spaces
from gitexp.sweeps.space import Point, Space

REFS = "refs/gitexp/sweeps/"
_PLACEHOLDER = re.compile(r"\{([A-Za-z_][\w.-]*)\}")
POINT = "{params}"  # in a command: the whole point, as JSON
_OTHERS = ("seed", "params", "python")


@dataclass(frozen=True)
class Plan:
    """What somebody asked for."""

    command: tuple[str, ...]  # with placeholders like ``{lr}``
    space: Space
    search: str = "grid"
    trials: int | None = None
    objective: str | None = None  # the metric to go by
    direction: str | None = None  # ``min`` or ``max``
    repeat: int = 1  # how many seeds each point runs with; they count up from ``seed``
    seed: int = 0
    prune: bool = False
    timeout: float | None = None
    retries: int = 0
    append: bool = True  # add ``--key value`` for params without a placeholder
    directory: str = "."
    links: tuple[tuple[str, str], ...] = ()  # path in the work tree, path on this machine
    workers_push: str | None = None  # the remote that workers push their trials to themselves


@dataclass(frozen=True)
class Frozen:
    """A plan with its snapshot in git."""

    group: str
    plan: Plan
    commit: str  # its tree is the snapshot
    facts: Mapping[str, Any]  # what each ``run.json`` says of the snapshot and the settings
    shot: snapshot.Snapshot | None = None  # only when it was just made
    told: str | None = None  # what is to be said of its data, then

    @property
    def tree(self) -> str:
        return str(self.facts["snapshot"]["tree"])


def of_options(
    repo: Repo, minimize: str | None = None, maximize: str | None = None, **options: Any
) -> Plan:
    """Return the plan for ``gitexp sweep``'s options by their names; raises UsageError."""
    if minimize and maximize:
        raise UsageError("a sweep goes by one metric: give --minimize or --maximize, not both")
    way = "min" if minimize else "max" if maximize else None
    return Plan(objective=minimize or maximize, direction=way, directory=below(repo), **options)


def below(repo: Repo) -> str:
    """Return where we are, below the top of the work tree; elsewhere, the top itself."""
    here = os.path.relpath(os.path.realpath(os.getcwd()), os.path.realpath(repo.root))
    return "." if here.startswith("..") else here


def check(plan: Plan) -> Plan:
    """Return the plan if it can be run, else raise UsageError: better now than in each trial."""
    for name, value, least in (
        ("repeat", plan.repeat, 1), ("retries", plan.retries, 0), ("trials", plan.trials or 1, 1)
    ):  # fmt: skip
        if not hasattr(value, "__index__") or value < least:
            raise UsageError(f"--{name} must be a whole number from {least}, not {value}")
    if plan.timeout is not None and not plan.timeout > 0:
        raise UsageError(f"--timeout must be more than 0 seconds, not {plan.timeout}")
    if plan.prune and plan.repeat > 1:
        raise UsageError("--prune judges single trials; use it without --repeat")
    if not plan.command:
        raise UsageError(
            "say what to run: gitexp sweep -p lr=0.1,0.01 -- python train.py --lr {lr}"
        )
    known = {*plan.space, *_OTHERS}
    for name in (name for word in plan.command for name in _PLACEHOLDER.findall(word)):
        if name not in known and (hint := did_you_mean(name, known)):
            raise UsageError(
                f"the command has a placeholder {{{name}}}, but no param is called so.{hint}"
            )
    program = plan.command[0]
    if not _PLACEHOLDER.search(program) and shutil.which(program) is None:
        raise not_started(program, "there is no such program")
    return plan


def fill(plan: Plan, point: Point, seed: int) -> tuple[str, ...]:
    """Return the command with a point's values in it."""
    values = {"seed": seed, "params": point, **point}
    used: set[str] = set()

    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            return match[0]
        used.add(match[1])
        return text(values[match[1]])

    words = [_PLACEHOLDER.sub(value, word) for word in plan.command]
    append = plan.append and "params" not in used
    rest = [name for name in point if append and name not in used]
    return (*words, *(word for name in rest for word in (f"--{name}", text(point[name]))))


def recorded_params(plan: Plan, point: Point, seed: int) -> dict[str, Any]:
    """Return what is logged as params: the point, and the seed where it plays a part."""
    seeded = plan.repeat > 1 or any("{seed}" in word for word in plan.command)
    return params.nest({**({"seed": seed} if seeded else {}), **point}.items())


def text(value: Any) -> str:
    """Return a value as a command line says it."""
    return value if isinstance(value, str) else json.dumps(value)


def key(point: Point, seed: int) -> str:
    """Return what makes two trials of one snapshot the same."""
    return json.dumps([point, seed], sort_keys=True)


def freeze(repo: Repo, plan: Plan, group: str | None) -> Frozen:
    """Snapshot the work tree now and keep it, with the plan, under the group's name; raises
    UsageError where the name cannot be one, or a sweep has it already."""
    known = settings.load(repo.root, repo.project)
    name = group or f"sweep-{datetime.now():%m%d}-{secrets.token_hex(2)}"
    odd = "/" in name or not name.isprintable() or name[0] == "-" or name == journal.ASIDE
    if odd or not repo.succeeds("check-ref-format", f"{REFS}{name}"):
        raise UsageError(
            f"'{name}' cannot be a group's name; use letters, digits, dots and dashes, for example"
            " wider-layers"
        )
    if repo.refs(f"{REFS}{name}"):
        raise UsageError(
            f"there is a sweep '{name}' already; to continue it: gitexp sweep --resume {name};"
            " else choose another --group"
        )
    free = result_paths.ours(repo)
    folder = folders.make(repo, name)
    settled = dvc_status.commit_changed(repo, known)
    shot = snapshot.take(repo, known, folder / "index", free, repo.found_at)
    facts = {
        "snapshot": {**finish.saved(replace(shot, taken=(), left_out=())), "index_stamp": ()},
        "free": sorted(free),
        "max_file_size": known.max_file_size,
        "conditions": settled.conditions,
    }
    asked = {**vars(plan), "space": spaces.written(plan.space)}
    title = message.one_line(f"sweep {name}: {' '.join(plan.command)}")
    text = f"{title}\n\n{json.dumps({'plan': asked, 'facts': facts})}"
    people = (f"{who} {trees.stamp()}" for who in (repo.author, repo.committer))
    commit = trees.bare_commit(repo, shot.tree, shot.head.commit, text, *people)
    repo.update_refs([f"create {REFS}{name} {commit}"], f"gitexp: sweep {name}")
    lacking = content.advice(content.missing(repo, repo.root), repo.root)
    told = "; ".join(filter(None, (settled.told, lacking)))
    return Frozen(name, plan, commit, facts, shot, told or None)


def load(repo: Repo, group: str) -> Frozen:
    """Return what was frozen under a group's name; raises NotFoundError."""
    commit = repo.refs(f"{REFS}{group}").get(f"{REFS}{group}") if group else None
    if commit is None:
        known = [ref.removeprefix(REFS) for ref in repo.refs(REFS)]
        hint = did_you_mean(group, known) or (
            f" Sweeps here: {', '.join(known[-5:])}" if known else " None was started in this clone"
        )
        raise NotFoundError(f"there is no sweep '{group}'.{hint}")
    found = next(repo.objects([commit]))
    assert found is not None
    try:
        said = json.loads(found.data.decode().rstrip("\n").rpartition("\n")[2])
        asked = {**said["plan"], "space": spaces.from_mapping(said["plan"]["space"])}
        asked["command"] = tuple(asked["command"])
        asked["links"] = tuple((path, target) for path, target in asked["links"])
        return Frozen(group, Plan(**asked), commit, said["facts"])
    except (ValueError, KeyError, TypeError):
        raise UsageError(
            f"the sweep '{group}' was written by another version of gitexp and cannot be resumed;"
            " start a new one"
        ) from None


def drop(repo: Repo, frozen: Frozen) -> None:
    """Forget a sweep that could not begin."""
    change = f"delete {REFS}{frozen.group} {frozen.commit}"
    repo.update_refs([change], f"gitexp: sweep {frozen.group} did not begin")
    shutil.rmtree(folders.make(repo, frozen.group), ignore_errors=True)
