"""What the docs show is what gitexp does: the README's tour is run, and every command line in the
docs is one that is understood."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from conftest import Project
from gitexp.cli import cli
from gitexp.cli.output import counted

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("*.md")]
)
WRITTEN = {"docs/commands.md"}  # made of the help itself
COMMAND = re.compile(r"^(?:    |\$ )(gitexp .*)$|`(gitexp [^`\n]+)`", re.MULTILINE)
ENDS = {"|", ">", ">>", "&&", ";", "..."}


def written(page: Path) -> list[str]:
    """Return the command lines that a page shows, in blocks and in its text."""
    if page.relative_to(ROOT).as_posix() in WRITTEN:
        return []
    return [block or inline for block, inline in COMMAND.findall(page.read_text(encoding="utf-8"))]


def words(line: str) -> list[str]:
    """Return the words of the first command on a line, without the program's name."""
    found = shlex.split(line, comments=True)[1:]
    return found[: next((at for at, word in enumerate(found) if word in ENDS), len(found))]


def understood(command: click.Command, args: list[str], path: str = "gitexp") -> None:
    """Require that the command, or its subcommand, has these options."""
    context = click.Context(command, info_name=path)
    _, rest, _ = command.make_parser(context).parse_args([*args])
    if isinstance(command, click.Group) and rest:
        # `gitexp import dvc|mlflow`
        found = command.get_command(context, rest[0].partition("|")[0])
        assert found is not None, f"there is no command '{path} {rest[0]}'"
        understood(found, rest[1:], f"{path} {rest[0]}")


@pytest.mark.parametrize(
    "page", [page for page in PAGES if written(page)], ids=lambda page: page.name
)
def test_each_command_line_of_a_page_is_understood(page: Path) -> None:
    for line in written(page):
        try:
            understood(cli, words(line))
        except click.BadOptionUsage:  # an option that the text speaks of, without its value
            pass
        except (click.UsageError, ValueError) as error:
            raise AssertionError(f"{page.name}: {line}\n{error}") from None


ODD = (  # what newcomers had to read twice
    *("be at an experiment again", "tag away", "held by its tag", "is no folder", "pages needs"),
    *("asks nobody for", 'hook by."', "runs that go on", "is going on in"),
)


def test_no_help_message_or_page_says_what_has_to_be_read_twice() -> None:
    code = (ROOT / "gitexp").rglob("*.py")
    texts = {path: path.read_text(encoding="utf-8").lower() for path in (*code, *PAGES)}
    assert [
        (path.name, odd)
        for path, text in texts.items()
        for odd in ODD
        if odd in text and path.name != "CHANGELOG.md"
    ] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_link_of_a_page_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert not [link for link in links if not (page.parent / link).exists()]


@pytest.mark.slow
def test_the_tour_in_the_readme_is_what_is_printed() -> None:
    pytest.importorskip("sklearn")
    done = subprocess.run(
        [sys.executable, ROOT / "docs/make_tour.py", "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_python_in_the_readme_runs(project: Project) -> None:
    (block,) = re.findall(
        r"```python\n(import gitexp\n.*?)```",
        (ROOT / "README.md").read_text(encoding="utf-8"),
        re.DOTALL,
    )
    project.write("script.py", f"def train():\n    return [0.5, 0.25]\n\n{block}")
    project.gitexp("log", "--metric", "rmse=18.2", "--param", "lr=0.1")
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=project.root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (
        project.gitexp("list", "@", "--columns", "loss,lr,labels", "--csv")
        == "loss,lr,labels\n0.25,0.01,conv\n"
    )


def test_one_thing_is_counted_in_the_singular() -> None:
    assert [counted(number, "trial") for number in (0, 1, 2000)] == [
        "0 trials",
        "1 trial",
        "2,000 trials",
    ]
