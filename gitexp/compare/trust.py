"""Whom the user trusts to sign, and which programs check that: what the user's own git
configuration says, never the repository's.

A repository may bring settings along (a copied folder, an unpacked archive, an include): it could
name signers of its own, or a program to run. A path from the user's configuration that is relative
would be one in the repository, so it counts as none.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from gitexp.repo import Repo

_SIGNERS = "gpg.ssh.allowedsignersfile"
_DEFAULTS = {
    "gpg.program": "gpg", "gpg.openpgp.program": "gpg", "gpg.x509.program": "gpgsm",
    "gpg.ssh.program": "ssh-keygen",
    _SIGNERS: os.devnull, "gpg.ssh.revocationfile": os.devnull, "gpg.mintrustlevel": "undefined",
}  # fmt: skip
_OWN = ("system", "global", "command")  # the scopes of git's configuration that are the user's


class Trust(NamedTuple):
    """Options for git by which a signature is judged, and whether the repository named signers that
    do not count."""

    options: tuple[str, ...]
    signers_passed_over: bool


def of_user(repo: Repo, allowed_signers: Path | None = None) -> Trust:
    """Return what the user trusts.

    Args:
        allowed_signers: a file of SSH signers, instead of the configured one.
    """
    found = [
        (scope, name, value)
        for scope, name, value in repo.scoped_config("^gpg[.]")
        if name in _DEFAULTS
    ]
    chosen = {
        **_DEFAULTS,
        **dict(_usable((name, value) for scope, name, value in found if scope in _OWN)),
    }
    if allowed_signers:
        chosen[_SIGNERS] = os.path.abspath(allowed_signers)
    passed_over = chosen[_SIGNERS] == os.devnull and any(name == _SIGNERS for _, name, _ in found)
    return Trust(
        tuple(word for name, value in chosen.items() for word in ("-c", f"{name}={value}")),
        passed_over,
    )


def _usable(settings: Iterator[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for name, value in settings:
        is_path = name in (_SIGNERS, "gpg.ssh.revocationfile") or os.path.basename(value) != value
        if not value or (
            is_path
            and name != "gpg.mintrustlevel"
            and not (os.path.isabs(value) or value.startswith(("~", "%(prefix)/")))
        ):
            continue
        yield name, value
        if name == "gpg.program":  # the older name of the same thing
            yield "gpg.openpgp.program", value
