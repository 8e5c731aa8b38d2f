/* Parallel coordinates. */
"use strict";

const MOST_LINES = 2000; // more take a browser seconds, and nobody tells them apart

/** Return evenly chosen ones of a long list. */
const thinned = (list) => (list.length <= MOST_LINES ? list
  : list.filter((_, at) => Math.trunc(at * MOST_LINES / list.length)
    < Math.trunc((at + 1) * MOST_LINES / list.length)));

/** Draw a line for each experiment on a canvas, an axis for each column.
 * Brushing an axis sets the column's filter, so the table follows. */
function drawParallel() {
  const axes = parallelAxes();
  if (axes.length < 2)
    return { nodes: [hint("Parallel coordinates need two params or metrics that vary.")] };
  const faded = rows(new Set(axes.map((one) => one.key)));
  const shade = column.get(state.color) ?? mainMetric(axes) ?? axes.at(-1);
  const box = el("div", { class: "parallel", style: `width:${axes.length * 7.5}rem` },
    el("canvas"));
  const scales = axes.map((one) => scaleOf(one, faded));
  axes.forEach((one, at) => box.append(axis(one, scales[at], (at + 0.5) / axes.length)));
  const paint = () => paintLines(box, scales, faded, shade);
  new ResizeObserver(paint).observe(box);
  return { nodes: [
    el("div", { class: "controls" },
      choice("Colour", "color", options(axes), shade.key), el("button",
        { onclick: () => { axes.forEach((one) => state.filters.delete(one.key)); go(); } },
        "Clear brushes")),
    hint(`${rows().length.toLocaleString("en")} of ${plural(faded.length, "experiment")} pass. `,
      rows().length > MOST_LINES ? "2,000 of their lines are drawn. " : "",
      "Drag along an axis, or write below it (0.1..0.5, =adam|sgd): the table and the other views ",
      "follow. The axes are the params and metrics among the columns; drag a name to move one."),
    shade.number ? rampLegend(shade, scaleOf(shade, rows())) : "",
    el("div", { class: "chart wide" }, box),
  ], after: paint };
}

/** Return the metric that the table is sorted by, else the first whose better direction is known,
 * else the first. */
function mainMetric(axes) {
  const metrics = axes.filter((one) => one.kind === "metrics" && one.number);
  return metrics.find((one) => one.key === state.sort.replace(/^-/, ""))
    ?? metrics.find((one) => one.better) ?? metrics[0];
}

function parallelAxes() {
  const all = (state.columns ?? defaultColumns())
    .map((key) => column.get(key)).filter((one) => one.kind !== "info" && distinct(one).length > 1);
  const metrics = all.filter((one) => one.kind === "metrics");
  const axes = [...all.filter((one) => one.kind === "params").slice(0, 9), ...metrics.slice(0, 4)];
  const order = listed(state.order);
  const place = (one) => (order.indexOf(one.key) < 0 ? order.length : order.indexOf(one.key));
  return state.order ? axes.sort((a, b) => place(a) - place(b)) : axes;
}

/** Return how a column lies on an axis: `place` gives 0 (bottom) to 1 (top), `ticks` what is
 * written there, `back` the value. */
function scaleOf(one, list) {
  const values = distinct(one, list.length ? list : everyone)
    .filter((value) => !(typeof value === "number" && !Number.isFinite(value)));
  if (!one.number) {
    const words = values.map(String).sort();
    const place = (value) =>
      (words.length > 1 ? words.indexOf(String(value)) / (words.length - 1) : 0.5);
    return { one, place, words, ticks: words.slice(0, 30).map((word) => [place(word), word]) };
  }
  const low = values.reduce((a, b) => Math.min(a, b), Infinity),
    high = values.reduce((a, b) => Math.max(a, b), -Infinity);
  const log = isWide([low, high]);
  const [to, from] = log ? [Math.log, Math.exp] : [(value) => value, (value) => value];
  const span = to(high) - to(low) || 1;
  const back = (part) => (part < 0.02 ? low
    : part > 0.98 ? high : from(to(low) + part * span)); // near an end means the end
  const whole = values.every(Number.isInteger),
    parts = low === high ? [0] : [0, 0.25, 0.5, 0.75, 1];
  const place = (value) => (to(value) - to(low)) / span;
  const round = (value) => (whole ? Math.round(value) : Number(value.toPrecision(3)));
  const marks = whole && values.length <= 6
    ? values : [...new Set(parts.map((part) => round(back(part))))];
  return { one, place, back, ticks: marks.map((value) => [place(value), shown(value)]) };
}

/** Move an axis to the place of another. */
function moveAxis(key, before) {
  const keys = parallelAxes().map((one) => one.key),
    [from, to] = [keys.indexOf(key), keys.indexOf(before)];
  if (from < 0 || from === to) return;
  keys.splice(from, 1);
  keys.splice(to, 0, key);
  go({ order: asList(keys) });
}

