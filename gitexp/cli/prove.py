"""``gitexp reproduce``, ``verify``, ``bisect`` and ``why``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from gitexp.cli import output
from gitexp.cli.declare import NUMBER, POSITIVE, argument, option
from gitexp.cli.opened import Selection, chosen, metric_option, nothing, opened, where_option
from gitexp.cli.options import confirmed
from gitexp.compare import bisect as bisecting
from gitexp.compare import reproduce as reproducing
from gitexp.compare import rerun, why
from gitexp.compare import verify as verifying
from gitexp.compare.diff import changes
from gitexp.compare.verify import BAD, UNSIGNED, Checked
from gitexp.formats import environment, message
from gitexp.formats.errors import CannotRunError, NotFoundError, RepositoryError, UsageError
from gitexp.formats.experiment import Experiment
from gitexp.repo import Repo, content
from gitexp.store import conditions, connectivity, query, reference, result_paths

YES = option("-y, --yes", "Run the recorded command without asking.")


@click.command("reproduce")
@argument("REF")
@option("-t, --tolerance METRIC=AMOUNT...", "How far a metric may be off: rmse=1e-6, rmse=1%, 1%.")
@option(
    "--env",
    "The environment to run in.",
    type=click.Choice(reproducing.ENVIRONMENTS),
    default="current",
)
@option("--input PATH...", "Copy in a file that the command reads and that was not declared.")
@option("--record", "Record the new run as an experiment that says what it reproduces.")
@option("--keep", "Keep the work tree of the run.")
@YES
@output.output_options
def reproduce_command(
    ref: str,
    tolerance: Sequence[str],
    input: Sequence[str],
    yes: bool,
    form: str | None,
    **how: Any,
) -> int:
    """Run an experiment's command again, in a separate work tree at its commit, and compare every
    metric.

    \b
    gitexp reproduce exp-5
    gitexp reproduce exp-5 --env recorded --tolerance rmse=1e-6

    Shows the command and asks first. Data comes through DVC, and declared inputs (--input) as
    copies. Exit code 0: the same within the tolerance. 1: drifted, and what differs is
    printed; a second run tells noise from change. 125: it could not be run.
    """
    repo, known, index = opened()
    experiment = reference.resolve(index, ref, known)
    parsed = dict(reproducing.parse_tolerance(text) for text in tolerance)
    brought = [*conditions.hash_inputs(repo.root, input)]
    agreed(repo, experiment, yes)
    try:
        verdict = reproducing.reproduce(
            repo, experiment, parsed, brought=brought, shown=sys.stderr, told=output.say, **how
        )
    except RepositoryError as error:  # which `git bisect run` would take for a bad commit
        raise CannotRunError(str(error)) from None
    _show_verdict(experiment, verdict, form)
    return 0 if verdict.same else 1


@click.command("verify")
@argument("[REF]...", "refs")
@option("--all", "Check all experiments, those of remotes too.", "everything")
@where_option
@option("--signed", "Count an experiment without a signature as a failure.")
@option(
    "--allowed-signers FILE",
    "Whose SSH signatures to trust (default: gpg.ssh.allowedSignersFile of your own git"
    " configuration).",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@output.output_options
def verify_command(
    refs: tuple[str, ...],
    everything: bool,
    where: str | None,
    signed: bool,
    allowed_signers: Path | None,
    form: str | None,
) -> int:
    """Check that experiments are complete and untampered, and that their signatures are valid.

    \b
    gitexp verify exp-5
    gitexp verify --all --signed

    The tag must point to a commit with all its files, tag and files must agree, and declared inputs
    must have the hashes that were recorded. Nothing in the repository is run, and its settings do
    not decide whom you trust. Exit code 1: something is wrong, and is named.
    """
    if (refs and everything) or not (refs or everything or where):
        raise UsageError("name experiments to check, or use --where or --all")
    repo, known, index = opened()
    if refs or where:
        experiments = chosen(index, known, Selection(refs, where, everybody=everything))
    else:
        experiments = index.select(*query.EVERYTHING.within(query.ONCE), everybody=True)
        if not experiments and repo.is_shallow:
            raise NotFoundError(nothing(index, False, True))
    checked = list(verifying.verify(repo, experiments, allowed_signers))
    bad = (BAD, UNSIGNED) if signed else (BAD,)
    failed = [item for item in checked if item.problems or item.signature in bad]
    if form:
        headers = ["name", "ok", "signature", "signed", "problems", "unchecked"]
        rows = [
            [one.experiment.name, one not in failed, one.signature, one.signed,
             [*one.problems], [*one.unchecked]] for one in checked
        ]  # fmt: skip
        output.print_records(form, headers, rows)
    else:
        for item in checked:
            _show_checked(item, item in failed)
    return 1 if failed else 0


@click.command("bisect")
@argument("GOOD")
@argument("BAD")
@metric_option("The metric that got worse.", required=True)
@option("--max N", "Values up to N are good.", "high", type=NUMBER)
@option("--min N", "Values from N on are good.", "low", type=NUMBER)
@option(
    "--repeats N",
    "How many values to get for each commit; the median counts.",
    type=POSITIVE,
    default=1,
)
@YES
def bisect_command(
    good: str, bad: str, metric: str, high: float | None, low: float | None, repeats: int, yes: bool
) -> int:
    """Find the commit between the experiments GOOD and BAD that made a metric worse.

    \b
    gitexp bisect --metric rmse --max 18.5 exp-3 exp-9

    git bisect searches in a separate work tree. Where an experiment with BAD's command was recorded
    at a commit, its value is used; other commits are run, GOOD's first. One that cannot be run is
    skipped. The commit is printed with its diff. Environment variables that are params (LR=0.1
    python train.py) are not recorded: set them as they were for BAD.
    """
    if high is None and low is None:
        raise UsageError(
            "say what is good: --max for a metric that should be low, --min for one that should be"
            " high"
        )
    repo, known, index = opened()
    first, last = (reference.resolve(index, ref, known) for ref in (good, bad))
    apart = [one.name for one in changes(first.params, last.params)]
    if apart and first.command == last.command:
        output.say(
            f"the command is the same, the params are not ({message.some(apart)}): where an"
            f" environment variable sets them, set it as it was for {last.name}; runs take yours"
        )
    agreed(repo, last, yes, "Run it at the commits in between?")
    limit = bisecting.Limit(metric, high, low)
    commits = bisecting.bisect(
        index, limit, first, last, repeats=repeats, shown=sys.stderr,
        told=lambda step: output.say(_step(step, metric)),
    )  # fmt: skip
    if len(commits) > 1:
        click.echo("one of these commits made it worse; none of them could be run:")
        for commit in commits:
            title = connectivity.full_message(repo, commit).partition("\n")[0]
            click.echo(f"  {commit[:10]} {output.clean(title)}")
        return CannotRunError.exit_code
    output.say(f"the first commit with a bad {metric}:")
    plain = ("--stat", "--patch", "--no-ext-diff", "--no-textconv", "--no-color", "--no-notes")
    code = result_paths.code_pathspec([environment.PATH])
    shown = repo.git("show", *plain, commits[0], "--", *code).decode("utf-8", "replace")
    for line in shown.splitlines():
        click.echo(output.clean(line.replace("\t", "    ")))
    return 0


@click.command("why")
@argument("A")
@argument("B")
@metric_option("The metric; needed where A and B share more than one.")
@option("--budget N", "The most runs to start.", type=click.IntRange(2), default=10)
@YES
@output.output_options
def why_command(
    a: str, b: str, metric: str | None, budget: int, yes: bool, form: str | None
) -> None:
    """Explain a metric's change from A to B by trying what differs, one difference at a time.

    \b
    gitexp why exp-3 exp-7 --metric rmse

    Each param, the code, the data in DVC and the packages of B are applied to A one at a time, in a
    separate work tree, and A's command is run. What the single changes do not explain comes from
    several together: pairs of them are tried next, as far as the budget goes.
    """
    repo, known, index = opened()
    first, second = (reference.resolve(index, ref, known) for ref in (a, b))
    both = first.metrics.keys() & second.metrics.keys()
    shared = [name for name in first.metrics if name in both and not name.startswith("system.")]
    if metric is None and len(shared) != 1:
        raise UsageError(
            f"which metric? --metric METRIC, one of: {', '.join(shared) or 'none is in both'}"
        )
    for experiment in (first, second):
        agreed(repo, experiment, yes)
    name = metric or shared[0]
    found = why.attribute(
        repo, known, first, second, name, budget=budget, shown=sys.stderr, told=output.say
    )
    remark = "recorded" if found.base == found.before else f"recorded: {found.before}"
    rows: list[list[Any]] = [[first.name, found.base, None, remark]]
    rows += [[part.text, part.value, part.change, part.why] for part in found.parts]
    if found.runs:
        untried = any(part.value is None for part in found.parts)
        what = "not tried, together, and noise" if untried else "together, and noise"
        rows.append([what, None, found.rest, ""])
    rows.append([second.name, found.after, found.after - found.base, "recorded"])
    headers = ["what", name, "change", "remark"]
    if form:
        output.print_records(form, headers, rows)
        return
    shown = [
        [output.clean(str(text)), value, output.number(change), output.clean(str(why))]
        for (text, _, change, why), value in zip(rows, output.numbers([row[1] for row in rows]))
    ]
    output.print_table([*map(output.clean, headers)], shown, [False, True, True, False])


def _step(step: bisecting.Step, metric: str) -> str:
    if step.value is None:
        return f"{step.commit[:10]} skipped: {output.clean(step.why)}"
    low, high, many = min(step.values), max(step.values), len(step.values)
    spread = f" ({low:.5g} to {high:.5g} in {many})" if many > 1 else ""
    verdict, origin = "good" if step.good else "bad", "recorded" if step.recorded else "run"
    value = f"{metric}={output.number(step.value)}{spread}"
    return f"{step.commit[:10]} {verdict}: {value}, {origin}"


def agreed(repo: Repo, experiment: Experiment, yes: bool, question: str = "") -> None:
    """Show what would be run, and have the user agree; nothing from a repository is ever run by
    itself."""
    todo = rerun.task(repo, experiment)
    where = f"recorded by {experiment.author} <{experiment.email}>"
    if origin := experiment.extra.get("source"):
        if isinstance(origin, dict):
            origin = f"{origin.get('kind')} {origin.get('id')}"
        where += f", imported from {origin}"
    output.say(f"{experiment.name} ({where}) was made by this command:")
    output.say(f"  {todo.shown}")
    if not yes:
        call = shlex.join(["gitexp", *sys.argv[1:]])  # with all its options
        refusal = f"nothing was run; to run this command: {call} --yes"
        confirmed(question or "Run it, with this experiment's code?", refusal)


def _show_verdict(experiment: Experiment, verdict: reproducing.Verdict, form: str | None) -> None:
    headers = ["metric", "recorded", "now", "verdict"]
    rows: list[list[Any]] = [
        [item.name, item.recorded, item.now, "same" if item.same else "drifted"]
        for item in verdict.metrics
    ]
    if form == "json":
        facts = {
            "experiment": experiment.name,
            "commit": experiment.id,
            "verdict": "same" if verdict.same else "drifted",
            "metrics": [dict(zip(headers, row)) for row in rows],
            "reasons": list(verdict.reasons),
            "differences": [item._asdict() for item in verdict.differences],
            "recorded_as": verdict.experiment.name if verdict.experiment else None,
            "kept": str(verdict.kept) if verdict.kept else None,
        }
        output.print_json(facts)
        return
    if form:
        output.print_records(form, headers, rows)
        return
    if rows:
        cells = [[output.clean(output.exact(cell)) for cell in row] for row in rows]
        output.print_table(headers, cells)
    if verdict.same:
        how = "as it was recorded" if verdict.exact else "within the tolerance of what was recorded"
        metrics = output.counted(len(rows), "metric")
        click.echo(output.styled(f"same: {experiment.name} came out {how} ({metrics})", fg="green"))
    else:
        drifted = [output.clean(item.name) for item in verdict.metrics if not item.same]
        click.echo(output.styled(f"drifted: {', '.join(drifted)}", fg="red"))
    for reason in verdict.reasons:
        click.echo(f"  {output.clean(reason)}")
    if verdict.experiment:
        output.say(f"recorded as {verdict.experiment.name}")
    if verdict.kept:
        removal = content.removal(verdict.kept)
        output.say(f"the work tree was kept: {verdict.kept}; to remove it: {removal}")


def _show_checked(item: Checked, failed: bool) -> None:
    mark = output.styled("FAILED", fg="red") if failed else output.styled("ok", fg="green")
    signature = "unsigned"
    if item.signature != UNSIGNED:
        by = f": {output.clean(item.signed)}" if item.signed else ""
        signature = f"signature {item.signature}{by}"
    click.echo(f"{item.experiment.name}  {mark}  {signature}")
    for problem in item.problems:
        click.echo(f"  {output.clean(problem)}")
    for text in item.unchecked:
        click.echo(f"  not checked: {output.clean(text)}")
