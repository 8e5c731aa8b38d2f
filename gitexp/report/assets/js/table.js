/* The table. */
"use strict";

/** The table that is on the page; null in other views. A row is an experiment or a group.
 * @type {{id: string, body: any, head: any, columns?: Column[], list?: number[],
 *   rows?: any[], best?: Map<string, any>, range?: Map<string, number[]|null>, height?: number,
 *   from?: number, to?: number} | null} */
let grid = null;
let focusRow = 0;

function drawTable(view, fresh) {
  const keys = shownKeys(), list = rows();
  $("#count").replaceChildren(tableCount(list, keys));
  const id = [keys, state.agg, pinned(), [...state.widths],
    ...keys.map((key) => column.get(key).better)].join();
  if (!grid || grid.id !== id || fresh) {
    const left = fresh ? 0 : view.scrollTop;
    grid = { id, body: el("tbody"), head: el("thead") };
    view.replaceChildren(el("table", { class: state.columns ? "grid" : "grid compact", role: "grid",
          "aria-label": "Experiments", "aria-multiselectable": "true" }, grid.head, grid.body));
    grid.columns = keys.map((key) => column.get(key));
    drawHead();
    view.scrollTop = left;
    grid.height = 0;
  }
  grid.columns = keys.map((key) => column.get(key));
  grid.list = list;
  grid.rows = state.by ? grouped(list) : list;
  const ofMetrics = (make) => new Map(grid.columns.filter((one) => one.kind === "metrics")
    .map((one) => [one.key, make(one)]));
  grid.best = ofMetrics((one) => best(one, list));
  grid.range = ofMetrics((one) => range(one, list));
  grid.head.querySelectorAll("th[data-key]")
    .forEach((cell) => cell.setAttribute("aria-sort", state.sort === cell.dataset.key
      ? "ascending" : state.sort === `-${cell.dataset.key}` ? "descending" : "none"));
  grid.head.querySelectorAll("input[data-key]").forEach((box) => {
    const text = state.filters.get(box.dataset.key) ?? "";
    if (box.value !== text) box.value = text;
    box.classList.toggle("active", text !== "");
  });
  focusRow = Math.max(0, Math.min(focusRow, grid.rows.length - 1));
  drawRows();
  drawOffScreen();
  if (!stats) loadStats();
}

/** Read the series, for the small curves and for min, max and mean, after the table is there. */
const loadStats = once(() => setTimeout(async () => {
  if (typeof DecompressionStream === "undefined") return;
  const all = await curves();
  stats = all.stats;
  sparks = all.experiments;
  if (grid) draw();
}, 60));
let sparks = null;

function tableCount(list, keys) {
  const unseen = columns.length - keys.length;
  return [list.length === count ? plural(count, "experiment")
    : `${list.length.toLocaleString("en")} of ${plural(count, "experiment")}`,
    unseen > 0 ? ` · ${plural(unseen, "column")} not shown` : ""].join("");
}

function setFilter(key, text) {
  focusRow = 0;
  text.trim() ? state.filters.set(key, text) : state.filters.delete(key);
  go();
}

/** Draw the rows that can be seen, and a few around them: ten thousand cost no more than fifty. */
function drawRows(all = false) {
  const view = $("#view");
  const height = grid.height || 34;
  const from = all
    ? 0 : Math.max(0, Math.min(grid.rows.length, Math.floor(view.scrollTop / height) - 6));
  const to =
    Math.min(grid.rows.length, all ? 2000 : from + Math.ceil(view.clientHeight / height) + 12);
  const focused = grid.body.contains(document.activeElement);
  const space = (many) => el("tr", { class: "space", "aria-hidden": "true" },
    el("td", { colspan: grid.columns.length + 1, style: `height:${many * height}px` }));
  grid.body.replaceChildren(space(from), ...grid.rows.slice(from, to)
    .map((at, offset) => row(at, from + offset)), space(grid.rows.length - to));
  if (!grid.rows.length)
    grid.body.append(el("tr", {}, el("td", { colspan: grid.columns.length + 1, class: "soft" },
        "No experiment passes the filters.")));
  if (!grid.height && grid.rows.length) grid.height = grid.body.children[1]
    .getBoundingClientRect().height;
  grid.from = from;
  grid.to = to;
  placePins();
  if (focused) grid.body.querySelector(`[data-row="${focusRow}"]`)?.focus({ preventScroll: true });
}

