"""What can go wrong, as few classes as the exit codes need.

    GitexpError                  2   could not be done as asked
    |-- UsageError               2   the caller's words or values are wrong
    |   `-- FormatError          2   a file or a text is not in the form it should have
    |-- RepositoryError          2   there is no repository here, or it does not allow this
    |   `-- GitError             2   a git command failed; carries its stderr
    |-- MissingExtraError        2   an optional dependency is not installed
    |-- NotFoundError            3   no experiment (or run, metric, file of one) is called that
    |-- CannotRunError         125   an experiment's command could not be run again, so there is no
        verdict (git bisect skips at it)
    `-- GateError                1   a check that was asked for failed

Every message is one line: what is wrong, then the next step.
"""

from __future__ import annotations

from collections.abc import Iterable


class GitexpError(Exception):
    """Something could not be done as asked."""

    exit_code = 2


class UsageError(GitexpError):
    """The caller's words or values are wrong."""


class FormatError(UsageError):
    """A file or a text is not in the form that it should have."""


class RepositoryError(GitexpError):
    """There is no usable git repository here, or it does not allow this."""


class GitError(RepositoryError):
    """A git command failed.

    Attributes:
        returncode: the exit code of git.
        stderr: what git said, whole.
    """

    def __init__(self, message: str, returncode: int = 1, stderr: str = "") -> None:
        super().__init__(message)
        self.returncode = returncode
        self.stderr = stderr


class MissingExtraError(GitexpError):
    """An optional dependency is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        how = f"to install it: {_pip(extra)}"
        super().__init__(f"an optional dependency is missing for {what}; {how}")


def _pip(extra: str) -> str:
    """Return pip's command for an extra, from where gitexp came: a clone, git, a file, the index
    (https://packaging.python.org/en/latest/specifications/direct-url)."""
    import json
    import shlex
    from importlib import metadata
    from urllib.parse import unquote, urlsplit

    try:
        origin = json.loads(metadata.distribution("gitexp").read_text("direct_url.json") or "{}")
        url = str(origin.get("url", ""))
        vcs, folder = origin.get("vcs_info", {}), origin.get("dir_info")
        editable = "-e " if folder and folder.get("editable") else ""
    except (metadata.PackageNotFoundError, ValueError, AttributeError):
        url, vcs, folder, editable = "", {}, None, ""
    if vcs:
        revision = vcs.get("requested_revision")
        url = f"{vcs.get('vcs', 'git')}+{url}" + (f"@{revision}" if revision else "")
    if folder is not None:
        what = f"{unquote(urlsplit(url).path)}[{extra}]"
    else:
        what = f"gitexp[{extra}]" + (f" @ {url}" if url else "")
    return f"pip install {editable}{shlex.quote(what)}"


class NotFoundError(GitexpError):
    """No experiment (or run, metric, file of an experiment) is called that."""

    exit_code = 3


class CannotRunError(GitexpError):
    """An experiment's command could not be run again, so there is no verdict."""

    exit_code = 125


class GateError(GitexpError):
    """A check that was asked for failed."""

    exit_code = 1


def not_started(program: str, why: str | None) -> UsageError:
    """Return the error for a command whose first word could not be started."""
    hint = "check the spelling and that it is executable"
    name, sign, _ = program.partition("=")
    if sign and name.isidentifier():
        hint = f"variables go before it all: {program} gitexp run -- ..."
    elif " " in program:
        hint = "give each word of the command by itself, without quotes around them all"
    return UsageError(f"'{program}' could not be started: {why}; {hint}")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?``, with the leading space, for a near miss; else nothing."""
    from difflib import get_close_matches

    close = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""
