"""Where a remote shows its commits: the address of a commit's page on DagsHub, GitHub, GitLab,
Bitbucket, Gitea and their like."""

from __future__ import annotations

import re

_SSH = re.compile(r"(?:[\w.-]+@)?(?P<host>[\w.-]+\.[\w-]+):(?P<path>[^/].*)")
_URL = re.compile(
    r"(?:https?|ssh|git)://(?:[^@/]*@)?(?P<host>[\w.-]+)(?::(?P<port>\d+))?/(?P<path>.+)"
)


def commit_page(remote: str | None) -> str | None:
    """Return the address of a commit's page with ``{}`` for its hash; None where the remote is no
    host's (a folder, a bundle)."""
    match = _URL.fullmatch(remote or "") or _SSH.fullmatch(remote or "")
    if not match:
        return None
    path = match["path"].strip("/").removesuffix(".git")
    if not re.fullmatch(r"[\w.~-]+(/[\w.~-]+)+", path):
        return None
    host = match["host"].lower()
    port = match.groupdict().get("port")
    # the port of ssh says nothing about that of the pages
    if port and (remote or "").startswith("http"):
        host = f"{host}:{port}"
    scheme = "http" if (remote or "").startswith("http:") else "https"
    commit = "-/commit" if "gitlab" in host else "commits" if host == "bitbucket.org" else "commit"
    return f"{scheme}://{host}/{path}/{commit}/{{}}"