function axis(one, scale, across) {
  const text = state.filters.get(one.key) ?? "";
  const track = el("div", { class: "track" }, scale.ticks.map(([part, word]) =>
      el("span", { class: "tick", style: `top:${100 - part * 100}%` }, word)));
  const span = /^(\S+)\.\.(\S+)$/.exec(text);
  const range = el("i", { class: "range", hidden: !(span && scale.back) });
  const show = (low, high) => { range.hidden = false; range.style.top = `${100 - high * 100}%`;
    range.style.height = `${Math.max(1, (high - low) * 100)}%`; };
  if (span && scale.back) show(...[span[1], span[2]]
    .map((end) => Math.max(0, Math.min(1, scale.place(Number(end)) || 0))));
  track.append(range);
  track.addEventListener("pointerdown", (down) => {
    const frame = track.getBoundingClientRect();
    const part = (event) =>
      Math.max(0, Math.min(1, 1 - (event.clientY - frame.top) / frame.height));
    const start = part(down);
    let end = start;
    track.setPointerCapture(down.pointerId);
    track.onpointermove = (event) => { end = part(event);
      show(Math.min(start, end), Math.max(start, end)); };
    track.onpointerup = () => {
      track.onpointermove = track.onpointerup = null;
      setFilter(one.key, Math.abs(end - start) < 0.01
        ? "" : brushText(scale, Math.min(start, end), Math.max(start, end)));
    };
  });
  return el(
    "div", { class: `axis ${one.kind}`, "data-key": one.key, style: `left:${across * 100}%` },
    el("div", { class: "name", title: one.title, draggable: "true",
        ondragstart: (event) => event.dataTransfer.setData("text/plain", one.key),
        ondragover: (event) => event.preventDefault(), ondrop: (event) => { event.preventDefault();
          moveAxis(event.dataTransfer.getData("text/plain"), one.key); } }, one.title), track,
    el("input", { value: text, placeholder: "all",
        spellcheck: "false", "aria-label": `Filter ${visible(one.title)}`,
        onchange: (event) => setFilter(one.key, event.target.value) }));
}

function brushText(scale, low, high) {
  const rounded = (part) =>
    (part < 0.02 || part > 0.98 ? scale.back(part) : Number(scale.back(part).toPrecision(4)));
  if (scale.back) return `${rounded(low)}..${rounded(high)}`;
  const inside = (part) => part >= low - 0.02 && part <= high + 0.02;
  return `=${scale.words.filter((word) => inside(scale.place(word))).join("|")}`;
}

function paintLines(box, scales, faded, shade) {
  const made = penOf(box.firstChild);
  if (!made) return;
  const { pen, wide } = made, rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
  const top = 1.9 * rem, tall = made.tall - 4.5 * rem;
  const passing = new Set(rows());
  const scale = scaleOf(shade, [...passing]);
  // an axis knows nothing of these experiments: their line leaps over it, in grey
  const gaps = new Set([...passing].filter((at) => scales.some(({ one }) => one.of(at) === null)));
  const trace = (at) => {
    pen.beginPath();
    let down = false;
    scales.forEach(({ one, place }, number) => {
      const value = one.of(at), part = value === null ? NaN : place(value);
      if (!Number.isFinite(part)) return;
      const x = ((number + 0.5) / scales.length) * wide, y = top + (1 - part) * tall;
      down ? pen.lineTo(x, y) : pen.moveTo(x, y);
      down = true;
    });
    pen.stroke();
  };
  pen.lineJoin = "round";
  pen.strokeStyle = css("--line");
  pen.lineWidth = 1;
  thinned(faded.filter((at) => !passing.has(at))).forEach(trace);
  pen.lineWidth = 1.4;
  const drawn = Math.max(1, Math.min(MOST_LINES, passing.size));
  pen.globalAlpha = Math.max(0.12, Math.min(0.85, 60 / drawn));
  const soft = css("--soft");
  for (const at of thinned([...passing])) {
    if (state.chosen.has(at)) continue;
    pen.strokeStyle = gaps.has(at) || shade.of(at) === null
      ? soft : rampAt(scale.place(shade.of(at)));
    trace(at);
  }
  pen.globalAlpha = 1;
  pen.lineWidth = 3;
  for (const at of state.chosen) { pen.strokeStyle = colour(at); trace(at); }
  pen.fillStyle = css("--soft");
  pen.textAlign = "center";
  scales.forEach(({ one }, number) => {
    const missing = [...passing].filter((at) => one.of(at) === null).length;
    const middle = ((number + 0.5) / scales.length) * wide;
    if (missing) pen.fillText(`${missing} missing`, middle, top + tall + 0.8 * rem);
  });
}
