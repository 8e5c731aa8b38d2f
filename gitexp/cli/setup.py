"""``gitexp init`` and ``gitexp doctor``: prepare a repository, and find and mend what is wrong with
it."""

from __future__ import annotations

import os
from pathlib import Path

import click

import gitexp
from gitexp.cli import output
from gitexp.cli.declare import option
from gitexp.formats import settings
from gitexp.formats.errors import GitexpError
from gitexp.formats.settings import FILE_NAME
from gitexp.repo import Repo, surroundings
from gitexp.runs import doctor

_SETTINGS = """\
# Settings of gitexp; all are optional, and these are what holds without this file.
# advance = true               # move the branch onto an experiment where that is a fast-forward
# max_file_size = "10MB"       # a larger untracked file stays out of a snapshot
# max_untracked_files = 1000   # with more untracked files than this, none are taken
# max_untracked_size = "100MB"
# include = []                 # globs of untracked paths that are always taken
# exclude = []                 # globs of untracked paths that are never taken
# scan_secrets = true          # look for secrets in untracked files
# dvc_commit = true            # run `dvc commit` for changed data first (not set: asked once)
# owner = "ada"                # what this clone is called on remotes (not set: what user.name says)
# push_tags_up_to = 1000       # past this many tags there, experiments/OWNER alone carries more
# protect = ["eval.py"]        # what the judge of a score needs (gitexp gate --judge, --trusted)
# maintenance = true           # have git pack objects now and then, beside the runs
# notify = ["bell"]            # who is told when a run ends; or "webhook:VARIABLE"
# sign = false                 # have git sign each experiment's tag

# [metrics]                    # which way is better, where the name does not tell
# my_score = "max"
"""
_COMPLETION = {
    "bash": ("~/.bashrc", 'eval "$(_GITEXP_COMPLETE=bash_source gitexp)"'),
    "zsh": ("~/.zshrc", 'eval "$(_GITEXP_COMPLETE=zsh_source gitexp)"'),
    "fish": (
        "~/.config/fish/completions/gitexp.fish",
        "_GITEXP_COMPLETE=fish_source gitexp | source",
    ),
}


@click.command("init")
def init_command() -> None:
    """Write a settings file with everything commented out, and show how to set up Tab completion.

    Nothing needs it: gitexp works in any git repository. A settings file that is there already
    stays as it is.
    """
    repo = Repo.discover()
    try:
        with open(repo.root / FILE_NAME, "x", encoding="utf-8") as file:
            file.write(_SETTINGS)
        click.echo(f"wrote {FILE_NAME}; edit it, and commit it with your code")
    except FileExistsError:
        click.echo(f"{FILE_NAME} is there already and stays as it is")
    except OSError as error:
        raise GitexpError(
            f"{FILE_NAME} cannot be written: {error.strerror}; check the permissions"
        ) from None
    output.say(
        "with thousands of experiments, git log is faster without their names beside the commits:"
    )
    output.say(f"  {doctor.QUICK_LOG}")
    shell = Path(os.environ.get("SHELL", "")).name
    for name in [shell] if shell in _COMPLETION else _COMPLETION:
        file_name, line = _COMPLETION[name]
        what = f"to complete experiments, params and metrics on Tab in {name}"
        output.say(f"{what}, add to {file_name}:")
        output.say(f"  {line}")


@click.command("doctor")
@option("--fix", "Repair what can be repaired safely.")
@option(
    "--explain", "Print which of git's features this repository uses, and how gitexp treats them."
)
def doctor_command(fix: bool, explain: bool) -> int:
    """Look for leftovers of killed processes, lost tags and damage, and repair them with --fix.

    Nothing that is still in use is removed. Exit code 0 where all is well, 1 where something is
    left to do.

    \b
    gitexp doctor --fix
    """
    repo = Repo.discover()
    if explain:
        known = settings.load(repo.root, repo.project)
        for what, how in surroundings.explain(repo, known, gitexp.__version__):
            click.echo(f"{output.clean(what)}: {how}")
        return 0
    left = 0
    findings = doctor.examine(repo)
    for finding in findings:
        mended = False
        if fix and finding.mend:
            try:
                finding.mend()
                mended = True
            except (GitexpError, OSError) as error:
                output.say(f"could not be repaired: {error}")
        click.echo(f"{'mended' if mended else 'found'}: {output.clean(finding.what)}")
        if finding.advice:
            click.echo(f"  {output.clean(finding.advice)}")
        left += not mended
    if not findings:
        click.echo("all is well")
    elif not fix and any(finding.mend for finding in findings):
        output.say("to repair what can be repaired: gitexp doctor --fix")
    return 1 if left else 0
