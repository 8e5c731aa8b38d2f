"""What messages tell people to type: every command that the package names exists with its options,
and the hints of common situations end these situations when they are typed."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click

from gitexp.cli import cli

ROOT = Path(__file__).parents[1]
WORD = r"(?:'[^'\n]*'|\"[^\"\n]*\"|[^\s;,()`|&<>'\"]|,(?=\S))+"
# what stands behind a colon or another command is to be typed; elsewhere prose may go on behind it
COMMAND = re.compile(rf"(: |&& )?(?<![\w/.'\"-])((?:gitexp|git)(?= [a-z-])(?: {WORD})+)")
EXAMPLES = re.compile(r"^\x08\n.*?(?:\n\n|\Z)", re.DOTALL | re.MULTILINE)  # of a command's help
SPOKEN = {  # words behind gitexp's name where it is spoken of
    *("and", "can", "does", "holds", "into", "is", "itself", "locks", "made", "needs", "signs"),
    *("treats", "works", "writes"),
}


@cache
def texts() -> list[tuple[str, str]]:
    """Return the place and the text of each string that people may see: of the package, its help
    and the page's scripts; what is filled in is an X."""
    found = []
    for path in sorted((ROOT / "gitexp").rglob("*.py")):
        todo: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
        while todo:
            node = todo.pop()
            text = _text(node)
            if text is None:
                todo += [item for item in ast.iter_child_nodes(node) if not _is_doc(path, item)]
            else:
                found.append((f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}", text))
    for path in sorted((ROOT / "gitexp").rglob("*.js")):
        found.append((str(path.relative_to(ROOT)), re.sub(r"\$\{[^}]*\}", "X", path.read_text())))
    return found


def _is_doc(path: Path, node: ast.AST) -> bool:
    """Whether a node is a docstring that is no help."""
    return (
        isinstance(node, ast.Expr) and _text(node.value) is not None and path.parent.name != "cli"
    )


def _text(node: ast.AST) -> str | None:
    """Return a string with an X for each value that is filled in; None for what is no string."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        text = inspect.cleandoc(node.value) if "\n" in node.value else node.value
        return EXAMPLES.sub(lambda part: re.sub(r"\n *(?=gitexp )", "\n: ", part[0]), text)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) or "" for part in node.values)
    if isinstance(node, ast.FormattedValue):
        one = node.value
        return (_text(one.body) if isinstance(one, ast.IfExp) else None) or "X"
    return None


def named(program: str) -> Iterator[tuple[str, bool, list[str]]]:
    """Yield where a command of the program is named, whether to be typed, and its words."""
    for place, text in texts():
        for match in COMMAND.finditer(text):
            words = shlex.split(match[2].rstrip(".:?"))
            if words[0] == program and words[1] not in SPOKEN:
                yield f"{place}: {match[2]}", bool(match[1]), words[1:]


def understood(words: list[str], whole: bool) -> None:
    """Require a command of gitexp's with these options, and where it is ``whole`` its arguments."""
    command: click.Command = cli
    context = click.Context(cli, info_name="gitexp")
    while isinstance(command, click.Group):
        _, words, _ = command.make_parser(context).parse_args([*words])
        if not words or words[0] == "X":
            return
        command = command.get_command(context, words[0]) or context.fail(words[0])
        context, words = click.Context(command, context, words[0]), words[1:]
    if not whole:
        options = {name for item in command.params for name in (*item.opts, *item.secondary_opts)}
        words = words[: words.index("--")] if "--" in words else words
        assert {word.partition("=")[0] for word in words if word[:2] == "--"} <= {
            *options,
            "--help",
        }
        return
    try:
        command.make_context(context.info_name, words, context.parent)
    except click.exceptions.Exit:  # --help
        pass
    except click.MissingParameter:
        raise
    except click.BadParameter:  # an X is no number
        pass


def test_each_command_of_ours_that_is_named_is_one() -> None:
    wrong = []
    for place, typed, words in named("gitexp"):
        try:
            understood(words, typed)
        except (click.UsageError, AssertionError) as error:
            wrong.append(f"{place}: {error}")
    assert not wrong, "\n".join(wrong)


@cache
def helped(*words: str) -> str:
    """Return what git says of a command's usage."""
    done = subprocess.run(["git", *words, "-h"], capture_output=True, text=True)
    return "" if "is not a git command" in done.stderr else done.stdout + done.stderr


def test_each_command_of_git_that_is_named_is_one_with_these_options() -> None:
    wrong = []
    for place, typed, words in named("git"):
        words = words[2:] if words[0] == "-C" else words
        said = helped(words[0]) if words else "in a folder"
        if len(words) > 1 and re.search(rf"git {words[0]} (\[.*\] )?{words[1]}\b", said):
            said += helped(*words[:2])
        options = {word.partition("=")[0] for word in words if word[:2] == "--" != word}
        known = said.replace("[no-]", "")
        lost = said and [one for one in options if one.replace("--no-", "--") not in known]
        if lost or (typed and not said):  # else git is only spoken of
            wrong.append(f"{place}: {lost or words[0]}")
    assert not wrong, "\n".join(wrong)
