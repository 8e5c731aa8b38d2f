"""Commands parse, call and print; nothing else prints.

One small file for each family of commands, loaded when it is called. Data goes to stdout, talk to
stderr. One boundary (``main``) turns errors into exit codes.
"""

from __future__ import annotations

import errno
import gc
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import click

import gitexp
from gitexp.formats.errors import GitexpError, NotFoundError, did_you_mean
from gitexp.repo import Repo

COMMANDS = {  # name: module below gitexp.cli, first line of its help
    "log": ("log", "Record an experiment by hand."),
    "run": ("run", "Run a command and record it as an experiment."),
    "sweep": ("sweep", "Run a command with many params."),
    "list": ("list", "List experiments, newest first."),
    "show": ("show", "Show everything about one experiment."),
    "best": ("show", "Show the best experiment by a metric."),
    "curve": ("curve", "Plot a metric's history in the terminal."),
    "diff": ("diff", "Show what differs between two experiments."),
    "compare": ("compare", "Show experiments side by side."),
    "report": ("report", "Write one HTML file that compares experiments."),
    "plot": ("report", "Write one chart of experiments."),
    "ui": ("ui", "Show experiments live in the browser."),
    "leaderboard": ("compare", "Keep a table of the best in a file up to date."),
    "gate": ("compare", "Check that an experiment is no worse than another."),
    "checkout": ("checkout", "Go back to an experiment."),
    "get": ("checkout", "Copy files out of an experiment, without a checkout."),
    "reproduce": ("prove", "Run an experiment again and compare every metric."),
    "verify": ("prove", "Check that experiments are complete, untampered and properly signed."),
    "bisect": ("prove", "Find the commit that made a metric worse."),
    "why": ("prove", "Explain a metric's change by what differs."),
    "push": ("sync", "Send experiments to a git remote."),
    "pull": ("sync", "Fetch everybody's experiments from a git remote."),
    "remote": ("remote", "Set up DagsHub as a remote."),
    "status": ("status", "Show active runs, dead runs and what is not pushed."),
    "watch": ("status", "Follow a run in the terminal."),
    "recover": ("status", "Turn dead runs into experiments."),
    "label": ("annotate", "Add or remove labels."),
    "note": ("annotate", "Add a note to an experiment."),
    "rename": ("annotate", "Give an experiment a second name."),
    "keep": ("ledger", "Mark an experiment as kept, and say why."),
    "discard": ("ledger", "Mark an experiment as discarded, and say why."),
    "tried": ("ledger", "Find earlier experiments that are similar."),
    "merge": ("merge", "Merge what experiments changed, and run it."),
    "tree": ("ledger", "Show which experiment came from which."),
    "book": ("ledger", "Write the lab book, day by day."),
    "rm": ("annotate", "Remove an experiment's tag."),
    "import": ("import_", "Import experiments from history or from other tools."),
    "export": ("export", "Write experiments for other tools."),
    "init": ("setup", "Write a settings file, and show how to set up Tab completion."),
    "agent": ("agent", "Tell a coding agent how experiments are run here."),
    "mcp": ("agent", "Serve experiments to an agent over MCP."),
    "doctor": ("setup", "Find and repair leftovers and damage."),
}
_PATHS = {"ENOTDIR", "EISDIR", "ENAMETOOLONG", "ELOOP"}
_FAULTS = {"ENOSPC", "EDQUOT", "EIO", "EACCES", "EPERM", "EROFS", "EMFILE", "ENFILE", "EFBIG"}
_SECTIONS = {  # the command that each begins with
    "log": "Record",
    "list": "Look and compare",
    "checkout": "Go back and prove",
    "push": "Share",
    "status": "Follow runs",
    "label": "Annotate and judge",
    "import": "Import and export",
    "init": "Set up and repair",
}
ALIASES = {"ls": "list"}
_HIDDEN = {"dagshub-credential": "remote"}  # what git calls, not people


