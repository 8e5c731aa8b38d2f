"""One chart of some experiments as a picture (PNG, SVG, PDF), drawn by matplotlib without a
display."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from gitexp.compare.importance import importance
from gitexp.formats.errors import UsageError
from gitexp.formats.experiment import Experiment
from gitexp.formats.extras import needed
from gitexp.report.data import cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_IN_A_LEGEND = 12
_MISSING = -0.12  # where parallel coordinates mark what an experiment lacks: below the axis
_WIDE = 50  # how far apart positive numbers lie before an axis becomes logarithmic


def needs() -> Any:
    """Return what a chart is made with; raise MissingExtraError where it is not installed."""
    needed("matplotlib.figure", "a picture", "report")
    return needed("matplotlib", "a picture", "report")


def draw(
    kind: str, experiments: Sequence[Experiment], metric: str, x: str | None, form: str, log: bool
) -> bytes:
    """Return a chart.

    Args:
        kind: ``curves``, ``scatter``, ``parallel``, ``importance`` or ``bars``.
        metric: what is drawn (on the y axis), which all of them have.
        x: the param or metric on the x axis of a scatter.
        form: ``png``, ``svg`` or ``pdf``.
        log: whether values are drawn on a logarithmic axis.

    Raises:
        MissingExtraError: matplotlib is not installed.
        UsageError: the experiments have nothing to draw.
    """
    matplotlib = needs()
    style: Any = {
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.25,
        "svg.hashsalt": "gitexp",
        "text.parse_math": False,
    }
    with matplotlib.rc_context(style):
        figure = matplotlib.figure.Figure(figsize=(8, 4.8), layout="constrained")
        axes = figure.add_subplot()
        if kind == "scatter":
            _scatter(axes, experiments, x, metric)
        else:
            _DRAWN[kind](axes, experiments, metric)
        if log and kind in ("curves", "scatter", "bars"):
            axes.set_yscale("log")
            _plain_ticks(axes.yaxis)
        target = io.BytesIO()
        dated = {"Date": None} if form == "svg" else None
        figure.savefig(target, format=form, dpi=160, metadata=dated)
    return target.getvalue()


def _curves(axes: Axes, experiments: Sequence[Experiment], metric: str) -> None:
    drawn = 0
    for item in experiments:
        points = [(one.step, one.value) for one in item.points() if one.name == metric]
        if any(math.isfinite(value) for _, value in points):
            steps, values = zip(*sorted(points, key=itemgetter(0)))
            dots: Any = {"marker": "o", "markersize": 4, "markevery": _alone(values)}
            axes.plot(steps, values, label=item.name, **dots)
            drawn += 1
    if not drawn:
        raise UsageError(f"none of these experiments has a history of '{metric}' in finite numbers")
    axes.set(xlabel="step", ylabel=metric)
    if drawn <= _IN_A_LEGEND:
        axes.legend(frameon=False, fontsize="small")


def _alone(values: Sequence[float]) -> list[int]:
    """Return where values have no neighbour that a line could join them to."""
    known = [False, *map(math.isfinite, values), False]
    return [at for at, around in enumerate(zip(known, known[1:], known[2:])) if around == (0, 1, 0)]


def _plain_ticks(axis: Any) -> None:
    """Write the ticks of a logarithmic axis as numbers: Matplotlib writes formulas, which are
    switched off since names hold dollar signs."""
    from matplotlib.ticker import LogFormatter

    axis.set_major_formatter(LogFormatter())
    axis.set_minor_formatter(LogFormatter(minor_thresholds=(1, 0.4)))


def _scatter(axes: Axes, experiments: Sequence[Experiment], x: str | None, metric: str) -> None:
    if x is None:
        raise UsageError("a scatter needs an x axis: -x PARAM (or a metric)")
    both = [
        (item, _of(item, x), item.metrics[metric])
        for item in experiments
        if _of(item, x) is not None
    ]
    if not both:
        raise UsageError(f"no experiment here has both '{x}' and '{metric}'")
    values = [value for _, value, _ in both]
    numbers = all(isinstance(value, (int, float)) for value in values)
    across = values if numbers else [str(value) for value in values]
    axes.scatter(across, [y for _, _, y in both], alpha=0.8)
    if numbers and _wide(values):
        axes.set_xscale("log")
        _plain_ticks(axes.xaxis)
    if len(both) <= _IN_A_LEGEND:
        beside: Any = {"xytext": (4, 4), "textcoords": "offset points", "fontsize": "x-small"}
        for at, (item, _, y) in zip(across, both):
            axes.annotate(item.name, (at, y), **beside)
    axes.set(xlabel=x, ylabel=metric)


def _parallel(axes: Axes, experiments: Sequence[Experiment], metric: str) -> None:
    from matplotlib import colormaps

    usable = [item for item in experiments if math.isfinite(item.metrics[metric])]
    names = [
        name
        for name in dict.fromkeys(name for item in usable for name in item.params)
        if len({str(cell(item.params.get(name))) for item in usable}) > 1
    ]
    if len(usable) < 2 or not names:
        raise UsageError(
            f"parallel coordinates need two experiments with '{metric}' whose params differ"
        )
    columns = [
        *(_placed([_of(item, name) for item in usable]) for name in names),
        _placed([item.metrics[metric] for item in usable]),
    ]
    for at, item in enumerate(usable):
        places = [column[0][at] for column in columns]
        gaps = [number for number, place in enumerate(places) if math.isnan(place)]
        axes.plot(
            [_MISSING if math.isnan(place) else place for place in places],
            color="grey" if gaps else colormaps["viridis"](places[-1]),
            alpha=0.75,
            label=item.name,
            marker="x",
            markevery=gaps,
        )
    for at, (places, ticks) in enumerate(columns):
        axes.axvline(at, color="black", linewidth=0.8)
        if any(map(math.isnan, places)):
            ticks.append((_MISSING, "missing"))
        for place, text in ticks:
            axes.text(at + 0.03, place, text, fontsize="x-small", va="center")
    axes.set_xticks(range(len(columns)), [*names, metric], rotation=20 if len(columns) > 5 else 0)
    axes.set(yticks=[], xlim=(-0.1, len(columns) - 0.6))
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)


def _importance(axes: Axes, experiments: Sequence[Experiment], metric: str) -> None:
    found = importance(experiments, metric)[:20][::-1]
    if not found:
        raise UsageError(f"importance needs three experiments with '{metric}' whose params differ")
    forest = found[0].forest is not None
    values = [(item.forest or 0.0) if forest else item.correlation for item in found]
    axes.barh([item.param for item in found], values)
    what = "share in a random forest for" if forest else "correlation with"
    axes.set(xlabel=f"{what} {metric}")


def _bars(axes: Axes, experiments: Sequence[Experiment], metric: str) -> None:
    axes.bar([item.name for item in experiments], [item.metrics[metric] for item in experiments])
    axes.set_ylabel(metric)
    if len(experiments) > 8:
        axes.tick_params(axis="x", rotation=90)


_DRAWN = {
    "curves": _curves, "parallel": _parallel, "importance": _importance, "bars": _bars
}  # fmt: skip


def _of(item: Experiment, name: str) -> Any:
    value = item.metrics[name] if name in item.metrics else item.params.get(name)
    return None if value is None else cell(value)


def _placed(values: Sequence[Any]) -> tuple[list[float], list[tuple[float, str]]]:
    """Return where values lie on an axis from 0 to 1 (NaN for what is missing), and what is written
    there."""
    known = [value for value in values if value is not None]
    if all(type(value) in (int, float) for value in known):
        scale = math.log if _wide(known) else float
        low, high = scale(min(known)), scale(max(known))
        span = high - low or 1.0
        spots = {value: (scale(value) - low) / span for value in known}
        ends = sorted({min(known), max(known)})
        ticks = [(spots[value], f"{value:.4g}") for value in ends]
    else:
        words = sorted({str(value) for value in known})
        places = {word: at / max(1, len(words) - 1) for at, word in enumerate(words)}
        spots = {value: places[str(value)] for value in known}
        ticks = [(place, word[:18]) for word, place in places.items()]
    return [math.nan if value is None else spots[value] for value in values], ticks


def _wide(values: Sequence[Any]) -> bool:
    return bool(min(values) > 0 and max(values) / min(values) > _WIDE)
