/* Scatter. */
"use strict";

const measures = () => columns.filter((one) => one.kind !== "info" && distinct(one).length > 1);
const options = (list) => list.map((one) =>
  [one.key, `${one.title}${one.kind === "info" ? "" : ` (${one.kind.slice(0, -1)})`}`]);

/** Whether numbers are positive and so far apart that only a logarithmic axis shows them. */
const isWide = (values) => values.every((value) => value > 0)
  && Math.max(...values) / Math.min(...values) > 50;

/** Return those of some experiments that no other one beats in both columns, by the first. */
function frontOf(x, y, list) {
  const cost = (one, at) => (one.better === "max" ? -one.of(at) : one.of(at));
  let least = Infinity;
  return [...list].sort((a, b) => cost(x, a) - cost(x, b) || cost(y, a) - cost(y, b))
    .filter((at) => cost(y, at) < least && ((least = cost(y, at)), true));
}

function drawScatter() {
  const all = measures();
  const pick = (key, kind) => column.get(key) ?? all.find((one) => one.kind === kind && one.number)
    ?? all.find((one) => one.kind === kind) ?? all[0];
  const x = pick(state.x, "params"), y = pick(state.y, "metrics"),
    shade = column.get(state.color), weight = column.get(state.size);
  if (!x || !y) return { nodes: [hint("No param and no metric varies here.")] };
  const { list, note } = subject(5000);
  const log = (one, wish) => one.number
    && (wish ? wish === "log" : isWide(distinct(one, list).filter(Number.isFinite)));
  const axis = (one, wish) => ({ title: one.title,
      log: log(one, wish), words: one.number ? null : distinct(one, list).map(String).sort() });
  const [across, up] = [axis(x, state.xs), axis(y, state.ys)];
  const value = (one, scale, at) =>
    (scale.words ? scale.words.indexOf(String(one.of(at))) : one.of(at));
  const there = list.filter((at) => x.of(at) !== null && y.of(at) !== null);
  const fits = (one, scale, at) => Number.isFinite(value(one, scale, at))
    && (!scale.log || value(one, scale, at) > 0);
  const usable = there.filter((at) => fits(x, across, at) && fits(y, up, at));
  const lost = there.length - usable.length;
  const words = shade && !shade.number ? distinct(shade, usable) : [],
    ramp = shade?.number ? scaleOf(shade, usable) : null;
  const tint = (at) => (!shade ? (state.chosen.size ? colour(at) : COLOURS[0])
    : shade.of(at) === null ? css("--soft") : ramp
    ? rampAt(ramp.place(shade.of(at))) : COLOURS[words.indexOf(shade.of(at)) % COLOURS.length]);
  const sizes = weight?.number ? scaleOf(weight, usable) : null;
  const points = usable.map((at) => ({ x: value(x, across, at), y: value(y, up, at),
        at, color: tint(at), size: sizes ? 3 + 8 * (sizes.place(weight.of(at)) || 0) : 5 }));
  const two = x.kind === "metrics" && y.kind === "metrics" && x.number && y.number && x !== y;
  const front = two && state.front ? frontOf(x, y, usable).map((at) => [x.of(at), y.of(at)]) : [];
  const box = el("div", { class: "plot tall", id: "scatter" });
  const scales = [["", "auto"], ["linear", "linear"], ["log", "log"]];
  return { nodes: [
    el("div", { class: "controls" },
      choice("x", "x", options(all), x.key), x.number && choice("scale", "xs", scales),
      choice("y", "y", options(all), y.key), y.number && choice("scale", "ys", scales),
      choice("Colour", "color",
        [["", "none"], ...options([column.get("status"), column.get("group"), ...all])]),
      choice("Size", "size",
        [["", "equal"], ...options([column.get("duration"), ...all.filter((one) => one.number)])]),
      two && flag("Pareto front", "front")),
    hint(note, `${plural(usable.length, "point")}. Click one to open the experiment.`,
      lost ? ` ${plural(lost, "experiment")} with values that this scale cannot show.` : "",
      front.length && (!x.better || !y.better)
      ? " For the front, less counts as better where nobody said which way is." : ""),
    ramp ? rampLegend(shade, ramp) : words.length ? el("div", { class: "controls" },
      words.slice(0, 20).map((word, at) => dotted(COLOURS[at % COLOURS.length], shown(word))))
      : "",
    el("div", { class: "chart" }, el("h3", {}, y.title), box),
  ], after: () => chart(box, { x: across, y: up, points, front }) };
}

/** Say what the colours of a scale mean. */
function rampLegend(one, scale) {
  const stops = [0, 0.25, 0.5, 0.75, 1].map(rampAt).join(", ");
  return el("div", { class: "controls ramp" },
    el("span", {}, one.title), el("span", {}, shown(scale.back(0))),
    el("i", { style: `background:linear-gradient(90deg, ${stops})` }),
    el("span", {}, shown(scale.back(1))), el("span", { class: "soft" }, "grey: missing"));
}
