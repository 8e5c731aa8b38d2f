"""``gitexp remote dagshub``: a repository on DagsHub as the place for code, data and runs."""

from __future__ import annotations

import os
import sys

import click

from gitexp.cli import output
from gitexp.cli.declare import argument, option
from gitexp.repo import Repo


@click.group("remote")
def remote_command() -> None:
    """Set up a remote that needs more than an address: DagsHub.

    For any other: git remote add origin ADDRESS.
    """


@remote_command.command("dagshub", short_help="Make a repository on DagsHub a remote.")
@argument("OWNER/REPO", "where")
@option(
    "--name NAME", "The git remote's name (default: origin where there is none yet, else dagshub)."
)
@option("--dvc-name NAME", "The DVC remote's name, where DVC is used.", default="dagshub")
@option(
    "--save-dvc-token",
    "Keep the token in .dvc/config.local, since DVC has no other way to know it.",
)
def dagshub_command(where: str, name: str | None, dvc_name: str, save_dvc_token: bool) -> None:
    """Make a repository on DagsHub the remote for git, for MLflow runs, and for DVC where it is
    used.

    git asks gitexp for the token at each use: that of `dagshub login`, or DAGSHUB_USER_TOKEN.
    `gitexp push` and `pull` hand it to DVC for as long as they run. DVC cannot ask gitexp, so
    `dvc push` by hand needs --save-dvc-token, which keeps the token in a file that git ignores and
    only you can read. DAGSHUB_CLIENT_HOST names another host than dagshub.com.

    \b
    Examples:
      gitexp remote dagshub ada/nets
      gitexp push --mlflow
    """
    from gitexp.integrations import dagshub_remote, dvc_config
    from gitexp.repo import dvc_pointers

    repo = Repo.discover()
    host = dagshub_remote.host(os.environ)
    home = dagshub_remote.parse(where, host)
    token = dagshub_remote.token(host, os.environ) or _logged_in(host)
    if dvc_pointers.in_use(repo.root):
        # what is wrong is said before anything changes
        dvc_config.has_remote(repo.root, dvc_name, home.dvc)
        if save_dvc_token:
            dvc_config.check_ignored(repo)
    remote, is_new = dagshub_remote.add(repo, home, name)
    click.echo(f"git: {'added' if is_new else 'there is already'} the remote {remote}, {home.git}")
    if dvc_pointers.in_use(repo.root):
        changed = dvc_config.add_remote(repo.root, dvc_name, home.dvc)
        added = "added" if changed else "there is already"
        click.echo(f"DVC: {added} the remote {dvc_name}, {home.dvc}")
        if changed:
            path = dvc_config.CONFIG
            output.say(f"{path} changed; commit it, so that others find the data: git add {path}")
        if save_dvc_token and token:
            dvc_config.keep_login(repo, dvc_name, dagshub_remote.username(token, os.environ), token)
            where = f"{dvc_config.LOCAL}, which git ignores and only you can read"
            output.say(f"the token is kept in {where}")
        elif not save_dvc_token:
            output.say(
                "gitexp push and pull log in to it; DVC alone cannot ask for the token, see"
                " --save-dvc-token"
            )
    click.echo(f"MLflow: gitexp push --mlflow mirrors to {home.mlflow}")
    if not token:
        output.say(dagshub_remote.NO_TOKEN)


@click.command("dagshub-credential", hidden=True)
@argument("HOST")
@argument("ACTION")
def dagshub_credential_command(host: str, action: str) -> None:
    """Answer git, which asks for the credentials of HOST. What it wants to have stored or erased is
    nothing to us."""
    from gitexp.integrations import dagshub_remote

    request = sys.stdin.read()
    if action == "get":
        click.echo(dagshub_remote.answer(request, host, os.environ), nl=False)


def _logged_in(host: str) -> str | None:
    """Have the ``dagshub`` package log in, where somebody sits before a terminal; return the token,
    None where that fails."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    from dagshub.auth.tokens import get_token

    try:
        return str(get_token(host=host))
    # its own errors, those of its HTTP library, and a port that is taken: all end the same way
    except Exception as error:
        output.say(f"logging in did not work: {str(error)[:200]}")
        return None
