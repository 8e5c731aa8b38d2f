"""``gitexp label``, ``note`` and ``rm``: what people do to an experiment afterwards. Its commit
never changes."""

from __future__ import annotations

from typing import BinaryIO

import click

from gitexp.cli import completion, output
from gitexp.cli.opened import opened
from gitexp.formats.errors import NotFoundError, UsageError
from gitexp.store import notes, record, reference


class _Signed(click.Command):
    """Lets ``-word`` stand among the arguments, which click would read as a cluster of options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        signed = [
            (
                f"--remove={word[1:]}"
                if word[:1] == "-" and word not in ("-h", "-") and word[:2] != "--"
                else word
            )
            for word in args
        ]
        return super().parse_args(ctx, signed)


@click.command("label", cls=_Signed)
@click.argument(
    "words",
    nargs=-1,
    required=True,
    metavar="REF... [+LABEL]... [-LABEL]...",
    shell_complete=completion.refs,
)
@click.option("--remove", multiple=True, metavar="LABEL", help="The same as -LABEL.")
def label_command(words: tuple[str, ...], remove: tuple[str, ...]) -> None:
    """Add labels (+LABEL) to experiments, or remove them (-LABEL).

    Prints the labels that each experiment has then. Without any change it just prints them.

    \b
    Examples:
      gitexp label exp-5 +baseline
      gitexp label exp-3..exp-7 +wide -old
    """
    repo, settings, index = opened()
    add = [notes.check_label(word[1:]) for word in words if word.startswith("+")]
    drop = [notes.check_label(word) for word in remove]
    if both := set(add) & set(drop):
        raise UsageError(f"'{min(both)}' cannot be added and removed at once")
    refs = [word for word in words if not word.startswith("+")]
    if not refs:
        raise UsageError("which experiment? Write for example: gitexp label exp-5 +baseline")
    todo: dict[tuple[str, ...], list[str]] = {}
    lines = []
    try:
        found = reference.resolve_many(index, refs, settings)
    except NotFoundError as error:
        if len(refs) > 1 and not add and not drop:  # a label, most likely
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
        lines.append(
            f"{item.name}: {', '.join(notes.Notes(changes).labels(item.labels)) or '(no labels)'}"
        )
    for changes, commits in todo.items():
        notes.add(repo, commits, [{"label": change} for change in changes])
    click.echo("\n".join(map(output.clean, lines)))


@click.command("note")
@click.argument("ref", shell_complete=completion.refs)
@click.argument("text", nargs=-1)
@click.option(
    "--file",
    "-F",
    "file",
    type=click.File("rb"),
    help="Read the text from this file; - is standard input.",
)
def note_command(ref: str, text: tuple[str, ...], file: BinaryIO | None) -> None:
    """Add a note to the experiment REF.

    \b
    Examples:
      gitexp note exp-5 'the learning rate was too high'
      gitexp note exp-5 -F thoughts.txt
    """
    if file is not None and text:
        raise UsageError("the text is given twice, as words and with --file; leave one out")
    written = (file.read().decode("utf-8", "replace") if file else " ".join(text)).strip()
    if not written:
        raise UsageError("a note needs a text: gitexp note exp-5 'what I saw', or -F FILE")
    repo, settings, index = opened()
    found = reference.resolve(index, ref, settings)
    notes.add(repo, [found.id], [{"note": written}])
    click.echo(f"{found.name}: noted; to read it: gitexp show {found.name}")


@click.command("rm")
@click.argument("refs", nargs=-1, required=True, metavar="REF...", shell_complete=completion.refs)
def rm_command(refs: tuple[str, ...]) -> None:
    """Remove the tags of experiments, so that they are no longer listed.

    A commit on a branch stays for ever, any other until git's garbage collection (weeks). Prints
    the commands that restore the tags. Other clones and remotes keep theirs.

    \b
    Example:
      gitexp rm exp-5
    """
    repo, settings, index = opened()
    found = reference.resolve_many(index, refs, settings)
    mine = repo.refs(*(f"refs/tags/{item.name}" for item in found))
    for item in found:
        if f"refs/tags/{item.name}" not in mine:
            raise UsageError(
                f"{item.name} lies on a remote and has no tag of its own here; nothing was removed"
            )
    for item in found:
        undo = record.remove(repo, item)
        output.say(f"removed {item.name}; to bring it back:")
        click.echo(undo)
