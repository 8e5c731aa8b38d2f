"""What messages tell people to type: every command that the package names exists with its options,
and the hints of common situations end these situations when they are typed."""

from __future__ import annotations

import ast
import inspect
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from conftest import Project
from gitexp.cli import cli
from recording import record

ROOT = Path(__file__).parents[1]
WORD = r"(?:'[^'\n]*'|\"[^\"\n]*\"|[^\s;,()`|&<>'\"]|,(?=\S))+"
# what stands behind a colon or another command is to be typed; elsewhere prose may go on behind it
COMMAND = re.compile(rf"(: |&& )?(?<![\w/.'\"-])((?:gitexp|git)(?= [a-z-])(?: {WORD})+)")
ASK_FOR_EXTRAS = {"needed", "MissingExtraError"}
EXAMPLES = re.compile(r"^\x08\n.*?(?:\n\n|\Z)", re.DOTALL | re.MULTILINE)  # of a command's help
SPOKEN = {  # words behind gitexp's name where it is spoken of
    *("and", "can", "does", "holds", "into", "is", "itself", "locks", "made", "needs", "signs"),
    *("treats", "works", "writes"),
}


@cache
def trees() -> list[tuple[Path, ast.Module]]:
    """Return the modules of the package, parsed."""
    paths = sorted((ROOT / "gitexp").rglob("*.py"))
    return [(path, ast.parse(path.read_text(encoding="utf-8"))) for path in paths]


@cache
def texts() -> list[tuple[str, str]]:
    """Return the place and the text of each string that people may see: of the package, its help
    and the page's scripts; what is filled in is an X."""
    found = []
    for path, tree in trees():
        todo: list[ast.AST] = [tree]
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
    wrong, found = [], [*named("gitexp")]
    assert len(found) > 100
    for place, typed, words in found:
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
    wrong, found = [], [*named("git")]
    assert len(found) > 50
    for place, typed, words in found:
        words = words[2:] if words[0] == "-C" else words
        said = helped(words[0]) if words else "in a folder"
        has_own = rf"git {words[0]} (\[.*\] )?{words[1]}\b" if len(words) > 1 else "(?!)"
        if words[:1] in (["annex"], ["lfs"]) or re.search(has_own, said):
            said += helped(*words[:2])
        options = {word.partition("=")[0] for word in words if word[:2] == "--" != word}
        known = said.replace("[no-]", "")
        lost = said and [one for one in options if one.replace("--no-", "--") not in known]
        if lost or (typed and not said):  # else git is only spoken of
            wrong.append(f"{place}: {lost or words[0]}")
    assert not wrong, "\n".join(wrong)


def test_each_extra_that_is_said_to_be_missing_is_one() -> None:
    page = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = page.partition("[project.optional-dependencies]\n")[2].partition("\n[")[0]
    wanted = set()
    for _, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ASK_FOR_EXTRAS:
                wanted.add(_text(node.args[-1]) or "X")
    assert len(wanted) > 5
    assert wanted - {"X"} <= {*re.findall(r"^(\w+) = \[", extras, re.MULTILINE)}


# -- situations ------------------------------------------------------------------------------------

Prepare = Callable[[Project, Path], "Project | None"]
SITUATIONS: dict[str, tuple[Prepare, str, tuple[str, ...], dict[str, str], bool]] = {}
TYPED = re.compile(rf"(?:: |, or )((?:gitexp|git|rm)(?: {WORD})+(?: && git(?: {WORD})+)*)")


def said(hint: str, *words: str, ends: bool = True, **fill: str) -> Callable[[Prepare], Prepare]:
    """Register what brings a situation about, in which a command says the hint.

    Args:
        hint: how the command that is to be typed begins, or an option to give.
        words: the command of gitexp's that says it.
        ends: whether the situation is over then: it succeeds, and says the hint no more.
        fill: what to type for a word in capitals.
    """

    def register(prepare: Prepare) -> Prepare:
        SITUATIONS[f"{prepare.__name__}: {' '.join(words)}: {hint}"] = (
            prepare,
            hint,
            words,
            fill,
            ends,
        )
        return prepare

    return register


@pytest.mark.parametrize("name", SITUATIONS)
def test_a_hint_works_when_it_is_typed(name: str, project: Project, tmp_path: Path) -> None:
    prepare, hint, words, fill, ends = SITUATIONS[name]
    place = prepare(project, tmp_path) or project
    done = place.run(*words)
    told = done.stdout + done.stderr
    if hint.startswith("--"):
        assert hint in re.split("[ ,]", told)
        place.gitexp(*words, hint, *fill.values())
        return
    lines = {found for found in TYPED.findall(told) if found.startswith(hint)}
    assert len(lines) == 1, f"it has to say how to type {hint}: {told}"
    (line,) = lines
    for capital, value in fill.items():
        line = line.replace(capital, value.format(tmp=tmp_path))
    assert "{" not in line, "what was to be filled in"
    for command in line.split(" && "):
        place.type(command)
    if ends:
        again = place.run(*words)
        assert again.returncode == 0, again.stderr
        assert hint not in again.stdout + again.stderr


