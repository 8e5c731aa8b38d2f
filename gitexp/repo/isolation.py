"""What git takes from where it is called, and what it does not.

Foreign ``GIT_*`` variables are dropped (a hook sets GIT_DIR and GIT_INDEX_FILE, and would have us
write into the wrong repository), and so are the repository's own hooks, fsmonitor and automatic gc,
which are programs that somebody else may have put there. For the same reason only the few commands
in ``_FETCHING`` may talk to a remote: any other that misses an object in a partial clone would
start what ``.git/config`` names as the remote's program. Identity and the user's own configuration
stay.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

_KEPT = (  # compiled where it is used first, which takes a millisecond and more
    r"GIT_((AUTHOR|COMMITTER)_(NAME|EMAIL)|CONFIG_(GLOBAL|SYSTEM|NOSYSTEM|COUNT|KEY_\d+|VALUE_\d+)"
    r"|SSH|SSH_COMMAND|SSH_VARIANT"
    r"|ASKPASS|SSL_\w+|HTTP_\w+|PROXY_\w+|CEILING_DIRECTORIES|DISCOVERY_ACROSS_FILESYSTEM"
    r"|EXEC_PATH|TRACE\w*|ALLOW_PROTOCOL)"
)
_SETTINGS = (
    f"core.hooksPath={os.devnull}",
    "core.fsmonitor=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "i18n.commitEncoding=UTF-8",
    "log.showSignature=false",
    "advice.sparseIndexExpanded=false",
    "protocol.ext.allow=never",
    "core.safecrlf=warn",
)
OPTIONS = tuple(word for setting in _SETTINGS for word in ("-c", setting))
_FETCHING = frozenset(
    (
        *("fetch", "push", "pull", "ls-remote", "clone", "checkout"),
        *("restore", "worktree", "stash", "submodule"),
    )
)
# git before 2.39.4 knows the second only
_NO_FETCH = {"GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "none"}


def environment(args: Sequence[str], more: Mapping[str, str]) -> dict[str, str]:
    """Return the variables for a call of git with these arguments, and ``more``."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or re.fullmatch(_KEPT, name)
    }
    fetching = {} if _subcommand(args) in _FETCHING else _NO_FETCH
    return {
        **kept,
        "LC_ALL": "C",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        **fetching,
        **more,
    }


def _subcommand(args: Sequence[str]) -> str:
    """Return git's command among its arguments: the first word that is not an option, nor the
    value of one."""
    words = iter(args)
    for word in words:
        if word == "-c":
            next(words, None)
        elif not word.startswith("-"):
            return word
    return ""