function row(at, place) {
  if (typeof at !== "number") return groupRow(at, place);
  const chosen = state.chosen.has(at), name = E.name[at];
  return el("tr", { "data-row": place, "data-name": name, class: name === state.base ? "base" : "",
    tabindex: place === focusRow ? 0 : -1, "aria-selected": String(chosen),
    "aria-rowindex": place + 1, onfocus: () => (focusRow = place),
    onclick: (event) => isNarrow() && !event.target.closest("label, button, a") && openOne(at) },
    el("td", { class: "pick" },
      el("label", {}, el("input", { type: "checkbox", tabindex: -1, checked: chosen,
            "aria-label": `Select ${visible(E.name[at])}`, onchange: () => choose(at) }),
        chosen && el("i", { class: "dot", style: `background:${colour(at)}` }))),
    grid.columns.map((one, number) => placed(cell(one, at), number)));
}

function cell(one, at) {
  const value = one.of(at);
  if (value === null || value === "")
    return el("td", { class: one.number ? "number" : "" }, el("span", { class: "missing" }, "–"));
  const attributes = { class: one.number ? "number" : "", title: one.number ? "" : visible(value) };
  if (one.kind === "metrics") return metricCell(one, at, value);
  if (one.key === "name") return el("td", attributes, el("button", { class: "link", tabindex: -1,
        title: visible(value), onclick: () => openOne(at) }, value,
      E.alias[at] && ` (${E.alias[at]})`));
  if (one.key === "status") return el("td", {},
    el("span", { class: `status ${value}`, title: value }, el("span", {}, value)));
  if (one.key === "verdict") return el("td", { title: visible(judgedText(at)) },
    el("span", { class: `status ${value}` }, value));
  if (one.key === "labels") return el("td", attributes,
    E.labels[at].map((label) => [el("span", { class: "chip" }, el("span", {}, label)), " "]));
  if (one.key === "commit") return el("td", attributes, commitLink(at));
  return el("td", attributes, shown(value, one));
}

/** Return the verdict on an experiment, with who gave it and why. */
function judgedText(at) {
  const { verdict, by, because } = E.judged[at];
  return [verdict, by && ` by ${by}`, because && `: ${because}`].filter(Boolean).join("");
}

/** A metric: its course, its value, how good that is as a shade, and how far from the baseline. */
function metricCell(one, at, value) {
  const span = grid.range.get(one.key), base = byName.get(state.base);
  const part = span && Number.isFinite(value) && one.better && !state.plain
    ? Math.max(0, Math.min(1, (value - span[0]) / (span[1] - span[0]))) : null;
  const good = part === null ? 0 : one.better === "min" ? 1 - part : part;
  const way = one.better && ` (${one.better === "min" ? "less" : "more"} is better)`;
  const title = `${one.title} = ${value}${way || ""}`;
  return el("td", { class: value === grid.best.get(one.key) ? "number best" : "number",
      title: visible(title), style: good ? `--good-part:${Math.round(good * 38)}%` : null },
    spark(sparks?.[at]?.[one.title]), shown(value, one),
      base !== undefined && base !== at && delta(one, value, one.of(base)));
}

/** Return between which numbers a column's shades lie: the worst tenth is as pale as can be, so
 * that one failure does not make all others alike. Null where there is nothing to tell apart. */
function range(one, list) {
  const numbers = Float64Array.from(list.map(one.of).filter(Number.isFinite)).sort();
  const cut = Math.floor(numbers.length / 10), last = numbers.length - 1;
  const low = numbers[one.better === "max" ? cut : 0];
  const high = numbers[one.better === "min" ? last - cut : last];
  return low < high ? [low, high] : null;
}

const commitLink = (at) => el("code", {}, data.page
  && E.id[at] ? el("a", { href: data.page.replace("{}", E.id[at]), rel: "noreferrer noopener",
      target: "_blank", tabindex: -1 }, E.id[at].slice(0, 10)) : E.id[at].slice(0, 10));

function moveFocus(to) {
  if (!grid?.rows.length) return;
  focusRow = Math.max(0, Math.min(to, grid.rows.length - 1));
  const view = $("#view"), height = grid.height, head = grid.head.getBoundingClientRect().height;
  if (focusRow * height < view.scrollTop) view.scrollTop = focusRow * height;
  if ((focusRow + 1) * height + head > view.scrollTop + view.clientHeight)
    view.scrollTop = (focusRow + 1) * height + head - view.clientHeight;
  drawRows();
  grid.body.querySelector(`[data-row="${focusRow}"]`)?.focus({ preventScroll: true });
}
