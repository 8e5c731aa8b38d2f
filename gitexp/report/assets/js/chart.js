/* Charts on a canvas: axes, lines with bands, points, what the pointer is at, and a zoom for all.
 *
 * Own code: the libraries that draw as much as this needs are ten to a hundred times its size.
 */
"use strict";

/** @typedef {{name: string, at?: number, x: number[], y: (number|null)[], color: string,
 *   dash?: number[], raw?: (number|null)[], low?: number[], high?: number[]}} Line
 *  @typedef {{title: string, log?: boolean, time?: boolean, words?: string[]}} Scale
 *  @typedef {{x: Scale, y: Scale, lines?: Line[], points?: {x: number, y: number, at: number,
 *   color: string, size: number}[], front?: number[][], clip?: boolean}} Plot */

/** Return the colour that a variable of the style sheet has now: a canvas knows no variables. */
function css(name) {
  const probe = el("i", { style: `color:var(${name})` });
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

const DASHES = [[], [7, 4], [2, 3], [9, 3, 2, 3]];
const dashOf = (place) => DASHES[Math.floor(place / COLOURS.length) % DASHES.length];
const painters = new WeakMap(); // what draws a chart, by its canvas
const seenCharts = new IntersectionObserver((all) => {
  for (const { target, isIntersecting } of all) {
    if (!isIntersecting) continue;
    seenCharts.unobserve(target);
    painters.get(target)();
  }
}, { rootMargin: "200px" });

/** Draw a chart into a box, when it is in sight, and again when its size changes.
 * @param {Plot} plot */
function chart(box, plot) {
  const canvas = el("canvas", { role: "img", "aria-label": summary(plot),
      "data-lines": plot.lines?.length ?? 0, "data-points": plot.points?.length ?? 0 });
  const over = el("canvas", { class: "over", "aria-hidden": "true" }),
    tip = el("div", { class: "tip", hidden: true });
  const note = el("p", { class: "axes" }, el("span", { class: "xaxis" }, plot.x.title));
  box.replaceChildren(canvas, over, tip);
  box.after(note);
  let frame = null;
  painters.set(canvas, () => {
    frame = paintPlot(canvas, plot);
    if (frame?.said) note.replaceChildren(el("span", {}, frame.said),
      el("span", { class: "xaxis" }, plot.x.title));
  });
  new ResizeObserver(() => { seenCharts.unobserve(canvas); seenCharts.observe(canvas); })
    .observe(box);
  pointing(over, tip, plot, () => frame);
}

function summary(plot) {
  const names = plot.lines?.slice(0, 20).map((one) => one.name).join(", ");
  const what = plot.lines ? `${plural(plot.lines.length, "line")}: ${names}`
    : plural(plot.points.length, "point");
  return visible(`${plot.y.title} over ${plot.x.title}, ${what}`);
}

/** Size a canvas to its box and return its pen, in the units of the page. */
function penOf(canvas) {
  const { clientWidth: wide, clientHeight: tall } = canvas;
  if (!wide || !tall) return null;
  const ratio = devicePixelRatio || 1;
  [canvas.width, canvas.height] = [Math.round(wide * ratio), Math.round(tall * ratio)];
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  pen.font = "11.5px system-ui, sans-serif";
  return { pen, wide, tall };
}

const zoomed = () => { const found = /^(-?[\d.e+-]+)\.\.(-?[\d.e+-]+)$/i.exec(state.zoom);
  return found ? [Number(found[1]), Number(found[2])] : null; };

/** Return the least and greatest that an axis shows, and how many values it cannot show. */
function extent(scale, values, clip) {
  if (scale.words) return { low: -0.5, high: scale.words.length - 0.5, lost: 0 };
  const fine = values.filter((value) => Number.isFinite(value) && (!scale.log || value > 0));
  const lost = scale.log ? values.filter((value) => value !== null && value <= 0).length : 0;
  const sorted = clip && fine.length > 20 ? Float64Array.from(fine).sort() : null;
  let low = Infinity, high = -Infinity;
  for (const value of fine) { if (value < low) low = value; if (value > high) high = value; }
  if (sorted) [low, high] = [sorted[Math.floor(sorted.length * 0.02)],
    sorted[Math.ceil(sorted.length * 0.98) - 1]];
  if (low > high) return { low: scale.log ? 0.1 : 0, high: 1, lost };
  if (low === high) return scale.log ? { low: low / 2, high: high * 2, lost }
    : { low: low - (Math.abs(low) / 10 || 1), high: high + (Math.abs(high) / 10 || 1), lost };
  return { low, high, lost, cut: sorted ? fine.filter((value) => value < low || value > high).length
    : 0 };
}

/** Return where the ticks of an axis are and what is written there. */
function ticksOf(scale, low, high, most) {
  if (scale.words) { const every = Math.ceil(scale.words.length / most);
    return scale.words.map((word, at) => [at, word]).filter(([at]) => at % every === 0); }
  if (scale.log && high / low > 8) {
    const first = Math.floor(Math.log10(low)),
      last = Math.ceil(Math.log10(high)), every = Math.ceil((last - first) / most);
    const found = [];
    for (let power = first; power <= last; power += every)
      for (const by of last - first < 3 ? [1, 2, 5] : [1]) found.push(by * 10 ** power);
    return found.filter((value) => value >= low * 0.999 && value <= high * 1.001)
      .map((value) => [value, shown(Number(value.toPrecision(3)))]);
  }
  const rough = (high - low) / most, power = 10 ** Math.floor(Math.log10(rough || 1));
  const step = [1, 2, 5, 10].map((by) => by * power).find((one) => one >= rough * 0.999) || 1;
  const found = [];
  for (let at = Math.ceil(low / step); at * step <= high + step / 1e6; at++) found.push([at * step,
      scale.time ? moment(at * step).slice(5) : shown(Number((at * step).toPrecision(8)))]);
  return found;
}

/** Work out the frame of a chart: where a value lies on the canvas, and back. */
function frameOf(plot, { pen, wide, tall }) {
  const zoom = plot.lines ? zoomed() : null;
  const xs = plot.lines ? plot.lines.flatMap((one) => [one.x[0], one.x.at(-1)])
    : plot.points.map((one) => one.x);
  if (plot.x.log && plot.lines)
    xs.push(...plot.lines.flatMap((one) => one.x.filter((x) => x > 0).slice(0, 1)));
  const across = zoom ? { low: zoom[0], high: zoom[1], lost: 0 } : extent(plot.x, xs, false);
  const inside = (one) => (_, at) => !zoom || (one.x[at] >= zoom[0] && one.x[at] <= zoom[1]);
  const ys = plot.lines ? plot.lines.flatMap((one) => [...(one.raw ?? one.y).filter(inside(one)),
      ...(one.low ?? []).filter(inside(one)), ...(one.high ?? []).filter(inside(one))])
    : plot.points.map((one) => one.y);
  const up = extent(plot.y, ys, plot.clip);
  const space = (side, log) => {
    const more = log ? (side.high / side.low) ** 0.03 : (side.high - side.low) * 0.04;
    [side.low, side.high] = log ? [side.low / more, side.high * more]
      : [side.low - more, side.high + more];
  };
  if (!plot.y.words) space(up, plot.y.log);
  if (plot.points && !plot.x.words) space(across, plot.x.log);
  const rows = ticksOf(plot.y, up.low, up.high, Math.max(2, Math.floor(tall / 45)));
  const left = 10 + Math.min(wide / 3,
    Math.max(20, ...rows.map(([, word]) => pen.measureText(visible(word)).width)));
  const named = plot.lines?.length > 1 && plot.lines.length <= 40 && wide > 420 ? 84 : 10;
  const area = { left, right: wide - named, top: 8, bottom: tall - 20 };
  const to = (scale) => (scale.log ? Math.log : (value) => value),
    from = (scale) => (scale.log ? Math.exp : (value) => value);
  const part = (scale, side, value) =>
    (to(scale)(value) - to(scale)(side.low)) / (to(scale)(side.high) - to(scale)(side.low));
  const x = (value) => area.left + part(plot.x, across, value) * (area.right - area.left);
  const y = (value) => area.bottom - part(plot.y, up, value) * (area.bottom - area.top);
  const back = (px) =>
    from(plot.x)(to(plot.x)(across.low) + ((px - area.left) / (area.right - area.left)) * (
      to(plot.x)(across.high) - to(plot.x)(across.low)));
  const said = [up.lost && `${plural(up.lost, "point")} at or below 0 not on the log scale`,
    up.cut && `${plural(up.cut, "outlier")} beyond the edge`].filter(Boolean).join(" · ");
  return { area, x, y, back, rows, said, cols: ticksOf(plot.x, across.low,
      across.high, Math.max(2, Math.floor((area.right - area.left) / (plot.x.time ? 90 : 65)))) };
}

function paintPlot(canvas, plot) {
  const made = penOf(canvas);
  if (!made) return null;
  const { pen } = made, frame = frameOf(plot, made), { area } = frame;
  const soft = css("--soft");
  pen.strokeStyle = css("--line");
  pen.fillStyle = soft;
  pen.lineWidth = 1;
  pen.textBaseline = "middle";
  pen.textAlign = "right";
  for (const [value, word] of frame.rows) {
    const at = Math.round(frame.y(value)) + 0.5;
    pen.strokeRect(area.left, at, area.right - area.left, 0);
    pen.fillText(visible(word).slice(0, 24), area.left - 5, at);
  }
  pen.textAlign = "center";
  for (const [value, word] of frame.cols) {
    pen.strokeRect(Math.round(frame.x(value)) + 0.5, area.top, 0, area.bottom - area.top);
    pen.fillText(visible(word).slice(0, 16), frame.x(value), area.bottom + 11);
  }
  pen.save();
  pen.beginPath();
  pen.rect(area.left - 3, area.top - 3, area.right - area.left + 6, area.bottom - area.top + 6);
  pen.clip();
  for (const one of plot.lines ?? []) paintLine(pen, frame, one, plot.y.log);
  pen.globalAlpha = 0.8;
  for (const one of plot.points ?? [])
    dot(pen, frame.x(one.x), frame.y(one.y), one.size, one.color);
  if (plot.front?.length)
    course(pen, plot.front.map(([x, y]) => [frame.x(x), frame.y(y)]), css("--accent"), 1.5, [5, 4]);
  pen.restore();
  if (plot.lines?.length > 1) nameLines(pen, frame, plot.lines, soft);
  return frame;
}

function dot(pen, x, y, size, color) {
  pen.beginPath();
  pen.arc(x, y, size, 0, 7);
  pen.fillStyle = color;
  pen.fill();
}

/** Draw a line through points; where one is null, it is interrupted, and one alone is a dot. */
function course(pen, points, color, width, dash = []) {
  pen.beginPath();
  pen.setLineDash(dash);
  let down = false;
  for (const [x, y] of points) {
    if (!Number.isFinite(y) || !Number.isFinite(x)) { down = false; continue; }
    down ? pen.lineTo(x, y) : pen.moveTo(x, y);
    down = true;
  }
  const known = points.map(([x, y]) => Number.isFinite(x) && Number.isFinite(y));
  const alone = points.filter((_, at) => known[at] && !known[at - 1] && !known[at + 1]);
  pen.strokeStyle = color;
  pen.lineWidth = width;
  pen.lineJoin = "round";
  pen.stroke();
  pen.setLineDash([]);
  for (const [x, y] of alone) dot(pen, x, y, 2.5, color);
}

function paintLine(pen, frame, one, log) {
  const spot = (values) => values.map((value, at) =>
    [frame.x(one.x[at]), value === null || (log && value <= 0) ? NaN : frame.y(value)]);
  if (one.low) {
    const edge = [...spot(one.high), ...spot(one.low).reverse()]
      .filter(([, y]) => Number.isFinite(y));
    pen.globalAlpha = 0.16;
    pen.fillStyle = one.color;
    pen.beginPath();
    edge.forEach(([x, y], at) => (at ? pen.lineTo(x, y) : pen.moveTo(x, y)));
    pen.fill();
  }
  pen.globalAlpha = 0.22;
  if (one.raw) course(pen, spot(one.raw), one.color, 1);
  pen.globalAlpha = 1;
  course(pen, spot(one.y), one.color, 1.7, one.dash);
}

/** Write the names at the ends of the lines, as far as there is room. */
function nameLines(pen, frame, lines, ink) {
  if (pen.canvas.clientWidth - frame.area.right < 40) return;
  const ends = lines.map((one) => [frame.y(one.y.findLast((value) => value !== null) ?? NaN), one])
    .filter(([y]) => y >= frame.area.top - 4 && y <= frame.area.bottom + 4)
    .sort(([a], [b]) => a - b);
  let last = -Infinity;
  pen.textAlign = "left";
  for (const [y, one] of ends) {
    if (y - last < 12) continue;
    last = y;
    pen.fillStyle = one.color;
    pen.fillRect(frame.area.right + 5, y - 1, 6, 2);
    pen.fillStyle = ink;
    pen.fillText(visible(one.name).replace(/^[^=,]*=/, "").slice(0, 12), frame.area.right + 14, y);
  }
}

/** Return the place of the value in a rising list that lies nearest. */
function nearest(list, wanted) {
  let low = 0, high = list.length - 1;
  while (low < high) { const middle = (low + high) >> 1;
    list[middle] < wanted ? (low = middle + 1) : (high = middle); }
  return low > 0 && wanted - list[low - 1] < list[low] - wanted ? low - 1 : low;
}

/** Let the pointer compare, zoom (drag; twice to leave) and open. */
function pointing(over, tip, plot, frameNow) {
  let start = null;
  const spot = (event) => { const box = over.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top]; };
  const leave = () => { tip.hidden = true; penOf(over); };
  over.addEventListener("pointerleave", leave);
  over.addEventListener("pointerdown",
    (event) => { if (plot.lines && event.pointerType === "mouse") { start = spot(event)[0];
        over.setPointerCapture(event.pointerId); } });
  over.addEventListener("dblclick", () => state.zoom && go({ zoom: "" }));
  over.addEventListener("pointermove", (event) => {
    const frame = frameNow(), made = frame && penOf(over), [px, py] = spot(event);
    if (!made) return;
    const { pen } = made;
    if (start !== null) {
      pen.fillStyle = "#5c7cfa33";
      pen.fillRect(Math.min(start, px), frame.area.top,
        Math.abs(px - start), frame.area.bottom - frame.area.top);
    }
    const said = plot.lines ? compared(pen, plot, frame, px, py)
      : pointed(pen, plot, frame, px, py);
    tip.hidden = !said;
    if (said) tip.replaceChildren(...said);
    tip.style.left = px > made.wide / 2 ? "" : `${px + 14}px`;
    tip.style.right = px > made.wide / 2 ? `${made.wide - px + 14}px` : "";
  });
  over.addEventListener("pointerup", (event) => {
    const from = start, frame = frameNow(), [px, py] = spot(event);
    start = null;
    if (!frame) return;
    const clamped = (value) =>
      Number(frame.back(Math.max(frame.area.left, Math.min(frame.area.right, value)))
      .toPrecision(plot.x.time ? 13 : 5));
    if (plot.lines && from !== null && Math.abs(px - from) > 6)
      return go({ zoom: `${clamped(Math.min(px, from))}..${clamped(Math.max(px, from))}` });
    const hit = plot.points && closest(plot, frame, px, py);
    if (hit) openOne(hit.at);
  });
}