@said("git init", "list")
def there_is_no_repository(project: Project, tmp_path: Path) -> None:
    shutil.rmtree(project.root / ".git")


@said("gitexp run", "show", "@", COMMAND="true")
@said("gitexp run", "show", "exp-1", COMMAND="true")
@said("gitexp run", "list", COMMAND="true")
@said("gitexp log", "list")
@said("gitexp log", "best", "loss", "--min")
def nothing_is_recorded(project: Project, tmp_path: Path) -> None:
    pass


@said("gitexp list", "list", "--where", "lr = 9", ends=False)
@said("gitexp list", "show", "v1", ends=False)
@said("gitexp --help", "lsit", ends=False)
@said("gitexp list --help", "list", "--nope", ends=False)
@said("gitexp label", "label", "exp-1", "good", ends=False)
@said("gitexp show", "note", "exp-1", "seen", ends=False)
@said("git ls-tree", "get", "exp-1", "nowhere.bin", ends=False)
@said("gitexp checkout", "reproduce", "exp-1", "--yes", ends=False)
@said("gitexp list", "diff", "--where", "lr = 1", ends=False)
@said("gitexp leaderboard", "leaderboard", "--metric", "loss", "README.md", "--check")
@said("gitexp book", "book", "README.md", "--check")
@said("gitexp agent init", "agent", "init", "--check")
@said("--min", "best", "odd")
@said("git remote add", "push", ADDRESS="{tmp}/remote.git")
@said("git remote add", "push", "../remote.git", ends=False, NAME="origin", ADDRESS="../remote.git")
@said("git checkout", "checkout", "exp-1", "-b", "main", ends=False)
@said("git checkout main", "checkout", "exp-1", ends=False)
@said("git worktree remove", "checkout", "exp-1", "--worktree", "../tree", ends=False)
def there_is_one(project: Project, tmp_path: Path) -> None:
    record(project, {"lr": 1}, {"loss": 1, "odd": 1}, advance=False)
    project.git("tag", "v1", "HEAD")
    project.git("init", "-q", "--bare", "../remote.git")


@said("gitexp compare", "diff", "--where", "lr = 1", ends=False)
def there_are_three(project: Project, tmp_path: Path) -> None:
    for _ in range(3):
        record(project, {"lr": 1}, {"loss": 1})


@said("gitexp push", "status")
@said("gitexp list --all", "pull", ends=False)
def nothing_is_pushed(project: Project, tmp_path: Path) -> None:
    project.git("init", "-q", "--bare", "../remote.git")
    project.git("remote", "add", "origin", "../remote.git")
    other = Project(tmp_path / "other")
    project.git("clone", "-q", "../remote.git", str(other.root))
    other.git("config", "user.name", "Bob")
    for clone in (project, other):
        clone.commit()
        record(clone, {"lr": 1}, {"loss": 1}, advance=False)
    other.gitexp("push")


@said("gitexp recover", "list")
@said("gitexp recover", "status")
@said("gitexp recover", "doctor")
def a_run_died(project: Project, tmp_path: Path) -> None:
    script = "import gitexp, os; gitexp.start_run({'lr': 1}); os._exit(9)"
    subprocess.run([sys.executable, "-c", script], cwd=project.root)


@said("git fetch --unshallow", "list")
@said("git fetch --unshallow", "gate", "--metric", "loss", "--max", "2")
@said("git fetch --unshallow", "show", "exp-1")
def the_clone_is_shallow(project: Project, tmp_path: Path) -> Project:
    record(project, {}, {"loss": 1})
    project.commit()
    clone = Project(tmp_path / "shallow")
    how = ("--depth=1", "--no-tags", project.root.as_uri())
    project.git("clone", "-q", *how, str(clone.root))
    return clone


@said("--stash", "checkout", "exp-1")
@said("--worktree", "checkout", "exp-1", DIR="../tree")
def work_is_not_committed(project: Project, tmp_path: Path) -> None:
    record(project, advance=False)
    project.commit(train_py="print('better')\n")
    project.write("train.py", "print('mine')\n")


@said("--worktree", "checkout", "exp-1", DIR="../tree")
def a_merge_has_a_conflict(project: Project, tmp_path: Path) -> None:
    record(project, advance=False)
    for branch in ("main", "side"):
        project.git("checkout", "-q", "-B", branch, "exp-1~1" if branch == "side" else "HEAD")
        project.commit(train_py=f"print('{branch}')\n")
    project.git("merge", "main", check=False)
    assert "UU train.py" in project.git("status", "--porcelain")


