"""DagsHub as a remote: its addresses for git, DVC and MLflow, and the token that opens them.

The token is read at the moment of use, where the ``dagshub`` package keeps it or from
DAGSHUB_USER_TOKEN, so it is in no address, argument list, config file or log. It is not asked of
``dagshub.auth.get_token``, which deletes it when the server answers with any error. git gets it
from a credential helper; the empty one before ours keeps out others, which may write it to a file.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from gitexp.formats.errors import UsageError
from gitexp.repo import Repo

HOST = "https://dagshub.com"
COMMAND = "dagshub-credential"  # the hidden command that git calls
_PART = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
NO_TOKEN = "no token is known; get one with: dagshub login, or set DAGSHUB_USER_TOKEN"


class Home(NamedTuple):
    """A repository on DagsHub; ``host`` is an address like ``https://dagshub.com``."""

    host: str
    owner: str
    name: str

    @property
    def page(self) -> str:
        """Where people look at it."""
        return f"{self.host}/{self.owner}/{self.name}"

    @property
    def git(self) -> str:
        """The address of its git remote."""
        return f"{self.page}.git"

    @property
    def dvc(self) -> str:
        """The address of its DVC remote."""
        return f"{self.page}.dvc"

    @property
    def mlflow(self) -> str:
        """The address of its MLflow server."""
        return f"{self.page}.mlflow"


