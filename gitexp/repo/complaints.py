"""What git complains of, in words of ours: one line, with the next step where it is known."""

from __future__ import annotations

import os
import re

from gitexp.formats.errors import GitError

_EXPLANATIONS = {  # what git says: what we say
    r"could not fetch [0-9a-f]+ from promisor remote": (
        "a file of it is not in this partial clone, and looking fetches nothing; to bring all of"
        " them: gitexp pull --all-files"
    ),
    r"unable to read tree": (
        "a folder of it is not in this clone; in a partial one: gitexp pull --all-files; else see:"
        " git fsck"
    ),
    r"not a git repository": "there is no git repository here; to start one: git init",
    r"dubious ownership in repository at '([^']*)'": (
        "git does not trust {0}, which another user owns; if you do: {trust}'{0}'"
    ),
    r"unable to normalize alternate object path: (.*)": (
        "git's objects are borrowed from {0}, which is not there; bring it back, or correct"
        " .git/objects/info/alternates"
    ),
    r"unexpected line in (\S+): (.*)": (
        "{0} is damaged; to mend it, take this line out of it: {1}"
    ),
    r"bad (?:tree )?object|is (?:corrupt|empty)$|reference broken|No such ref: HEAD": (
        "git says: {line}; to see what is damaged: gitexp doctor"
    ),
    r"index file (?:corrupt|smaller)|bad (?:index|signature|header)|unknown index entry format": (
        "the git index is corrupt; to build it again: git read-tree HEAD"
    ),
    r"(?:fatal|error): (.*): clean filter '(.*)' failed": (
        "the filter '{1}' does not take {0}; see: git config --get-regexp 'filter.{1}'"
    ),
    r"(?:Unable to create '|could not lock config file )([^'\n]*?)(?:\.lock')?: File exists": (
        "another git process holds {0}.lock; try again when it is done, and if none is at work:"
        " gitexp doctor --fix"
    ),
    r"Read-only file system|insufficient permission|[Pp]ermission denied|Operation not permitted": (
        "git may not read or write here: {line}; check the permissions"
    ),
    r"No space left on device|Out of diskspace": (
        "the disk is full, and git could not write; free some space and try again"
    ),
}


def _trust() -> str:
    """Return how a folder is trusted: in containers, there is often no home to write it down in."""
    if os.environ.get("GIT_CONFIG_GLOBAL") or os.access(os.environ.get("HOME", ""), os.W_OK):
        return "git config --global --add safe.directory "
    return "export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0="


def complaint(stderr: str) -> str:
    """Return the line of git's stderr that says what went wrong; empty where there is none."""
    said = [line.strip() for line in stderr.splitlines() if line.strip()]
    marks = ("fatal:", "error:", "remote: fatal", "remote: error")
    line = next((line for line in said if line.startswith(marks)), said[-1] if said else "")
    return re.sub(r"^((remote|fatal|error): )+", "", line)


def explained(stderr: str, returncode: int) -> GitError:
    """Return what git said as an error of ours, with the next step where it is known."""
    line = complaint(stderr) or f"exit code {returncode}"
    for pattern, text in _EXPLANATIONS.items():
        if match := re.search(pattern, stderr):
            said = text.format(*match.groups(), line=line, trust=_trust())
            return GitError(said, returncode, stderr)
    return GitError(f"git says: {line}", returncode, stderr)
