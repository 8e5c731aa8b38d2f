/* Curves. */
"use strict";

/** Return steps, times and values of a curve; undefined where there is none. */
function series(all, at, metric) {
  const found = all.experiments[at]?.[metric];
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

/** Return where the points of a curve lie across, as the axis that was chosen says. */
function acrossOf(all, at, found) {
  if (state.axis === "time") return found.times.map((ms) => ms / 1000);
  if (state.axis === "wall") return found.times.map((ms) => E.started[at] + ms);
  const other = state.axis.startsWith("m.") ? series(all, at, state.axis.slice(2)) : null;
  if (!state.axis.startsWith("m.")) return found.steps;
  return other ? found.steps.map((step) => other.values[nearest(other.steps, step)]) : [];
}
const AXES = { "": "step", time: "seconds", wall: "time" };

/** Return the colour of each experiment: of its own, or of what a column says of it. */
function shades(list) {
  const one = column.get(state.shade);
  if (!one) return (at) => colour(at, list);
  if (!one.number) { const words = distinct(one, list);
    return (at) => COLOURS[Math.max(0, words.indexOf(one.of(at))) % COLOURS.length]; }
  const scale = scaleOf(one, list);
  return (at) => (one.of(at) === null ? css("--soft") : rampAt(scale.place(one.of(at))));
}

/** Return the colour at a part of a scale from blue to yellow, that the colour-blind can read. */
const rampAt = (part) => (Number.isFinite(part)
  ? `hsl(${Math.round(265 - 215 * part)} ${60 + 20 * part}% ${38 + 12 * part}%)` : css("--soft"));

/** @returns {Line[]} */
function curveLines(all, list, metric) {
  const weight = Number(state.smooth || 0), shade = shades(list);
  const lines = list.flatMap((at, place) => {
    const found = series(all, at, metric), x = found && acrossOf(all, at, found);
    if (!x?.length) return [];
    const order = state.axis.startsWith("m.") ? x.map((_, number) => number)
      .filter((number) => x[number] !== null).sort((a, b) => x[a] - x[b]) : null;
    const sorted = (values) => (order ? order.map((number) => values[number]) : values);
    const values = sorted(found.values);
    return [{ name: E.name[at], at, x: sorted(x),
        y: weight ? smoothed(values, weight) : values, raw: weight ? values : undefined,
        color: shade(at), dash: state.shade ? [] : dashOf(place) }];
  });
  return state.mean && state.by ? bands(lines) : lines;
}

/** Return the mean of each group of lines, with one standard deviation around it. */
function bands(lines) {
  const groups = new Map();
  for (const line of lines) {
    const name = groupKeys().map((key) =>
      `${column.get(key).title}=${shown(column.get(key).of(line.at), column.get(key))}`).join(", ");
    groups.set(name, [...(groups.get(name) ?? []), line]);
  }
  return [...groups].map(([name, members], place) => {
    const every = [...new Set(members.flatMap((one) => one.x))].sort((a, b) => a - b),
      step = Math.max(1, every.length / 400);
    const x = every.filter((_, at) => Math.floor(at / step) !== Math.floor((at - 1) / step)
      || at === every.length - 1);
    const found =
      x.map((at) => spread({ of: (one) => within(one, at) }, members) ?? { mean: null, std: null });
    const edge = (way) =>
      found.map(({ mean, std }) => (mean === null ? null : mean + way * (std ?? 0)));
    return { name: `${name} (${members.length})`, x, y: found.map((one) => one.mean),
      low: edge(-1), high: edge(1), color: COLOURS[place % COLOURS.length], dash: dashOf(place) };
  });
}

/** Return the value of a line at a place between its points; null beyond its ends. */
function within(line, x) {
  if (x < line.x[0] || x > line.x.at(-1)) return null;
  const at = nearest(line.x, x), before = line.x[at] <= x ? at : at - 1,
    after = Math.min(before + 1, line.x.length - 1);
  const [a, b] = [line.y[before], line.y[after]];
  if (line.x[before] === x || before === after || a === null || b === null) return a;
  return a + ((b - a) * (x - line.x[before])) / (line.x[after] - line.x[before]);
}

async function curveCharts(list, height = "plot") {
  const all = await curves();
  const metrics = Object.keys(data.metrics)
    .filter((name) => list.some((at) => all.experiments[at]?.[name]));
  const boxes = metrics.map((name) => el("div", { class: `chart`, "data-metric": name },
      el("h3", {}, name), el("div", { class: height })));
  const x = { title: AXES[state.axis] ?? state.axis.slice(2), time: state.axis === "wall" };
  const after = () => {
    for (const box of boxes) if (box.isConnected)
      chart(box.querySelector(".plot"), { x, y: { title: box.dataset.metric, log: !!state.log },
        lines: curveLines(all, list, box.dataset.metric), clip: !!state.clip });
  };
  return { all, boxes, after };
}

/** Put charts under the part of their name before the last `/`, where they have one. */
function sections(boxes) {
  const found = new Map();
  for (const box of boxes) {
    const name = /^(.*)\//.exec(box.dataset.metric ?? box.dataset.bars)?.[1] ?? "";
    found.set(name, [...(found.get(name) ?? []), box]);
  }
  const charts = (some) => el("div", { class: "charts" }, some);
  return [...found].map(([name, some]) =>
    (found.size === 1 && !name ? charts(some) : el("details", { open: true, class: "section" },
        el("summary", {}, name || "other", el("span", { class: "soft" }, ` ${some.length}`)),
        charts(some))));
}

async function drawCurves() {
  const { list, note } = subject(state.mean && state.by ? 1000 : 200);
  const { all, boxes, after } = await curveCharts(list);
  const wanted = boxes.filter((box) => !state.metric || box.dataset.metric === state.metric);
  const named = new Set(boxes.map((box) => box.dataset.metric));
  const single = columns.filter((one) => one.kind === "metrics" && !named.has(one.title)
    && (!state.metric || one.title === state.metric) && list.some((at) => one.of(at) !== null));
  if (wanted.length === 1) wanted[0].querySelector(".plot").className = "plot tall";
  const few = columns.filter((one) => one.kind !== "metrics"
    && varies().has(one.key) && !["name", "commit", "notes", "subject"].includes(one.key));
  return { nodes: [
    el("div", { class: "controls" },
      choice("Metric", "metric",
        [["", "all"], ...boxes.map((box) => [box.dataset.metric, box.dataset.metric])]),
      select("Axis", [["", "step"], ["time", "relative time"], ["wall", "wall time"],
          ...boxes.map((box) => [`m.${box.dataset.metric}`, box.dataset.metric])],
        state.axis, (axis) => go({ axis, zoom: "" })),
      choice("Colour by", "shade", [["", "experiment"],
        ...options(columns.filter((one) => one.kind !== "info" && varies().has(one.key)))]),
      select("Mean of", [["", "nothing"], ...options(few)], state.mean ? groupKeys()[0] ?? "" : "",
        (key) => go({ by: key && asList([key]), mean: key ? "1" : "" })),
      flag("Log scale", "log"),
      flag("Clip outliers", "clip"),
      el("label", {}, "Smoothing", el("input", { type: "range", id: "smooth",
            min: 0, max: 0.98, step: 0.02, value: state.smooth || 0, onchange: (event) =>
            go({ smooth: event.target.value === "0" ? "" : event.target.value }) })),
      state.zoom && el("button", { onclick: () => go({ zoom: "" }) }, "Whole range")),
    hint(note, all.kept < all.all
      ? `Curves are thinned to at most ${all.limit} points each by ${all.method}: ${
        plural(all.kept, "point")} of ${all.all.toLocaleString("en")} are here.`
      : "Every recorded point is here, rounded to six digits.",
    boxes.length ? " Drag across a chart to zoom all of them; twice on one to go back."
      : " None of these experiments has a metric with more than one point."),
    shadeLegend(list) ?? legend(list),
    ...sections([...wanted, ...single.map((one) => barBox(one, list))]),
  ], after };
}

/** Say which colour is which group, or which value; nothing where colours are the experiments'. */
function shadeLegend(list) {
  const chip = (word, at) => dotted(COLOURS[at % COLOURS.length], word);
  if (state.mean && state.by)
    return el("div", { class: "controls" }, bands(list.map((at) => ({ at, x: [], y: [] })))
    .slice(0, 30).map((one, at) => chip(one.name, at)),
    el("span", { class: "soft" }, "mean ± standard deviation"));
  const one = column.get(state.shade);
  if (!one) return null;
  return one.number ? rampLegend(one, scaleOf(one, list)) : el("div", { class: "controls" },
    distinct(one, list).slice(0, 30).map((word, at) => chip(shown(word), at)));
}

const legend = (list) =>
  (state.chosen.size || list.length < 2 ? "" : el("div", { class: "controls" },
    list.slice(0, 12).map((at) => dotted(colour(at, list), E.name[at])),
    list.length > 12 && el("span", { class: "soft" }, `and ${list.length - 12} more`)));