def lock(project: Project, hours: float) -> Path:
    """Leave a lock of git's index, so many hours old."""
    path = project.write(".git/index.lock", "")
    os.utime(path, (path.stat().st_mtime - 3600 * hours,) * 2)
    return path


@said("gitexp doctor --fix", "doctor")
def an_old_lock_was_left(project: Project, tmp_path: Path) -> None:
    lock(project, 48)


@said("rm", "doctor")
def a_lock_was_left(project: Project, tmp_path: Path) -> None:
    lock(project, 0.5)


@said("git read-tree", "log", "-M", "a=1")
def the_index_is_corrupt(project: Project, tmp_path: Path) -> Project:
    project.write("sub/index.py", "")
    project.commit()
    project.write(".git/index", "garbage")
    return Project(project.root / "sub")


@said("gitexp doctor --fix", "label", "exp-1", "+good")
def notes_cannot_be_read(project: Project, tmp_path: Path) -> None:
    record(project)
    project.gitexp("note", "exp-1", "kept")
    project.git("update-ref", "refs/notes/gitexp", "exp-1:train.py")


@said("gitexp doctor --fix", "doctor")
def a_tag_was_pruned(project: Project, tmp_path: Path) -> None:
    record(project, advance=False)
    project.git("tag", "-d", "exp-1")


@said("git update-ref refs/tags/NAME", "doctor", NAME="found-again")
def the_name_of_a_lost_tag_is_taken(project: Project, tmp_path: Path) -> None:
    a_tag_was_pruned(project, tmp_path)
    project.git("tag", "exp-1")


@said("git update-ref -d", "doctor")
def a_tag_points_to_nothing(project: Project, tmp_path: Path) -> None:
    project.write(".git/refs/tags/exp-9", "1" * 40 + "\n")


def lose(project: Project, name: str) -> None:
    """Delete an object."""
    oid = project.git("rev-parse", name)
    (project.root / ".git/objects" / oid[:2] / oid[2:]).unlink()


@said("git remote add", "doctor", ADDRESS="{tmp}/whole")
def a_file_of_it_is_lost(project: Project, tmp_path: Path) -> None:
    record(project)
    project.git("clone", "-q", "--no-local", ".", str(tmp_path / "whole"))
    lose(project, "exp-1:train.py")


@said("git fetch --refetch", "doctor")
def a_file_is_lost_that_the_remote_has(project: Project, tmp_path: Path) -> None:
    a_file_of_it_is_lost(project, tmp_path)
    project.git("remote", "add", "origin", str(tmp_path / "whole"))


@said("git push --force", "pull", ends=False)
def the_remotes_notes_cannot_be_read(project: Project, tmp_path: Path) -> None:
    nothing_is_pushed(project, tmp_path)
    project.gitexp("note", "exp-1", "kept")
    blob = project.git("rev-parse", "HEAD:train.py")
    project.git("push", "-q", "origin", f"{blob}:refs/notes/gitexp")


@said("git tag -d", "doctor", ends=False)
def its_commit_is_gone(project: Project, tmp_path: Path) -> None:
    record(project, advance=False)
    lose(project, "exp-1^{commit}")


@said("rm", "doctor")
def it_was_collected(project: Project, tmp_path: Path) -> None:
    record(project, advance=False)
    project.git("tag", "-d", "exp-1")
    project.git("-c", "gc.reflogExpire=now", "gc", "-q", "--prune=now")


@said("git config --get-regexp", "log", "-M", "a=1", ends=False)
def a_filter_fails(project: Project, tmp_path: Path) -> None:
    project.git("config", "filter.odd.clean", "false")
    project.git("config", "filter.odd.required", "true")
    project.write(".gitattributes", "*.odd filter=odd\n")
    project.commit()
    project.write("a.odd", "x")


@said("git config --global --add safe.directory", "list")
def another_user_owns_it(project: Project, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    for path in (project.root, project.root / ".git"):
        os.chown(path, 12345, 12345)


SWEEP = ("sweep", "--group", "s", "-p", "lr=1", "--", "true")


@said("gitexp sweep --resume", *SWEEP, ends=False)
def there_is_such_a_sweep(project: Project, tmp_path: Path) -> None:
    project.gitexp(*SWEEP)


def test_a_trial_that_failed_is_shown_and_run_again_as_it_is_said(
    project: Project, tmp_path: Path
) -> None:
    mended = tmp_path / "mended"
    words = ("sweep", "--group", "s", "-p", "lr=1", "--", "sh", "-c", f"test -e {mended}")
    told = project.run(*words).stderr
    show, again = (line for line in TYPED.findall(told) if "--again" in line or " show " in line)
    assert "failed" in project.gitexp(*shlex.split(show)[1:])
    mended.touch()
    project.gitexp(*shlex.split(again)[1:])
    assert "finished" in project.gitexp("list", "--where", "group = s")
