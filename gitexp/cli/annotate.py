"""``gitexp label``, ``note``, ``rename`` and ``rm``: what people do to an experiment afterwards.

Its commit never changes.
"""

from __future__ import annotations

import re
import shlex
import sys
from typing import Any, BinaryIO

import click

from gitexp.cli import output
from gitexp.cli.declare import argument, option
from gitexp.cli.opened import Selection, chosen, opened, where_option
from gitexp.cli.options import confirmed
from gitexp.formats import redaction
from gitexp.formats.errors import NotFoundError, UsageError
from gitexp.formats.experiment import Experiment
from gitexp.formats.message import some
from gitexp.repo import Repo
from gitexp.store import names, notes, record, reference


class _Signed(click.Command):
    """Lets ``-word`` stand among the arguments, which click would read as a cluster of options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        signed = [re.sub(r"^-(?!-|h\Z|\Z)", "--remove=", word) for word in args[:end]]
        return super().parse_args(ctx, [*signed, *args[end:]])


@click.command("label", cls=_Signed)
@argument("REF... [+LABEL]... [-LABEL]...", "words")
@option("--remove LABEL...", "The same as -LABEL.")
@where_option
def label_command(words: tuple[str, ...], remove: tuple[str, ...], where: str | None) -> None:
    """Add labels (+LABEL) to experiments, or remove them (-LABEL).

    Prints the labels that each experiment has then. Without any change it just prints them.

    \b
    Examples:
      gitexp label exp-5 +baseline
      gitexp label exp-3..exp-7 +wide -old
      gitexp label --where 'status = failed' +broken
    """
    repo, settings, index = opened()
    add = [names.check_label(word[1:]) for word in words if word.startswith("+")]
    drop = [names.check_label(word) for word in remove]
    drop += [names.check_label(word[1:]) for word in words if word.startswith("-")]  # after --
    if both := set(add) & set(drop):
        raise UsageError(f"'{min(both)}' cannot be added and removed at once")
    refs = [word for word in words if word[:1] not in ("+", "-")]
    if not refs and not where:
        raise UsageError("which experiment? Write for example: gitexp label exp-5 +baseline")
    todo: dict[tuple[str, ...], list[str]] = {}
    lines = []
    try:
        found = chosen(index, settings, Selection(refs, where))
    except NotFoundError as error:
        # a label, most likely
        if len(refs) > 1 and not add and not drop and f"'{refs[-1]}'" in str(error):
            raise NotFoundError(
                f"{str(error).partition('. ')[0]}; to add a label: gitexp label {refs[0]}"
                f" +{refs[-1]}"
            ) from None
        raise
    for item in found:
        for word in drop:
            if word not in item.labels:
                output.say(f"{item.name} has no label '{word}'")
        changes = (
            *(f"+{word}" for word in add if word not in item.labels),
            *(f"-{word}" for word in drop if word in item.labels),
        )
        if changes:
            todo.setdefault(changes, []).append(item.id)
        labels = ", ".join(notes.Notes(changes).labels(item.labels))
        labels = redaction.redact_all(labels) if settings.scan_secrets else labels
        lines.append(f"{item.name}: {labels or '(no labels)'}")
    for changes, commits in todo.items():
        notes.add(repo, commits, [{"label": change} for change in changes])
    click.echo("\n".join(map(output.clean, lines)))


@click.command("note")
@argument("REF")
@argument("[TEXT]...")
@option(
    "-F, --file FILE", "Read the text from this file; - is standard input.", type=click.File("rb")
)
@option("--edit", "Replace the last note, without TEXT in your editor.")
@option("--remove", "Remove the last note.")
@option("--number N", "The note to edit or remove, counted from 1, instead of the last.")
def note_command(
    ref: str,
    text: tuple[str, ...],
    file: BinaryIO | None,
    edit: bool,
    remove: bool,
    number: int | None,
) -> None:
    """Add a note to the experiment REF, or edit or remove one that was added.

    What a note said before stays in the history of git's notes, refs/notes/gitexp. The text of
    gitexp log --note is part of the commit and never changes.

    \b
    Examples:
      gitexp note exp-5 'the learning rate was too high'
      gitexp note exp-5 -F thoughts.txt
      gitexp note exp-5 --edit 'the learning rate was fine'
      gitexp note exp-5 --remove --number 1
    """
    if file is not None and text:
        raise UsageError("the text is given twice, as words and with --file; leave one out")
    if remove and (edit or file or text):
        raise UsageError("--remove takes neither a text nor --edit; leave one out")
    if number and not (edit or remove):
        raise UsageError("--number says which note to change; add --edit or --remove")
    repo, settings, index = opened()
    found = reference.resolve(index, ref, settings)
    written = (file.read().decode("utf-8", "replace") if file else " ".join(text)).strip()
    event: dict[str, Any] = {}
    if edit or remove:
        event["replaces"], old = _noted(repo, found, number)
        if edit and not written:
            written = _edited(old)
    if not remove:
        if not written:
            raise UsageError("a note needs a text: gitexp note exp-5 'what I saw', or -F FILE")
        event["note"] = written
    notes.add(repo, [found.id], [event])
    done = "removed" if remove else "changed" if edit else "noted"
    click.echo(f"{found.name}: {done}; to read it: gitexp show {found.name}")


def _noted(repo: Repo, found: Experiment, number: int | None) -> tuple[str, str]:
    """Return what names a note of an experiment, the last one by itself, and its text."""
    said = notes.events_of(repo, found.id)
    if not said.texts or (number or 1) > len(said.texts):
        count = output.counted(len(said.texts), "note") if said.texts else "no note"
        were = "were" if len(said.texts) > 1 else "was"
        raise UsageError(
            f"{found.name} has {count} that {were} added later; to see all: gitexp show"
            f" {found.name}"
        )
    at = (number or len(said.texts)) - 1
    return said.keys[at], said.texts[at]


def _edited(text: str) -> str:
    """Return a text as the user leaves it in an editor; what a repository names as its editor is
    not run."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("no terminal is here for an editor; write the text after --edit")
    return (click.edit(text, require_save=False) or "").strip()


