/* Bars. */
"use strict";

function drawBars() {
  const { list, note } = subject(60);
  const metrics = columns.filter((one) => one.kind === "metrics" && (!state.metric || one.title === state.metric) && list.some((at) => one.of(at) !== null));
  const boxes = metrics.map((one) => el("div", { class: "chart", "data-metric": one.title }, el("h3", {}, one.title), el("div", { class: "plot" })));
  return { nodes: [
    el("div", { class: "controls" }, select("Metric", [["", "all"], ...Object.keys(data.metrics).map((name) => [name, name])], state.metric, (metric) => go({ metric }))),
    el("p", { class: "note" }, note, metrics.length ? "The last value of each metric." : "None of these experiments has a metric."), legend(list),
    el("div", { class: "charts" }, boxes),
  ], after: async () => {
    for (const [at, one] of metrics.entries()) {
      await chart(boxes[at].lastChild, [{ type: "bar", x: list.map((each) => plain(E.name[each])), y: list.map(one.of), marker: { color: list.map((each) => colour(each, list)) }, hovertemplate: "%{x}: %{y:.6g}<extra></extra>" }], { xaxis: { type: "category" }, bargap: 0.25 });
    }
  } };
}