def host(environment: Mapping[str, str]) -> str:
    """Return DagsHub's address: DAGSHUB_CLIENT_HOST, as for the ``dagshub`` package, or
    dagshub.com.

    Raises:
        UsageError: it is not an address, or one where the token could be read on the way.
    """
    given = environment.get("DAGSHUB_CLIENT_HOST") or HOST
    try:
        parts = urlsplit(given.rstrip("/"))
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or "@" in parts.netloc:
        raise UsageError(
            "DAGSHUB_CLIENT_HOST is no address; write for example https://dagshub.example.org"
        )
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise UsageError(
            "DAGSHUB_CLIENT_HOST must begin with https://, or your token could be read on the way"
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


def usable_host(environment: Mapping[str, str]) -> str | None:
    """Return DagsHub's address, None where DAGSHUB_CLIENT_HOST says one that is not used."""
    try:
        return host(environment)
    except UsageError:
        return None


def parse(text: str, host: str) -> Home:
    """Read ``OWNER/REPO``, or the address of its page; raise UsageError for anything else."""
    path = text.strip().removeprefix(host).strip("/")
    match = re.fullmatch(rf"({_PART})/({_PART}?)(?:\.(?:git|dvc|mlflow))?", path)
    if not match:
        raise UsageError(f"'{text}' is not a repository on {host}; write OWNER/REPO")
    return Home(host, match[1], match[2])


def find_home(repo: Repo, host: str) -> Home | None:
    """Return the repository on DagsHub that a git remote of this clone names, the remotes
    ``dagshub`` and ``origin`` first."""
    known = remotes(repo)
    for name in sorted(known, key=lambda item: (item != "dagshub", item != "origin", item)):
        url = re.sub(r"^(https?://)[^/@]*@", r"\1", known[name])
        if match := re.fullmatch(
            rf"(?:ssh://)?git@{re.escape(urlsplit(host).hostname or '')}(?::\d+)?[:/](.+)", url
        ):
            url = f"{host}/{match[1]}"
        with suppress(UsageError):
            if url.startswith(f"{host}/"):
                return parse(url, host)
    return None


def remotes(repo: Repo) -> dict[str, str]:
    """Return ``{name: address}`` of the git remotes."""
    return {key[7:-4]: url for _, key, url in repo.scoped_config(r"^remote\..*\.url$")}


# -- the token -------------------------------------------------------------------------------------


def token(host: str, environment: Mapping[str, str]) -> str | None:
    """Return the token for a host: DAGSHUB_USER_TOKEN, which belongs to DAGSHUB_CLIENT_HOST, or
    that of ``dagshub login``."""
    given = environment.get("DAGSHUB_USER_TOKEN")
    if given and host == usable_host(environment):
        return given
    return next(iter(_cached(host, environment)), None)


def username(token: str, environment: Mapping[str, str]) -> str:
    """Return the name that goes with a token: DAGSHUB_USERNAME, or the token itself, as DagsHub's
    own client does for DVC."""
    return environment.get("DAGSHUB_USERNAME") or token


def answer(request: str, host: str, environment: Mapping[str, str]) -> str:
    """Return a credential helper's answer to git's ``get``: empty where it is not for this host, or
    there is no token."""
    asked = dict(line.split("=", 1) for line in request.splitlines() if "=" in line)
    parts = urlsplit(host)
    is_ours = (asked.get("protocol"), asked.get("host")) == (parts.scheme, parts.netloc)
    found = token(host, environment) if is_ours else None
    if not found or re.search(r"[\r\n\0]", found + username(found, environment)):
        return ""
    return f"username={username(found, environment)}\npassword={found}\n"


def _cached(host: str, environment: Mapping[str, str]) -> list[str]:
    """Return the tokens of ``dagshub login`` for a host that have not expired: those without an end
    first."""
    import appdirs
    import yaml

    path = environment.get("DAGSHUB_CLIENT_TOKENS_CACHE") or os.path.join(
        appdirs.user_cache_dir("dagshub"), "tokens"
    )
    try:
        known: Any = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        items = [item for item in known.get(host, ()) if isinstance(item, dict)]
    except (OSError, ValueError, AttributeError, TypeError, yaml.YAMLError):
        return []
    good = [item for item in items if item.get("expiry") == "never" or _lasts(item.get("expiry"))]
    good.sort(key=lambda item: item.get("token_type") != "app-token")
    tokens = (item.get("access_token") for item in good)
    return [token for token in tokens if isinstance(token, str)]


def _lasts(expiry: object) -> bool:
    try:
        end = datetime.strptime(str(expiry)[:19], "%Y-%m-%dT%H:%M:%S")
    except ValueError:
        return False
    return end.replace(tzinfo=timezone.utc) > datetime.now(timezone.utc)


# -- what is set up in a clone ---------------------------------------------------------------------


def add(repo: Repo, home: Home, name: str | None = None) -> tuple[str, bool]:
    """Make the repository on DagsHub a git remote, and ourselves the helper that git asks for its
    credentials.

    Args:
        name: by default ``origin`` where there is no remote yet, else ``dagshub``.

    Returns:
        the remote's name, and whether it is new.

    Raises:
        UsageError: there is another remote of that name; nothing was changed.
    """
    known = remotes(repo)
    same = [item for item, url in known.items() if url.removesuffix(".git") == home.page]
    chosen = name or (same[0] if same else "dagshub" if known else "origin")
    if chosen in known and chosen not in same:
        raise UsageError(
            f"there is a remote '{chosen}' already, with another address; choose another name:"
            " --name NAME"
        )
    if chosen not in known:
        repo.git("remote", "add", "--", chosen, home.git)
    key = f"credential.{home.host}.helper"
    lines = repo.line("config", "--local", "--get-all", key, ok=(0, 1)).split("\n")
    # else somebody chose a helper for this host, which stays
    if all(COMMAND in line for line in lines if line):
        repo.git("config", "--local", "--replace-all", key, "")
        repo.git("config", "--local", "--add", key, helper(home.host))
    return chosen, chosen not in known


def helper(host: str) -> str:
    """Return the value of ``credential.HOST.helper``: this program by its full path, which works
    outside of its venv too.

    As a script, not as ``python -m``, which would look for modules in the folder that git runs in:
    somebody's repository.
    """
    beside = shutil.which("gitexp", path=os.path.dirname(sys.executable)) or shutil.which("gitexp")
    words = [os.path.abspath(beside)] if beside else [sys.executable, "-I", "-m", "gitexp"]
    return "!" + " ".join(shlex.quote(word.replace("\\", "/")) for word in [*words, COMMAND, host])
