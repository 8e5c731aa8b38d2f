"""``gitexp push`` and ``gitexp pull``: experiments to and from a git remote."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from gitexp.cli import completion, output
from gitexp.cli.declare import argument, option
from gitexp.cli.opened import opened
from gitexp.cli.options import unless
from gitexp.formats.errors import GitexpError, NotFoundError, UsageError
from gitexp.formats.experiment import Experiment
from gitexp.repo import Progress, Repo
from gitexp.store import reference
from gitexp.store.index import Index
from gitexp.store.remote import sync, transport
from gitexp.store.remote.sync import Pushed

if TYPE_CHECKING:
    from gitexp.integrations.mlflow.login import Login

Result = TypeVar("Result")
_SHOWN = 20  # names that are spelt out
_NAMED = 5  # failures that are told one by one


@click.command("push")
@argument("[REMOTE]", shell_complete=completion.remotes_or_refs)
@argument("[REF]...", "refs")
@option("--tags", "Push every tag, even beyond the setting push_tags_up_to.", default=None)
@unless("branch", "Do not push the branch.")
@output.renamed("-n", "--dry-run", "dry_run")
@unless("verify", "Skip the pre-push hook.")
@option("--dry-run", "Ask the remote and print what would be sent; change nothing.")
@unless("data", "Do not push the data that DVC tracks.")
@option(
    "--mlflow [URI]",
    "Then mirror to this MLflow server; without URI, that of MLFLOW_TRACKING_URI or of DagsHub.",
)
@option("--artifacts", "With --mlflow: also store the logged artifacts there.")
def push_command(
    remote: str | None, refs: tuple[str, ...], mlflow: str | None, artifacts: bool, **how: Any
) -> int:
    """Send experiments that REMOTE does not have yet, with their branch, labels, notes and data (to
    DVC's remote).

    Without REMOTE, the one that git push would take. With REFs, only these experiments, and no
    branch. Names here never change, and nothing is forced: where REMOTE has another exp-7, yours is
    called OWNER/exp-7 there. The branch experiments/OWNER on REMOTE holds them all.

    \b
    Examples:
      gitexp push
      gitexp push exp-3 best:rmse
      gitexp push --dry-run
      gitexp push --mlflow http://localhost:5000
    """
    if artifacts and mlflow is None:
        raise UsageError(
            "--artifacts belongs to --mlflow; git takes what is in an experiment in any case"
        )
    if mlflow and "://" not in mlflow:  # --mlflow without an address, and what stands after it
        remote, refs, mlflow = mlflow, (*((remote,) if remote else ()), *refs), ""
    repo, settings, index = opened()
    # what is wrong with it is said before anything goes anywhere
    to = None if mlflow is None else target(repo, mlflow or None)
    # an experiment, then: the remote may be left out
    first = remote if remote and not transport.exists(repo, remote) else None
    if first:
        refs, remote = (first, *refs), None
    try:
        chosen = reference.resolve_many(index, refs, settings)
    except NotFoundError as error:
        why = f"'{first}' is not a remote, and {error}" if first else str(error)
        raise NotFoundError(why) from None
    if to is None or remote or repo.git("remote"):
        _push(index, remote, chosen, how)
    else:
        output.say("there is no git remote, so only the MLflow server gets them")
    if to is None:
        return 0
    chosen = chosen if refs else index.select()
    if how["dry_run"]:
        click.echo(f"would mirror {output.counted(len(chosen), 'experiment')} to {to.uri}")
        return 0
    return mirror(repo, chosen, to, artifacts)


def _push(
    index: Index, remote: str | None, chosen: Sequence[Experiment], how: Mapping[str, Any]
) -> None:
    """Push to a git remote, and say what went; ``how`` is what ``sync.push`` takes."""
    pushed = _followed(lambda progress: sync.push(index, remote, chosen, **how, progress=progress))
    _print_pushed(pushed, "would push" if how["dry_run"] else "pushed")
    if pushed.data:
        output.say(f"data: {pushed.data:,} files and folders are on DVC's remote")
    if pushed.data_missing:
        output.say(
            f"{pushed.data_missing:,} of these files are not in DVC's cache here and were not sent"
        )
    if pushed.notes_problem:
        output.say(f"labels and notes were not pushed: {pushed.notes_problem}")
    if pushed.kept_back:
        raise GitexpError(
            f"the branch was not pushed to {pushed.remote}, the experiments were:"
            f" {pushed.kept_back}"
        )


@click.command("pull")
@argument("[REMOTE]")
@option("--prune", "Forget experiments that are gone on REMOTE.")
@unless("data", "Do not fetch the data that DVC tracks.")
@option("--all-files", "In a partial clone: bring all files of experiments, not only results.")
def pull_command(remote: str | None, **how: bool) -> None:
    """Fetch everybody's experiments, labels and notes from REMOTE, and their data (into DVC's
    cache).

    They come under names of their own, origin/exp-7 and bob/exp-7, which every command takes;
    gitexp list --all shows them. Branches, tags and files here stay as they are.

    \b
    Example:
      gitexp pull && gitexp list --all
    """
    repo = Repo.discover()
    pulled = _followed(lambda progress: sync.pull(repo, remote, **how, progress=progress))
    parts = [output.counted(pulled.experiments, "experiment")] if pulled.experiments else []
    parts += ["labels and notes"] if pulled.notes else []
    got = f"pulled {' and '.join(parts)} from" if parts else "nothing new on"
    click.echo(f"{got} {pulled.remote}")
    if pulled.files:
        what = f"{pulled.files:,} files and folders of experiments"
        output.say(f"{what} were added to this partial clone")
    if pulled.data:
        output.say(f"data: {pulled.data:,} files and folders are in DVC's cache")
    if pulled.data_problem:
        output.say(f"not all data arrived: {pulled.data_problem}; a checkout tries again")
    if pulled.notes_problem:
        output.say(f"labels and notes were not pulled: {pulled.notes_problem}")
    if pulled.experiments:
        output.say("to see them: gitexp list --all")


def _print_pushed(pushed: Pushed, verb: str) -> None:
    parts = [output.counted(len(pushed.experiments), "experiment")] if pushed.experiments else []
    if not pushed.experiments and pushed.tags:
        parts.append(output.counted(len(pushed.tags), "tag"))
    parts += [f"the branch {pushed.branch}"] if pushed.branch else []
    parts += ["labels and notes"] if pushed.notes else []
    if not parts:
        click.echo(f"{pushed.remote} has all experiments of this clone")
        return
    owner = f" as {pushed.owner}" if pushed.experiments else ""
    click.echo(f"{verb} {', '.join(parts)} to {pushed.remote}{owner}")
    names = {**pushed.experiments, **pushed.tags}
    renamed = [(here, there) for here, there in names.items() if here != there]
    for here, there in renamed[:_SHOWN]:
        click.echo(output.clean(f"  {here} is {there} on {pushed.remote}"))
    if len(renamed) > _SHOWN:
        click.echo(f"  and {len(renamed) - _SHOWN:,} more under {pushed.owner}/")


def _followed(work: Callable[[Progress | None], Result]) -> Result:
    """Do the work with a line of progress where stderr is a terminal."""
    line = output.Progress()

    def show(stage: str, done: int, total: int) -> None:
        line.show(f"{stage}: {done:,} of {total:,}" if total else f"{stage}: {done:,}")

    try:
        return work(show if line.on else None)
    finally:
        line.clear()


class Target(NamedTuple):
    """An MLflow server, what to log in with, and what to do where it refuses that."""

    uri: str
    who: Login | None
    advice: str = ""


def mirror(
    repo: Repo, found: Sequence[Experiment], to: Target, artifacts: bool, place: str | None = None
) -> int:
    """Mirror experiments to a server, and say what was done.

    Returns:
        the exit code: 1 where some could not be mirrored.
    """
    from gitexp.integrations.mlflow.client import Server
    from gitexp.integrations.mlflow.mirror import mirror as mirrored

    line = output.Progress()

    def show(done: int, total: int) -> None:
        line.show(f"mirroring: {done:,} of {total:,}")

    try:
        with Server(to.uri, to.who, to.advice) as server:
            done = mirrored(
                repo, server, found, artifacts=artifacts, otherwise=place, progress=show
            )
    except KeyboardInterrupt:
        output.say("what is missing goes there when the same command is run again")
        raise
    finally:
        line.clear()
    words = ("new", "completed", "updated", "there already")
    counts = zip((done.created, done.completed, done.updated, done.unchanged), words)
    told = ", ".join(f"{len(names):,} {what}" for names, what in counts if names) or "nothing"
    output.say(f"mirrored to {to.uri}: {told}")
    for name, why in done.failed[:_NAMED]:
        output.say(f"{name} was not mirrored: {why}")
    if len(done.failed) > _NAMED:
        output.say(f"and {len(done.failed) - _NAMED:,} more were not mirrored")
    return 1 if done.failed else 0


def target(repo: Repo, uri: str | None) -> Target:
    """Return the MLflow server to mirror to: the one named, that of MLFLOW_TRACKING_URI, or that of
    a DagsHub remote.

    Raises:
        UsageError: none is known.
    """
    from gitexp.integrations import dagshub_remote
    from gitexp.integrations.mlflow import login

    host = dagshub_remote.usable_host(os.environ)
    usual = os.environ.get("MLFLOW_TRACKING_URI", "")
    # a local store of MLflow's is no server
    usual = usual if usual.startswith(("http://", "https://")) else ""
    home = dagshub_remote.find_home(repo, host) if host and not (uri or usual) else None
    named = uri or usual or (home.mlflow if home else None)
    if not named:
        raise UsageError(
            "which MLflow server? Write its address, for example http://localhost:5000, set"
            " MLFLOW_TRACKING_URI, or make DagsHub a remote: gitexp remote dagshub OWNER/REPO"
        )
    address, who = login.address(named), login.login(named, os.environ)
    if who or not host or not f"{address}/".startswith(f"{host}/"):
        return Target(address, who)
    token = dagshub_remote.token(host, os.environ)
    if token is None:
        return Target(address, None, dagshub_remote.NO_TOKEN)
    who = login.Login(dagshub_remote.username(token, os.environ), token)
    return Target(address, who, "the token may have expired: dagshub login")
