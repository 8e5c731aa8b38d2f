"""``gitexp checkout`` and ``get``: an experiment whole, or files of it."""

from __future__ import annotations

from pathlib import Path

import click

from gitexp.cli import output
from gitexp.cli.declare import PATH, argument, option
from gitexp.cli.opened import opened
from gitexp.cli.options import unless
from gitexp.formats.errors import UsageError
from gitexp.store import checkout, reference


@click.command("checkout")
@argument("REF")
@option("-b BRANCH", "Create a branch there; else HEAD is detached.", "branch")
@option(
    "--stash", "Put work that is in the way aside with git stash, and print how to get it back."
)
@option("--worktree DIR", "Check out into another folder; this one stays as it is.", type=PATH)
@option("--params-only", "Restore only its params file.")
@option("--code-only", "Restore its code without the results; HEAD stays where it is.")
@option(
    "--recurse-submodules",
    "Also check out its submodules, each at the commit that it recorded.",
    "recurse",
)
@unless("data", "Leave data that DVC tracks as it is.")
def checkout_command(
    ref: str,
    branch: str | None,
    stash: bool,
    worktree: Path | None,
    params_only: bool,
    code_only: bool,
    recurse: bool,
    data: bool,
) -> None:
    """Go back to the experiment REF: its code, params and results, and the data that DVC tracks.

    Never loses work: it refuses where there are uncommitted changes, other than params and metrics
    that are recorded in an experiment. Prints the command that undoes it. Where REF is a branch on
    an experiment, it goes onto the branch.

    \b
    Examples:
      gitexp checkout exp-5
      gitexp checkout best:rmse -b from-the-best
      gitexp checkout 5 --worktree ../exp-5
      gitexp checkout 5 --params-only
    """
    if params_only + code_only + bool(worktree) > 1:
        raise UsageError("choose one of --worktree, --params-only and --code-only")
    if branch and (params_only or code_only):
        raise UsageError(
            "-b creates a branch at the whole experiment; leave out -b, or --params-only and"
            " --code-only"
        )
    if recurse and params_only:
        raise UsageError("--params-only restores one file; leave out --recurse-submodules")
    if stash and worktree:
        raise UsageError("--worktree leaves this work tree as it is; there is nothing to --stash")
    repo, settings, index = opened()
    target = reference.resolve(index, ref, settings)
    if worktree:
        done = checkout.add_worktree(repo, target, worktree, branch, data, recurse)
    elif params_only:
        done = checkout.take_params(repo, index, target, stash)
    elif code_only:
        done = checkout.take_code(repo, index, target, stash, recurse)
    else:
        on = None if branch or repo.tip(f"refs/heads/{ref}") != target.id else ref
        done = checkout.checkout(repo, index, target, branch, stash, Path.cwd(), data, recurse, on)
    click.echo(output.clean(done.text))
    for note in done.notes:
        output.say(note)
    if done.undo:
        output.say(f"to undo it: {done.undo}")


@click.command("get")
@argument("REF")
@argument("PATH...", "paths")
@option(
    "-o, --output DIR",
    "The folder to write into (default: the one you are in).",
    "to",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
)
@option("-f, --force", "Overwrite files that are there.")
def get_command(ref: str, paths: tuple[str, ...], to: Path, force: bool) -> None:
    """Copy files of the experiment REF into a folder, without a checkout.

    PATH is a path in the experiment's tree, where .gitexp/artifacts/ may be left out, a folder, or
    a pattern in quotes. What Git LFS, git-annex or DVC keeps arrives with its content. Prints what
    was written.

    \b
    Examples:
      gitexp get exp-5 model.pkl
      gitexp get best:rmse 'plots/*.png' -o figures
    """
    repo, settings, index = opened()
    found = reference.resolve(index, ref, settings)
    for path in repo.download(found.id, paths, to, force, found.name):
        click.echo(output.clean(str(path)))
