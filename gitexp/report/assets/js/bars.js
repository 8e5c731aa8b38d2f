/* Bars: one value of each experiment. */
"use strict";

/** Return a metric's value in each experiment as bars, from 0. */
function barBox(one, list) {
  const values = list.map(one.of).filter(Number.isFinite);
  const low = Math.min(0, ...values), high = Math.max(0, ...values),
    span = high - low || 1, top = best(one, list);
  const bar = (at) => {
    const value = one.of(at), fine = Number.isFinite(value);
    const left = (100 * (Math.min(value, 0) - low)) / span, wide = (100 * Math.abs(value)) / span;
    const style = `left:${left}%;width:${wide}%;background:${colour(at, list)}`;
    return [el("button", { class: "link", onclick: () => openOne(at) },
        E.name[at]), el("div", { class: "bar" }, fine && el("i", { class: "point", style })),
      el("span", { class: value === top ? "number best" : "number" }, shown(value))];
  };
  const way = one.better === "min" ? 1 : -1, rank = (at) => one.of(at) ?? Infinity * way;
  const sorted = [...list].sort((a, b) => way * (rank(a) - rank(b) || 0));
  return el("div", { class: "chart bars", "data-bars": one.title },
    el("h3", {}, one.title), el("div", { class: "share" }, sorted.slice(0, 60).map(bar)),
    list.length > 60 && hint(`and ${list.length - 60} more`));
}

function drawBars() {
  const { list, note } = subject(60);
  const metrics = columns.filter((one) => one.kind === "metrics"
    && (!state.metric || one.title === state.metric) && list.some((at) => one.of(at) !== null));
  return { nodes: [
    el("div", { class: "controls" }, choice("Metric", "metric",
      [["", "all"], ...Object.keys(data.metrics).map((name) => [name, name])])),
    hint(note, metrics.length ? `The ${state.agg || "last"} value of each metric.`
      : "None of these experiments has a metric."),
    ...sections(metrics.map((one) => barBox(one, list))),
  ] };
}
