/* Curves. */
"use strict";

/** Return steps, times and values of a curve; undefined where there is none. */
function series(all, at, metric) {
  const found = all.experiments[at][metric];
  const summed = (list) => { let sum = 0; return list.map((by) => (sum += by)); };
  return found && { steps: summed(found[0]), times: summed(found[1]), values: found[2] };
}

/** Smooth values by an exponential mean, without a pull towards the first one. */
function smoothed(values, weight) {
  let mean = 0, mass = 0;
  return values.map((value) => {
    if (value === null) return null;
    mean = weight * mean + (1 - weight) * value;
    mass = weight * mass + (1 - weight);
    return mean / mass;
  });
}

function curveTraces(all, list, metric) {
  const weight = Number(state.smooth || 0);
  return list.flatMap((at) => {
    const found = series(all, at, metric);
    if (!found) return [];
    const x = state.axis === "time" ? found.times.map((ms) => ms / 1000) : found.steps;
    const line = { color: colour(at, list), width: 1.7 };
    const one = { type: "scatter", mode: "lines", name: plain(E.name[at]), x, line, hovertemplate: "%{y:.5g}" };
    const raw = { ...one, y: found.values, opacity: 0.22, hoverinfo: "skip", hovertemplate: null };
    return weight ? [raw, { ...one, y: smoothed(found.values, weight) }] : [{ ...one, y: found.values }];
  });
}

async function curveCharts(list, height = "plot") {
  const all = await curves();
  const metrics = Object.keys(data.metrics).filter((name) => list.some((at) => all.experiments[at][name]));
  const boxes = metrics.map((name) => el("div", { class: `chart`, "data-metric": name }, el("h3", {}, name), el("div", { class: height })));
  const layout = { xaxis: { title: { text: state.axis === "time" ? "seconds" : "step", standoff: 4 } }, yaxis: { type: state.log ? "log" : "linear" } };
  return { all, boxes, after: async () => { for (const box of boxes) if (box.isConnected) await chart(box.lastChild, curveTraces(all, list, box.dataset.metric), layout); } };
}

async function drawCurves() {
  const { list, note } = subject(30);
  const { all, boxes, after } = await curveCharts(list);
  const wanted = boxes.filter((box) => !state.metric || box.dataset.metric === state.metric);
  return { nodes: [
    el("div", { class: "controls" },
      select("Metric", [["", "all"], ...boxes.map((box) => [box.dataset.metric, box.dataset.metric])], state.metric, (metric) => go({ metric })),
      select("Axis", [["", "step"], ["time", "time"]], state.axis, (axis) => go({ axis })),
      toggle("Log scale", state.log === "1", (on) => go({ log: on ? "1" : "" })),
      el("label", {}, "Smoothing", el("input", { type: "range", id: "smooth", min: 0, max: 0.98, step: 0.02, value: state.smooth || 0, onchange: (event) => go({ smooth: event.target.value === "0" ? "" : event.target.value }) }))),
    el("p", { class: "note" }, note, all.kept < all.all ? `Curves are thinned to at most ${all.limit} points each by ${all.method}: ${all.kept.toLocaleString("en")} of ${all.all.toLocaleString("en")} points are here.` : "Every recorded point is here, rounded to six digits.", boxes.length ? "" : " None of these experiments has a metric with more than one point."),
    legend(list),
    el("div", { class: "charts" }, wanted.map((box) => (wanted.length === 1 && (box.lastChild.className = "plot tall"), box))),
  ], after };
}

const legend = (list) => (state.chosen.size || list.length < 2 ? "" : el("div", { class: "controls" }, list.slice(0, 12).map((at) => el("span", { class: "chip" }, el("i", { class: "dot", style: `background:${colour(at, list)}` }), el("span", {}, E.name[at]))), list.length > 12 && el("span", { class: "soft" }, `and ${list.length - 12} more`)));