const closest = (plot, frame, px, py) =>
  plot.points.map((one) => [Math.hypot(frame.x(one.x) - px, frame.y(one.y) - py), one])
  .reduce((a, b) => (b[0] < a[0] ? b : a), [14, null])[1];

function pointed(pen, plot, frame, px, py) {
  const one = closest(plot, frame, px, py);
  if (!one) return null;
  pen.globalAlpha = 0.5;
  dot(pen, frame.x(one.x), frame.y(one.y), one.size + 4, css("--accent"));
  const word = (scale, value) => scale.words?.[value] ?? shown(value);
  return [el("b", {}, E.name[one.at]), el("div", {}, `${plot.x.title}: ${word(plot.x, one.x)}`),
    el("div", {}, `${plot.y.title}: ${word(plot.y, one.y)}`)];
}

/** Compare all lines at the step that the pointer is at. */
function compared(pen, plot, frame, px, py) {
  if (px < frame.area.left || px > frame.area.right) return null;
  const wanted = frame.back(px);
  const found =
    plot.lines.filter((one) => one.x.length && wanted <= one.x.at(-1) && wanted >= one.x[0]).map(
    (one) => { const at = nearest(one.x, wanted); return { one, x: one.x[at], y: one.y[at] }; })
    .filter((each) => each.y !== null);
  if (!found.length) return null;
  const middle =
    found.reduce((a, b) => (Math.abs(b.x - wanted) < Math.abs(a.x - wanted) ? b : a)).x;
  pen.fillStyle = css("--soft");
  pen.fillRect(frame.x(middle), frame.area.top, 1, frame.area.bottom - frame.area.top);
  found.forEach((each) => dot(pen, frame.x(each.x), frame.y(each.y), 3, each.one.color));
  const near = [...found].sort((a, b) => Math.abs(frame.y(a.y) - py) - Math.abs(frame.y(b.y) - py))
    .slice(0, 12).sort((a, b) => b.y - a.y);
  return [el("b", {}, `${plot.x.title} ${plot.x.time ? moment(middle) : shown(middle)}`),
    ...near.map(({ one, y }) =>
      el("div", {}, el("i", { class: "dot", style: `background:${one.color}` }),
        ` ${shown(y)} `, el("span", { class: "soft" }, one.name))), found.length > near.length
    ? el("div", { class: "soft" }, `and ${found.length - near.length} more`) : ""];
}
