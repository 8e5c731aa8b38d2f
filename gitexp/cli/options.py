"""What commands share: the options of whatever records one experiment, the question about changed
data, and help in sections."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from gitexp.cli import output
from gitexp.cli.declare import PATH, Command, option, together
from gitexp.formats.errors import UsageError
from gitexp.formats.message import some
from gitexp.repo import untracked
from gitexp.repo.dvc_pointers import listed
from gitexp.repo.dvc_status import Stale, Talk

if TYPE_CHECKING:
    from gitexp.compare.judge import Score, Trusted
    from gitexp.formats.experiment import Experiment
    from gitexp.repo import Repo
    from gitexp.repo.snapshot import Snapshot
    from gitexp.store.record import Recorded


# what a ``Details`` has, beside ``--message``
recording_options = together(
    option("--note TEXT", "More text, the body of the commit message.", default=""),
    option("--because TEXT", "Why it is tried; list, show, tree and book show it."),
    option("-l, --label WORD...", "A label.", "labels"),
    option("--group NAME", "The group that it belongs to."),
    option("--name TAG", "A tag name to use instead of exp-N."),
    option(
        "--input PATH...",
        "A file or folder that the run reads; its hash is recorded.",
        "inputs",
        type=PATH,
    ),
    option(
        "--sign/--no-sign", "Have git sign the tag, with GPG or SSH (default: the setting 'sign')."
    ),
    option(
        "--advance/--no-advance",
        "Move the branch to the experiment where that is a fast-forward (default: yes).",
    ),
)


def param_option(text: str) -> Callable[[Command], Command]:
    """Give a command ``--param``, with this help; it gets ``given``, nested as the names say."""

    def nested(_: click.Context, __: click.Parameter, given: Sequence[str]) -> dict[str, Any]:
        from gitexp.formats import params

        return params.nest(map(params.parse_assignment, given))

    return option("-p, --param K=V...", text, "given", callback=nested)


def params_options(text: str) -> Callable[[Command], Command]:
    """Give a command ``--param``, with this help, and ``--params-file``; it gets ``given`` and
    ``params_file``."""
    whole = "Params from YAML, JSON or TOML; later ones win."
    return together(param_option(text), option("--params-file FILE...", whole, type=PATH))


def unless(name: str, text: str) -> Callable[[Command], Command]:
    """Give a command ``--no-NAME``; it gets ``NAME``, which holds without it."""
    return option(f"--no-{name}", text, name, callback=lambda _, __, given: not given)


def judge_options(function: Command) -> Command:
    """Give a command ``--judge`` and ``--trusted``."""
    judge = (
        "A command that gives the score; it gets --trusted's files and the experiment's outputs."
    )
    by = "The commit whose judge, data and setting 'protect' count: a branch, tag or commit."
    return together(
        option("--judge COMMAND", judge), option("--trusted REF", by, shell_complete=None)
    )(function)


def agreed_judge(repo: Repo, command: str | None, name: str | None) -> Trusted | None:
    """Return the commit that is trusted, None where none is asked for."""
    if name is None and command is None:
        return None
    from gitexp.compare import judge

    if name is None:
        raise UsageError(
            "whose judge? A run may have changed its own: --trusted REF, a branch or tag that the"
            " experiments cannot change"
        )
    if command is not None:
        judge.words_of(command)
    by = judge.trusted(repo, name, command)
    output.say(f"judged by {by.shown}")
    return by


def judged(repo: Repo, item: Experiment, by: Trusted) -> Score:
    """Judge an experiment, note on it what came out, and say so."""
    from gitexp.compare import judge
    from gitexp.store import notes

    found = judge.score(repo, item, by, sys.stderr)
    notes.add(repo, [item.id], [judge.event(found, by)])
    if found.left_out:
        output.say(f"kept from the judge, because it is code: {some(found.left_out)}")
    why = judge.score_problem(item, found)
    values = (f"{name}={value:.6g}" for name, value in found.metrics.items())
    said = f"score of {item.name}: {', '.join(values)}"
    if not by.command:
        said = f"{item.name}: protected files are as in {by.shown}"
    output.say(why or said)
    return found


def report(recorded: Recorded, shot: Snapshot) -> None:
    """Print the name and commit on stdout; on stderr what entered, what did not, and where the
    branch went."""
    if shot.taken:
        output.say(f"untracked files taken: {some(shot.taken, 8)}")
    for line in untracked.left_out_lines(shot.left_out, recorded.kept):
        output.say(line)
    no_files = ("a submodule", "a git repository", "kept by DVC")
    if any(not (path in recorded.kept or why.startswith(no_files)) for path, why in shot.left_out):
        output.say(
            "to include such files anyway, git add them, or name them in the setting 'include'"
            " ([tool.gitexp])"
        )
    for warning in recorded.warnings:
        output.warn(warning)
    if recorded.advanced:
        output.say(f"branch {recorded.advanced} moved to {recorded.experiment.name}")
    else:
        why = f"the branch did not move ({recorded.beside})"
        output.say(f"{why}; only the tag holds the experiment")
    click.echo(f"{recorded.experiment.name} {recorded.experiment.short}")


def confirmed(question: str, refusal: str) -> None:
    """Go on where the user says so; raise UsageError where nobody can be asked."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(refusal)
    click.confirm(question, abort=True, err=True)


def talk() -> Talk:
    """Return how to talk with the user, who is asked only at a terminal."""
    return Talk(_ask if sys.stdin.isatty() and sys.stderr.isatty() else None, output.say)


def _ask(found: Sequence[Stale]) -> bool:
    output.say(f"changed since the last dvc commit: {listed(item.path for item in found)}")
    question = "Run `dvc commit` for changed data before each recording? (asked once)"
    said = click.confirm(question, default=True, err=True)
    output.say(
        "kept for this clone; to set it for everybody, or to change it: dvc_commit ="
        f" {'true' if said else 'false'} in .gitexp.toml"
    )
    return said


class Sectioned(click.Command):
    """A command whose options come in sections.

    Args:
        sections: the name of the option that each section begins with, and the section's title.
        examples: shown last, a line each.
    """

    def __init__(
        self, *args: Any, sections: Mapping[str, str], examples: str, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._sections, self._examples = sections, examples

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        found: dict[str, list[tuple[str, str]]] = {}
        title = "Options"
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            title = self._sections.get(param.name or "", title)
            if record:
                found.setdefault(title, []).append(record)
        for title, records in found.items():
            with formatter.section(title):
                formatter.write_dl(records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Examples"):
            for line in self._examples.strip().splitlines():
                formatter.write(f"{'':{formatter.current_indent}}{line}\n" if line else "\n")