class Commands(click.Group):
    """Loads a command's module only when the command is called, and suggests a name for a misspelt
    one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS]  # not list(): the module of that name lies in this package

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = ALIASES.get(cmd_name, cmd_name)
        if name not in COMMANDS and name not in _HIDDEN:
            return None
        from importlib import import_module

        module = import_module(f"gitexp.cli.{_HIDDEN.get(name) or COMMANDS[name][0]}")
        command = getattr(module, f"{name.replace('-', '_')}_command")
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            hint = did_you_mean(args[0], COMMANDS)
            ctx.fail(f"there is no command '{args[0]}'.{hint} All commands: gitexp --help")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        width = max(map(len, COMMANDS))
        for name, (_, text) in COMMANDS.items():
            title = _SECTIONS.get(name) or next(reversed(sections))
            sections.setdefault(title, []).append((name.ljust(width), text))
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(gitexp.__version__, "-V", "--version", message="gitexp %(version)s")
@click.option(
    "-C",
    "folder",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False),
    help="Work as if started in DIR.",
)
@click.option(
    "--no-pager",
    "-P",
    is_flag=True,
    help="Print long output without a pager (else GITEXP_PAGER, or git's).",
)
def cli(folder: str | None, no_pager: bool) -> None:
    """Track experiments in git: each training run is one commit with one tag.

    REF is an experiment: exp-5, 5, a commit prefix, @ (the latest), @~1 (the one before),
    best:rmse, worst:rmse.

    \b
    To begin, in any git repository:
      gitexp run -- python train.py --lr 0.1
      gitexp list
    """
    if folder:  # the other option is read where output is paged
        os.chdir(folder)


def named(name: str) -> click.Command:
    """Return a command by its name."""
    found = cli.get_command(click.Context(cli), name)
    assert found
    return found


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code: 0 fine, 1 differs, 2 usage, 3 no such
    experiment."""
    _open_standard_files()
    warnings.formatwarning = _warning  # type: ignore[assignment]
    if args is None and sys.getfilesystemencoding() == "ascii":
        _in_utf8()
    if "_GITEXP_COMPLETE" in os.environ:
        from gitexp.cli import shells

        shells.register()
    try:
        result = cli.main(
            args=None if args is None else [*args], prog_name="gitexp", standalone_mode=False
        )
        code = result if isinstance(result, int) else 0
        sys.stdout.flush()
    except click.exceptions.Exit as done:
        code = done.exit_code
    except click.ClickException as error:
        # a group without a command, as click 8.2 says it: the help of many lines
        if type(error).__name__ == "NoArgsIsHelpError":
            click.echo(error.format_message(), err=True)
            code = error.exit_code
        else:
            code = _said(error.format_message() + _help_of(error), error.exit_code)
    except GitexpError as error:
        code = _said(_with_what_ci_lacks(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        code = _said("interrupted", 130)
    except BrokenPipeError:  # the reader had enough: `gitexp list | head`
        from gitexp.cli import output

        output.discard_rest()
        code = 0
    except OSError as error:
        code = _refused(error)
    except Exception as error:
        code = _unexpected(error)
    gc.freeze()  # else Python looks through all there is before it ends, a tenth of a short command
    sys.exit(code)


def _open_standard_files() -> None:
    """Open the null device in place of each standard file that is closed (``>&-``, some daemons):
    the next file opened would get its number, and what is printed would go into it."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115


def _in_utf8() -> None:
    """Start again in UTF-8 where an argument is more than ASCII: as text of ours and as a file's
    name or a word of a command, which a decoded one could not be."""
    if sys.executable and not "".join(sys.argv).isascii():
        with suppress(OSError):
            os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def _warning(message: Warning | str, *where: Any) -> str:
    """Return a warning as text: one of ours as a line, without the place in our code."""
    return f"{message}\n" if str(message).startswith("gitexp: ") else _plain(message, *where)


_plain = warnings.formatwarning
_FETCH = " git fetch --unshallow --tags"


def _help_of(error: click.ClickException) -> str:
    """Return where to read on, for what click says without a next step."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    said = error.format_message()
    if not context or not context.parent or "--help" in said:
        return ""
    return f"{'' if said.endswith(('.', '?', '!')) else '.'} Help: {context.command_path} --help"


def _with_what_ci_lacks(error: GitexpError) -> str:
    """Return the message; in a shallow clone, with how to fetch the history and tags it lacks."""
    said = str(error)
    none, _, instead = said.rpartition(" yet; ")
    none = none if instead.startswith(("record one", "to record one")) else ""
    with suppress(GitexpError):
        asked = none or (isinstance(error, NotFoundError) and "--unshallow" not in said)
        if asked and Repo.discover().is_shallow:
            if none:
                return f"{none} in this shallow clone; to bring them:{_FETCH}"
            begins = " This" if said.endswith("?") else "; this"
            return f"{said}{begins} clone is shallow, to bring the rest:{_FETCH}"
    return said


def _said(text: str, code: int) -> int:
    """Print a line on stderr, which CI may keep for everybody to read: without secrets, and without
    what somebody else's repository may hold to write over the screen."""
    from gitexp.cli import output
    from gitexp.formats import redaction

    output.say(f"gitexp: {redaction.redact(' '.join(text.split()))}")
    return code


def _refused(error: OSError) -> int:
    """Say that the machine did not take or give a file, which is no fault of ours."""
    code = errno.errorcode.get(error.errno or 0)
    known = code in {*_FAULTS, *_PATHS}
    if not known and "temporary directory" not in str(error):  # Python found none that takes a file
        return _unexpected(error)
    what = f"'{error.filename}'" if error.filename else "a file"
    advice = "check the path" if code in _PATHS else "check permissions and disk space"
    return _said(f"{what} cannot be read or written: {error.strerror}; {advice}", 2)


def _unexpected(error: Exception) -> int:
    if os.environ.get("GITEXP_DEBUG"):
        import traceback

        traceback.print_exc()
    kind: Any = type(error).__name__
    return _said(
        f"internal error, please report it: {kind}: {error} (GITEXP_DEBUG=1 shows where)", 70
    )