@click.command("rename")
@argument("REF")
@argument("NAME")
def rename_command(ref: str, name: str) -> None:
    """Give the experiment REF a second name, which works wherever a REF does.

    Its first name goes on working, here and wherever it was pushed. The second one is a git note:
    gitexp push and pull bring it to others, and a later one replaces it; giving the first name
    again removes it.

    \b
    Examples:
      gitexp rename exp-7 baseline-v2
      gitexp rename baseline-v2 exp-7
    """
    repo, settings, index = opened()
    found = reference.resolve(index, ref, settings)
    event = names.alias(repo, found, name)
    notes.add(repo, [found.id], [event])
    also = f", also called {event['alias']}" if event["alias"] else " has no second name any more"
    click.echo(output.clean(f"{found.name}{also}"))


@click.command("rm")
@argument("[REF]...", "refs")
@where_option
@option("-y, --yes", "With --where: do not ask.")
def rm_command(refs: tuple[str, ...], where: str | None, yes: bool) -> None:
    """Remove the tags of experiments, so that they are no longer listed.

    A commit on a branch stays for ever, any other until git's garbage collection (weeks). Prints
    the commands that restore the tags. Other clones and remotes keep theirs.

    \b
    Examples:
      gitexp rm exp-5
      gitexp rm --where 'status = failed and started < 30d'
    """
    if not refs and not where:
        raise UsageError("which experiment? Write for example: gitexp rm exp-5")
    repo, settings, index = opened()
    found = chosen(index, settings, Selection(refs, where))
    if where and not yes:
        names = some([output.clean(item.name) for item in found], 5)
        what = f"{output.counted(len(found), 'experiment')} ({names})"
        refusal = f"this removes {what}, and nobody is here to ask; to go ahead: --yes"
        confirmed(f"Remove {what}?", refusal)
    folder = click.get_current_context().find_root().params.get("folder")
    there = f"git -C {shlex.quote(folder)} " if folder else "git "
    for item, undo in zip(found, record.remove(repo, found)):
        output.say(f"removed {item.name}; to bring it back:")
        click.echo(undo.replace("git ", there, 1))
