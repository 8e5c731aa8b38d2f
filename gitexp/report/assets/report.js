/* The page of `gitexp report`. No build step, no dependency but plotly (for curves, scatter and bars), no request.
 *
 * Everything that comes from a repository is put into the page as text: `el` makes elements and text nodes, and nothing here
 * writes HTML. What the page shows is one plain object, `state`, which is also the fragment of its address.
 *
 *   1 data   2 elements   3 state and address   4 filter and sort   5 table   6 compare   7 charts   8 differences   9 one experiment
 */
"use strict";

/* ---- 1 data ---------------------------------------------------------------------------------------------------------- */

const data = JSON.parse(document.getElementById("data").textContent);
const E = data.experiments;
const count = E.name.length;
const everyone = Array.from({ length: count }, (_, at) => at);
const byName = new Map(everyone.map((at) => [E.name[at], at]));
const loaded = new Promise((done) => (document.readyState === "loading" ? addEventListener("DOMContentLoaded", done) : done()));

/** Return the text of a compressed block of this page. */
async function unpack(name) {
  await loaded;
  const packed = atob(document.getElementById(`block-${name}`).textContent);
  const bytes = Uint8Array.from(packed, (char) => char.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

const once = (make) => { let made; return () => (made ??= make()); };
const block = (name) => once(async () => JSON.parse(await unpack(name)));
const curves = block("curves"), files = block("files"), environments = block("environments"), messages = block("messages");

/** Run plotly when a chart first needs it; the policy of the page knows the hash of its source. */
const plotly = once(async () => {
  const script = document.createElement("script");
  script.textContent = await unpack("plotly");
  document.head.append(script);
  return window.Plotly;
});

const numeric = (value) => (typeof value === "number" ? value : { inf: Infinity, "-inf": -Infinity, nan: NaN }[value] ?? null);
const info = (key, title, of, more = {}) => ({ key, title, kind: "info", of, ...more });
const columns = [
  info("name", "name", (at) => E.name[at]),
  info("status", "status", (at) => E.status[at]),
  info("labels", "labels", (at) => E.labels[at].join(" ")),
  info("started", "started", (at) => E.started[at], { number: true, show: (value) => moment(value) }),
  info("duration", "duration", (at) => E.duration[at], { number: true, show: (value) => duration(value) }),
  info("author", "author", (at) => E.author[at]),
  info("group", "group", (at) => E.group[at]),
  info("branch", "branch", (at) => E.branch[at]),
  info("commit", "commit", (at) => E.id[at].slice(0, 10)),
  info("subject", "subject", (at) => E.subject[at]),
  info("notes", "notes", (at) => E.notes[at].join(" · ")),
  ...Object.keys(data.params).map((name) => valueColumn("p", "params", name, data.params[name])),
  ...Object.keys(data.metrics).map((name) => valueColumn("m", "metrics", name, data.metrics[name].map(numeric))),
];
const column = new Map(columns.map((one) => [one.key, one]));

function valueColumn(letter, kind, name, values) {
  const number = values.every((value) => value === null || typeof value === "number");
  return { key: `${letter}.${name}`, title: name, kind, number, values, of: (at) => values[at], better: data.better[letter === "m" ? name : ""] };
}

/** Return the distinct values of a column. */
const distinct = (one, rows = everyone) => [...new Set(rows.map(one.of).filter((value) => value !== null))];
const varies = once(() => new Set(columns.filter((one) => new Set(everyone.map(one.of)).size > 1).map((one) => one.key)));
const defaultColumns = once(() => {
  const first = ["name", "status", "labels"].filter((key) => key !== "labels" || varies().has(key));
  const last = ["started", "duration", "author", "group", "commit"].filter((key) => !["author", "group"].includes(key) || varies().has(key));
  const values = columns.filter((one) => one.kind === "metrics" || (one.kind === "params" && varies().has(one.key)));
  return [...first, ...values.map((one) => one.key), ...last];
});

/* ---- 2 elements ------------------------------------------------------------------------------------------------------ */

const $ = (selector) => document.querySelector(selector);
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** Return text with marks that turn or hide other text written out. */
const visible = (text) => String(text).replace(HIDDEN, (char) => `[U+${char.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}]`);

/** Make an element. Attributes that begin with "on" are listeners; children are elements, or text that stays text. */
function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked") made[name] = value;
    else if (value === true || typeof value === "number" || (value && typeof value === "string") || value === "") made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false).map((child) => (child instanceof Node ? child : visible(child))));
  return made;
}

const pad = (value) => String(value).padStart(2, "0");
function moment(ms) {
  const at = new Date(ms);
  return `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())} ${pad(at.getHours())}:${pad(at.getMinutes())}`;
}
function duration(seconds) {
  if (seconds < 60) return `${seconds.toFixed(1)}s`;
  return seconds < 3600 ? `${Math.floor(seconds / 60)}m${pad(Math.floor(seconds % 60))}s` : `${Math.floor(seconds / 3600)}h${pad(Math.floor((seconds % 3600) / 60))}m`;
}
function shown(value, one = {}) {
  if (value === null || value === undefined) return "–";
  if (one.show) return one.show(value);
  if (typeof value !== "number" || Number.isInteger(value)) return String(value);
  return Number.isFinite(value) ? String(Number(value.toPrecision(5))) : String(value).replace("Infinity", "inf").replace("NaN", "nan");
}
const size = (bytes) => (bytes < 1000 ? `${bytes} B` : bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);
const plural = (many, word) => `${many.toLocaleString("en")} ${word}${many === 1 ? "" : "s"}`;

let toastTimer;
function toast(text) {
  $("#toast").replaceChildren(visible(text));
  $("#toast").classList.add("shown");
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => $("#toast").classList.remove("shown"), 1800);
}
async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const box = el("textarea", { value: text });
    document.body.append(box);
    box.select();
    document.execCommand("copy");
    box.remove();
  }
  toast(`Copied ${what}`);
}
const quoted = (word) => (/^[\w./@:+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);
const select = (label, options, value, change) =>
  el("label", {}, label, el("select", { onchange: (event) => change(event.target.value) }, options.map(([key, title]) => el("option", { value: key, ...(key === value && { selected: true }) }, title))));
const toggle = (label, value, change) => el("label", {}, el("input", { type: "checkbox", checked: value, onchange: (event) => change(event.target.checked) }), label);

/* ---- 3 state and address --------------------------------------------------------------------------------------------- */

const VIEWS = { table: "Table", compare: "Compare", curves: "Curves", parallel: "Parallel", scatter: "Scatter", bars: "Bars", importance: "Importance", diff: "Diff" };
const PLAIN = ["q", "sort", "one", "x", "y", "color", "metric", "axis", "smooth", "log", "hidden", "split", "same", "a", "b"]; // texts of the state
const state = {};

function readAddress() {
  const words = new URLSearchParams(location.hash.length > 1 ? location.hash.slice(1) : data.start);
  for (const key of PLAIN) state[key] = words.get(key) ?? "";
  state.view = words.get("view") in VIEWS || (words.get("view") === "one" && byName.has(state.one)) ? words.get("view") : "table";
  const names = (text) => (text ? text.split(",").map(decodeURIComponent) : []);
  state.chosen = new Set(names(words.get("sel")).map((name) => byName.get(name)).filter((at) => at !== undefined));
  state.columns = words.has("cols") ? names(words.get("cols")).filter((key) => column.has(key)) : null;
  state.labels = new Map(names(words.get("labels")).map((word) => [word.replace(/^-/, ""), !word.startsWith("-")]));
  state.filters = new Map([...words].filter(([key]) => key.startsWith("f.") && column.has(key.slice(2))).map(([key, text]) => [key.slice(2), text]));
}

function address() {
  const words = new URLSearchParams({ view: state.view });
  const names = (list) => list.map(encodeURIComponent).join(",");
  if (state.chosen.size) words.set("sel", names([...state.chosen].map((at) => E.name[at])));
  for (const key of PLAIN) if (state[key] && (key !== "one" || state.view === "one")) words.set(key, state[key]);
  if (state.labels.size) words.set("labels", names([...state.labels].map(([label, wanted]) => (wanted ? label : `-${label}`))));
  for (const [key, text] of state.filters) words.set(`f.${key}`, text);
  if (state.columns) words.set("cols", names(state.columns));
  return `#${words}`;
}

/** Change the state and draw what follows from it. A new view is a step that the browser can go back. */
function go(change = {}) {
  const stepped = ("view" in change && change.view !== state.view) || ("one" in change && change.one !== state.one);
  Object.assign(state, change);
  history[stepped ? "pushState" : "replaceState"](null, "", address());
  draw(stepped);
}

/* ---- 4 filter and sort ----------------------------------------------------------------------------------------------- */

/** Compile the text of a column's filter: `>0.1`, `0.1..0.5`, `=a|b`, `!adam`, or a part of the text. */
function test(one, text) {
  const wanted = text.trim();
  const match = /^(>=|<=|!=|>|<|=|!)(.*)$/.exec(wanted);
  const range = /^(-?[\d.]\S*)\.\.(-?[\d.]\S*)$/.exec(wanted);
  const value = one.key === "started" ? (at) => moment(one.of(at)) : one.of;
  if (range) return (at) => { const found = value(at); return found !== null && found >= Number(range[1]) && found <= Number(range[2]); };
  const [sign, rest] = match ? [match[1], match[2].trim()] : ["", wanted.toLowerCase()];
  const bound = rest !== "" && !Number.isNaN(Number(rest)) ? Number(rest) : rest;
  const asText = (at) => shown(value(at), one.key === "started" ? {} : one).toLowerCase();
  const options = rest.split("|").map((word) => word.trim());
  const equal = (at) => options.some((word) => String(value(at)) === word || (word !== "" && typeof value(at) === "number" && value(at) === Number(word)));
  switch (sign) {
    case ">": return (at) => value(at) !== null && value(at) > bound;
    case ">=": return (at) => value(at) !== null && value(at) >= bound;
    case "<": return (at) => value(at) !== null && value(at) < bound;
    case "<=": return (at) => value(at) !== null && value(at) <= bound;
    case "=": return equal;
    case "!=": return (at) => !equal(at);
    case "!": return (at) => !asText(at).includes(rest.toLowerCase());
    default: return (at) => asText(at).includes(wanted.toLowerCase());
  }
}

const haystack = once(() => everyone.map((at) =>
  [E.name[at], E.id[at], E.subject[at], E.status[at], E.author[at], E.branch[at], E.group[at], E.command[at], ...E.labels[at], ...E.notes[at],
    ...Object.entries(data.params).flatMap(([name, values]) => (values[at] === null ? [] : `${name}=${values[at]}`))].join("\n").toLowerCase()));

/** Compile the search box: words that all must be there, `-word`s that must not, `label:x`, and conditions like `rmse<0.2`. */
function search(text) {
  return (text.match(/"[^"]*"|\S+/g) ?? []).map((word) => {
    const condition = /^([^<>=!:]+)([<>=!:].*)$/.exec(word);
    const one = condition && columns.find((each) => each.key === condition[1] || each.title === condition[1]);
    if (one) return test(one, condition[2].replace(/^:/, ""));
    const [not, plain] = word.startsWith("-") && word.length > 1 ? [true, word.slice(1)] : [false, word];
    const label = /^label:(.+)$/.exec(plain);
    if (label) return (at) => E.labels[at].includes(label[1]) !== not;
    const part = plain.replaceAll('"', "").toLowerCase();
    return (at) => haystack()[at].includes(part) !== not;
  });
}

/** Return the experiments that pass all filters, sorted; `without` leaves out the filters of some columns. */
function rows(without = new Set()) {
  const tests = search(state.q);
  for (const [key, text] of state.filters) if (!without.has(key)) tests.push(test(column.get(key), text));
  for (const [label, wanted] of state.labels) tests.push((at) => E.labels[at].includes(label) === wanted);
  if (!state.hidden && !state.labels.get("hidden")) tests.push((at) => !E.labels[at].includes("hidden"));
  const found = everyone.filter((at) => tests.every((passes) => passes(at)));
  const one = column.get(state.sort.replace(/^-/, ""));
  if (!one) return found;
  const way = state.sort.startsWith("-") ? -1 : 1;
  const rank = (value) => (value === null || Number.isNaN(value) ? 1 : 0); // what is missing comes last, either way
  return found.sort((left, right) => {
    const a = one.of(left), b = one.of(right);
    if (rank(a) || rank(b)) return rank(a) - rank(b);
    if (typeof a === "number" && typeof b === "number") return way * (a - b);
    return way * String(a).localeCompare(String(b), undefined, { numeric: true });
  });
}

/** Return what a chart shows: those selected, or else the first that pass the filters. */
function subject(most) {
  const all = state.chosen.size ? [...state.chosen] : rows();
  return { list: all.slice(0, most), note: all.length > most ? `The first ${most} of ${plural(all.length, "experiment")}; select some in the table to see just those. ` : "" };
}

const COLOURS = ["#4263eb", "#e8590c", "#2b9a4b", "#c2255c", "#1098ad", "#9c36b5", "#b08900", "#74573f", "#5c7cfa", "#f76707", "#0b7285", "#862e9c"];
const colour = (at, list = [...state.chosen]) => COLOURS[Math.max(0, list.indexOf(at)) % COLOURS.length];

/** Return the best value of a metric among experiments; undefined where nobody said which way is better. */
function best(one, list) {
  const values = one.better ? list.map(one.of).filter((value) => typeof value === "number" && !Number.isNaN(value)) : [];
  return values.length ? values.reduce((a, b) => ((one.better === "min" ? b < a : b > a) ? b : a)) : undefined;
}

/* ---- drawing --------------------------------------------------------------------------------------------------------- */

let turn = 0; // a view that needs data asks for it, and must not draw over what was asked for meanwhile
async function draw(fresh) {
  const mine = ++turn;
  drawFrame();
  const view = $("#view");
  view.className = `view-${state.view}`;
  if (state.view === "table") return drawTable(view, fresh);
  grid = null;
  try {
    const made = await DRAW[state.view]();
    if (mine !== turn) return;
    view.replaceChildren(...made.nodes);
    if (fresh) view.scrollTop = 0;
    await made.after?.();
  } catch (error) {
    if (mine === turn) view.replaceChildren(el("p", { class: "note" }, typeof DecompressionStream === "undefined" ? "This needs a browser of 2023 or newer." : `This could not be shown: ${error.message}`));
  }
}

function drawFrame() {
  const focused = document.activeElement?.closest?.("#tabs") && document.activeElement.id;
  $("#tabs").replaceChildren(
    ...Object.entries(VIEWS).map(([key, title]) => el("button", { role: "tab", id: `tab-${key}`, "aria-selected": String(state.view === key), tabindex: state.view === key ? 0 : -1, onclick: () => go({ view: key }) }, title)),
    state.view === "one" ? el("button", { role: "tab", "aria-selected": "true", id: "tab-one" }, state.one) : ""
  );
  if (focused) document.getElementById(`tab-${state.view}`)?.focus();
  $("#tabs [aria-selected=true]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  if ($("#search").value !== state.q) $("#search").value = state.q;
  drawLabels();
  $("#chosen").replaceChildren(...(state.chosen.size ? [
    el("span", { class: "soft" }, `${plural(state.chosen.size, "experiment")} selected`),
    ...[...state.chosen].slice(0, 40).map((at) => el("span", { class: "chip" }, el("i", { class: "dot", style: `background:${colour(at)}` }), el("span", {}, E.name[at]), el("button", { class: "plain", "aria-label": `Deselect ${visible(E.name[at])}`, onclick: () => choose(at) }, "×"))),
    el("button", { class: "chip", onclick: () => go({ chosen: new Set() }) }, "none"),
  ] : []));
}

const labels = once(() => [...new Set(E.labels.flat())].sort());
function drawLabels() {
  const next = (label) => {
    const now = state.labels.get(label);
    if (now === undefined) state.labels.set(label, true);
    else if (now) state.labels.set(label, false);
    else state.labels.delete(label);
    go();
  };
  const hidden = E.labels.filter((each) => each.includes("hidden")).length;
  $("#labels").replaceChildren(
    ...labels().filter((label) => label !== "hidden").slice(0, 60).map((label) => {
      const now = state.labels.get(label);
      return el("button", { class: `chip ${now === undefined ? "" : now ? "in" : "out"}`, title: "Click: only these; again: not these", "aria-pressed": now === undefined ? "false" : now ? "true" : "mixed", onclick: () => next(label) }, el("span", {}, (now === undefined ? "" : now ? "+ " : "− ") + label));
    }),
    hidden ? el("button", { class: "chip", "aria-pressed": String(!!state.hidden), onclick: () => go({ hidden: state.hidden ? "" : "1" }) }, `${hidden} hidden`) : ""
  );
}

function choose(at) {
  state.chosen.has(at) ? state.chosen.delete(at) : state.chosen.add(at);
  go();
}

/* ---- 5 table --------------------------------------------------------------------------------------------------------- */

let grid = null; // of the table that is on the page: its body, rows, and columns
let focusRow = 0;

function drawTable(view, fresh) {
  const keys = state.columns ?? defaultColumns();
  const list = rows();
  $("#count").replaceChildren(tableCount(list, keys));
  if (!grid || grid.keys !== keys.join() || fresh) {
    grid = { keys: keys.join(), body: el("tbody"), head: el("thead") };
    view.replaceChildren(el("table", { class: "grid", role: "grid", "aria-label": "Experiments", "aria-multiselectable": "true" }, grid.head, grid.body));
    grid.columns = keys.map((key) => column.get(key));
    drawHead();
    view.scrollTop = 0;
    grid.height = 0;
  }
  grid.rows = list;
  grid.best = new Map(grid.columns.filter((one) => one.kind === "metrics").map((one) => [one.key, best(one, list)]));
  grid.head.querySelectorAll("th[data-key]").forEach((cell) => cell.setAttribute("aria-sort", state.sort === cell.dataset.key ? "ascending" : state.sort === `-${cell.dataset.key}` ? "descending" : "none"));
  grid.head.querySelectorAll("input[data-key]").forEach((box) => {
    const text = state.filters.get(box.dataset.key) ?? "";
    if (box.value !== text) box.value = text;
    box.classList.toggle("active", text !== "");
  });
  focusRow = Math.max(0, Math.min(focusRow, list.length - 1));
  drawRows();
}

function tableCount(list, keys) {
  const unseen = columns.length - keys.length;
  return [list.length === count ? plural(count, "experiment") : `${list.length.toLocaleString("en")} of ${plural(count, "experiment")}`, unseen > 0 ? ` · ${plural(unseen, "column")} not shown` : ""].join("");
}

function drawHead() {
  const kinds = [];
  for (const one of grid.columns) (kinds.at(-1)?.kind === one.kind ? kinds.at(-1) : (kinds.push({ kind: one.kind, span: 0 }), kinds.at(-1))).span++;
  const first = grid.columns[0]?.kind;
  const sort = (one) => {
    const up = one.better === "max" || one.key === "started" ? `-${one.key}` : one.key;
    const down = up.startsWith("-") ? one.key : `-${one.key}`;
    go({ sort: state.sort === up ? down : state.sort === down ? "" : up });
  };
  const head = (one) => el("th", {
    class: `${one.kind} ${one.number ? "number" : ""}`, scope: "col", "data-key": one.key, draggable: "true", title: one.key,
    ondragstart: (event) => event.dataTransfer.setData("text/plain", one.key),
    ondragover: (event) => { event.preventDefault(); event.currentTarget.classList.add("over"); },
    ondragleave: (event) => event.currentTarget.classList.remove("over"),
    ondrop: (event) => { event.preventDefault(); moveColumn(event.dataTransfer.getData("text/plain"), one.key); },
  }, el("button", { onclick: () => sort(one) }, one.title));
  const filter = (one) => el("th", { class: one.kind }, el("input", { "data-key": one.key, "aria-label": `Filter ${visible(one.title)}`, placeholder: one.number && one.key !== "started" ? "< 0.1" : "filter", spellcheck: "false", oninput: (event) => setFilter(one.key, event.target.value) }));
  grid.head.replaceChildren(
    el("tr", { class: "kinds" }, el("th", { class: "pick" }), kinds.map((each, at) => (at === 0 && each.span > 1 ? [el("th", {}), el("th", { class: first, colspan: each.span - 1 })] : el("th", { class: each.kind, colspan: each.span }, each.kind === "info" ? "" : each.kind)))),
    el("tr", {}, el("th", { class: "pick" }, el("input", { type: "checkbox", "aria-label": "Select all that are shown", onchange: (event) => go({ chosen: new Set(event.target.checked ? grid.rows : []) }) })), grid.columns.map(head)),
    el("tr", { class: "filters" }, el("th", { class: "pick" }), grid.columns.map(filter))
  );
}

function setFilter(key, text) {
  focusRow = 0;
  text.trim() ? state.filters.set(key, text) : state.filters.delete(key);
  go();
}

function moveColumn(key, before) {
  const keys = (state.columns ?? defaultColumns()).filter((each) => each !== key);
  keys.splice(keys.indexOf(before), 0, key);
  if (column.has(key)) go({ columns: keys });
}

/** Draw the rows that can be seen, and a few around them: ten thousand rows cost no more than fifty. */
function drawRows(all = false) {
  const view = $("#view");
  const height = grid.height || 34;
  const from = all ? 0 : Math.max(0, Math.min(grid.rows.length, Math.floor(view.scrollTop / height) - 15));
  const to = Math.min(grid.rows.length, all ? 2000 : from + Math.ceil(view.clientHeight / height) + 30);
  const focused = grid.body.contains(document.activeElement);
  const space = (many) => el("tr", { class: "space", "aria-hidden": "true" }, el("td", { colspan: grid.columns.length + 1, style: `height:${many * height}px` }));
  grid.body.replaceChildren(space(from), ...grid.rows.slice(from, to).map((at, offset) => row(at, from + offset)), space(grid.rows.length - to));
  if (!grid.rows.length) grid.body.append(el("tr", {}, el("td", { colspan: grid.columns.length + 1, class: "soft" }, "No experiment passes the filters.")));
  if (!grid.height && grid.rows.length) grid.height = grid.body.children[1].getBoundingClientRect().height;
  grid.from = from;
  grid.to = to;
  if (focused) grid.body.querySelector(`[data-row="${focusRow}"]`)?.focus({ preventScroll: true });
}

function row(at, place) {
  const chosen = state.chosen.has(at);
  return el("tr", { "data-row": place, "data-name": E.name[at], tabindex: place === focusRow ? 0 : -1, "aria-selected": String(chosen), "aria-rowindex": place + 1, onfocus: () => (focusRow = place) },
    el("td", { class: "pick" }, el("label", {}, el("input", { type: "checkbox", tabindex: -1, checked: chosen, "aria-label": `Select ${visible(E.name[at])}`, onchange: () => choose(at) }), chosen && el("i", { class: "dot", style: `background:${colour(at)}` }))),
    grid.columns.map((one) => cell(one, at)));
}

function cell(one, at) {
  const value = one.of(at);
  if (value === null || value === "") return el("td", { class: one.number ? "number" : "" }, el("span", { class: "missing" }, "–"));
  const attributes = { class: one.number ? "number" : "", title: one.number ? "" : visible(value) };
  if (one.kind === "metrics" && value === grid.best.get(one.key)) attributes.class += " best";
  if (one.key === "name") return el("td", attributes, el("button", { class: "link", tabindex: -1, onclick: () => go({ view: "one", one: E.name[at] }) }, value));
  if (one.key === "status") return el("td", {}, el("span", { class: `status ${value}` }, value));
  if (one.key === "labels") return el("td", attributes, E.labels[at].map((label) => [el("span", { class: "chip" }, el("span", {}, label)), " "]));
  if (one.key === "commit") return el("td", attributes, commitLink(at));
  return el("td", attributes, shown(value, one));
}

const commitLink = (at) => el("code", {}, data.page ? el("a", { href: data.page.replace("{}", E.id[at]), rel: "noreferrer noopener", target: "_blank", tabindex: -1 }, E.id[at].slice(0, 10)) : E.id[at].slice(0, 10));

function moveFocus(to) {
  if (!grid?.rows.length) return;
  focusRow = Math.max(0, Math.min(to, grid.rows.length - 1));
  const view = $("#view"), height = grid.height, head = grid.head.getBoundingClientRect().height;
  if (focusRow * height < view.scrollTop) view.scrollTop = focusRow * height;
  if ((focusRow + 1) * height + head > view.scrollTop + view.clientHeight) view.scrollTop = (focusRow + 1) * height + head - view.clientHeight;
  drawRows();
  grid.body.querySelector(`[data-row="${focusRow}"]`)?.focus({ preventScroll: true });
}

function columnsDialog() {
  const keys = [...(state.columns ?? defaultColumns())];
  const rest = columns.map((one) => one.key).filter((key) => !keys.includes(key));
  const line = (key, on) => el("li", { class: column.get(key).kind, "data-key": key },
    toggle(el("span", {}, column.get(key).title, " ", el("span", { class: "soft" }, column.get(key).kind === "info" ? "" : column.get(key).kind.slice(0, -1), varies().has(key) ? "" : " (the same everywhere)")), on, (wanted) => change(wanted ? [...keys, key] : keys.filter((each) => each !== key))),
    on && el("button", { "aria-label": `Move ${visible(key)} left`, onclick: () => shift(key, -1) }, "↑"),
    on && el("button", { "aria-label": `Move ${visible(key)} right`, onclick: () => shift(key, 1) }, "↓"));
  const change = (wanted) => { go({ columns: wanted }); columnsDialog(); };
  const shift = (key, by) => {
    const at = keys.indexOf(key);
    keys.splice(at, 1);
    keys.splice(Math.max(0, at + by), 0, key);
    change(keys);
  };
  const top = $("#dialog").scrollTop;
  openDialog(el("h2", {}, "Columns"), el("p", { class: "note" }, "A header can also be dragged to another place."),
    el("ul", {}, keys.map((key) => line(key, true)), rest.map((key) => line(key, false))),
    el("button", { onclick: () => { go({ columns: null }); $("#dialog").close(); } }, "As at first"), " ", el("button", { onclick: () => $("#dialog").close() }, "Done"));
  $("#dialog").scrollTop = top;
}

function openDialog(...nodes) {
  $("#dialog").replaceChildren(...nodes);
  if (!$("#dialog").open) $("#dialog").showModal();
}

/* ---- 6 compare ------------------------------------------------------------------------------------------------------- */

const COMPARED = ["status", "started", "duration", "author", "labels", "group", "branch", "commit", "subject", "notes"];

function drawCompare() {
  const { list, note } = subject(12);
  const same = state.same === "1";
  const lines = { info: COMPARED.map((key) => column.get(key)), params: columns.filter((one) => one.kind === "params"), metrics: columns.filter((one) => one.kind === "metrics") };
  let left = 0;
  const body = Object.entries(lines).map(([kind, all]) => {
    const used = all.filter((one) => list.some((at) => one.of(at) !== null && one.of(at) !== ""));
    const wanted = used.filter((one) => same || new Set(list.map((at) => String(one.of(at)))).size > 1);
    left += used.length - wanted.length;
    return wanted.length ? [el("tr", { class: `kind ${kind}` }, el("th", { colspan: list.length + 1, scope: "colgroup" }, kind === "info" ? "about" : kind)), wanted.map((one) => compareRow(one, list))] : [];
  });
  return { nodes: [
    el("div", { class: "controls" }, toggle("Show what is the same, too", same, (on) => go({ same: on ? "1" : "" })), list.length === 2 && el("button", { onclick: () => go({ view: "diff", a: "", b: "" }) }, "Code and files: Diff")),
    el("p", { class: "note" }, note, "Differences are marked ≠, the best value of a metric ★. Metrics are compared with the first experiment.", left ? ` ${plural(left, "row")} with equal values not shown.` : ""),
    el("div", { class: "sheet" }, el("table", { class: "side" },
      el("thead", {}, el("tr", {}, el("th", {}), list.map((at) => el("th", { scope: "col" }, el("i", { class: "dot", style: `background:${colour(at, list)};display:inline-block;margin-right:.4em` }), el("button", { class: "link", onclick: () => go({ view: "one", one: E.name[at] }) }, E.name[at]))))),
      el("tbody", {}, body))),
  ] };
}

function compareRow(one, list) {
  const top = best(one, list);
  const base = one.of(list[0]);
  const differs = new Set(list.map((at) => String(one.of(at)))).size > 1;
  return el("tr", { class: differs && one.kind !== "info" ? "differs" : "", "data-key": one.key }, el("th", { scope: "row" }, one.title), list.map((at, place) => {
    const value = one.of(at);
    const change = one.kind === "metrics" && place && typeof value === "number" && typeof base === "number" && value !== base ? value - base : null;
    const good = change !== null && one.better ? (one.better === "min") === (change < 0) : null;
    return el("td", { class: differs && value === top ? "best" : "" }, one.key === "commit" ? commitLink(at) : shown(value === "" ? null : value, one),
      change !== null && el("span", { class: `delta ${good === null ? "" : good ? "good" : "bad"}` }, `${change > 0 ? "+" : ""}${shown(change)}${base ? ` (${change / Math.abs(base) > 0 ? "+" : ""}${((100 * change) / Math.abs(base)).toFixed(1)}%)` : ""}`));
  }));
}

/* ---- 7 charts -------------------------------------------------------------------------------------------------------- */

/** Return the colour that a variable of the style sheet has now: plotly knows no variables. */
function css(name) {
  const probe = el("i", { style: `color:var(${name})` });
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

const plain = (text) => visible(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;"); // plotly reads some HTML in texts

async function chart(node, traces, layout = {}) {
  const ink = css("--soft"), line = css("--line");
  const axis = { gridcolor: line, zerolinecolor: line, linecolor: line, automargin: true };
  const whole = {
    font: { family: "system-ui, sans-serif", size: 12, color: ink }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", margin: { l: 48, r: 14, t: 10, b: 38 },
    showlegend: false, hovermode: "closest", hoverlabel: { namelength: -1 }, colorway: COLOURS, ...layout, xaxis: { ...axis, ...layout.xaxis }, yaxis: { ...axis, ...layout.yaxis },
  };
  return (await plotly()).newPlot(node, traces, whole, { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"], toImageButtonOptions: { scale: 2 } });
}

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

const measures = () => columns.filter((one) => one.kind !== "info" && distinct(one).length > 1);
const options = (list) => list.map((one) => [one.key, `${one.title}${one.kind === "info" ? "" : ` (${one.kind.slice(0, -1)})`}`]);

/** Whether numbers are positive and so far apart that only a logarithmic axis shows them. */
const isWide = (values) => values.every((value) => value > 0) && Math.max(...values) / Math.min(...values) > 50;

function drawScatter() {
  const all = measures();
  const pick = (key, kind) => column.get(key) ?? all.find((one) => one.kind === kind && one.number) ?? all.find((one) => one.kind === kind) ?? all[0];
  const x = pick(state.x, "params"), y = pick(state.y, "metrics"), shade = column.get(state.color);
  if (!x || !y) return { nodes: [el("p", { class: "note" }, "No param and no metric varies here.")] };
  const { list, note } = subject(5000);
  const usable = list.filter((at) => x.of(at) !== null && y.of(at) !== null);
  const box = el("div", { class: "plot tall", id: "scatter" });
  const scale = (one) => (one.number ? (isWide(distinct(one)) ? "log" : "linear") : "category");
  const trace = (list, marker, more = {}) => ({ type: "scatter", mode: "markers", x: list.map(x.of), y: list.map(y.of), text: list.map((at) => plain(E.name[at])), customdata: list, hovertemplate: "%{text}<br>%{x}, %{y:.5g}<extra></extra>", ...more, marker: { size: 9, opacity: 0.8, line: { width: 0.5, color: css("--paper") }, ...marker } });
  const traces = !shade ? [trace(usable, { color: state.chosen.size ? usable.map((at) => colour(at)) : COLOURS[0] })]
    : shade.number ? [trace(usable, { color: usable.map(shade.of), colorscale: "Viridis", showscale: true, colorbar: { title: { text: plain(shade.title), side: "right" }, thickness: 12 } })]
      : distinct(shade, usable).map((word, at) => trace(usable.filter((each) => shade.of(each) === word), { color: COLOURS[at % COLOURS.length] }, { name: plain(String(word)) }));
  const layout = { showlegend: traces.length > 1, legend: { orientation: "h", y: 1.08 }, xaxis: { title: { text: plain(x.title) }, type: scale(x) }, yaxis: { title: { text: plain(y.title) }, type: scale(y) } };
  return { nodes: [
    el("div", { class: "controls" }, select("x", options(all), x.key, (key) => go({ x: key })), select("y", options(all), y.key, (key) => go({ y: key })),
      select("Colour", [["", "none"], ...options([column.get("status"), column.get("group"), ...all])], state.color, (color) => go({ color }))),
    el("p", { class: "note" }, note, `${plural(usable.length, "point")}. Click one to open the experiment. An axis whose values lie far apart is logarithmic.`),
    el("div", { class: "chart" }, box),
  ], after: async () => {
    await chart(box, traces, layout);
    box.on("plotly_click", (event) => go({ view: "one", one: E.name[event.points[0].customdata] }));
  } };
}

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

function drawImportance() {
  const known = Object.keys(data.importance).filter((name) => data.importance[name].length);
  if (!known.length) return { nodes: [el("p", { class: "note" }, count > 2000 ? "Importance is worked out for reports of up to 2,000 experiments; narrow this one with --where." : "For this, at least three experiments need a metric and params that vary.")] };
  const metric = known.includes(state.metric) ? state.metric : known[0];
  const list = data.importance[metric];
  const forest = list.some((item) => item[2] !== null);
  const bar = (value) => el("div", { class: "bar" }, el("i", { class: value < 0 ? "minus" : "", style: `left:0;width:${Math.abs(value) * 100}%` }));
  const part = (title, text, at) => [el("h2", {}, title), el("p", { class: "note" }, text), el("div", { class: "share" }, [...list].sort((a, b) => Math.abs(b[at]) - Math.abs(a[at])).map((item) => [el("span", { class: "name" }, item[0]), bar(item[at]), el("span", { class: "number" }, item[at].toFixed(2))]))];
  return { nodes: [
    el("div", { class: "controls" }, select("Metric", known.map((name) => [name, name]), metric, (wanted) => go({ metric: wanted }))),
    el("p", { class: "note" }, `From all ${plural(count, "experiment")} of this report, whatever the filters say. A hint, not a proof: it only knows the values that were tried.`),
    ...(forest ? part("Share in a random forest", "How much of the metric's variation a forest of decision trees explains by each param (they add up to 1).", 2) : [el("p", { class: "note" }, "With scikit-learn installed and eight experiments or more, gitexp report --forest adds the shares of a random forest.")]),
    ...part("Correlation", "Spearman's rank correlation, from −1 to 1 (orange: the metric falls as the param grows). For words, the correlation ratio, from 0 to 1.", 1),
  ] };
}

/* Parallel coordinates: a line for each experiment on a canvas, an axis for each column. Own code, since plotly's needs WebGL
 * and `eval`, which the policy of this page forbids. Brushing an axis sets the column's filter, so the table follows. */
function drawParallel() {
  const axes = parallelAxes();
  if (axes.length < 2) return { nodes: [el("p", { class: "note" }, "Parallel coordinates need two params or metrics that vary.")] };
  const faded = rows(new Set(axes.map((one) => one.key)));
  const shade = column.get(state.color) ?? axes.at(-1);
  const box = el("div", { class: "parallel", style: `width:${axes.length * 7.5}rem` }, el("canvas"));
  const scales = axes.map((one) => scaleOf(one, faded));
  axes.forEach((one, at) => box.append(axis(one, scales[at], (at + 0.5) / axes.length)));
  const paint = () => paintLines(box, scales, faded, shade);
  new ResizeObserver(paint).observe(box);
  return { nodes: [
    el("div", { class: "controls" }, select("Colour", options(axes), shade.key, (color) => go({ color })), el("button", { onclick: () => { axes.forEach((one) => state.filters.delete(one.key)); go(); } }, "Clear brushes")),
    el("p", { class: "note" }, `${rows().length.toLocaleString("en")} of ${plural(faded.length, "experiment")} pass. Drag along an axis, or write below it (0.1..0.5, =adam|sgd): the table and the other views follow. The axes are the params and metrics among the columns.`),
    el("div", { class: "chart wide" }, box),
  ], after: paint };
}

function parallelAxes() {
  const all = (state.columns ?? defaultColumns()).map((key) => column.get(key)).filter((one) => one.kind !== "info" && distinct(one).length > 1);
  const metrics = all.filter((one) => one.kind === "metrics");
  return [...all.filter((one) => one.kind === "params").slice(0, 9), ...metrics.slice(0, 4)];
}

/** Return how a column lies on an axis: `place` gives 0 (bottom) to 1 (top), `ticks` what is written there, `back` the value. */
function scaleOf(one, list) {
  const values = distinct(one, list.length ? list : everyone).filter((value) => !(typeof value === "number" && !Number.isFinite(value)));
  if (!one.number) {
    const words = values.map(String).sort();
    const place = (value) => (words.length > 1 ? words.indexOf(String(value)) / (words.length - 1) : 0.5);
    return { one, place, words, ticks: words.slice(0, 30).map((word) => [place(word), word]) };
  }
  const low = values.reduce((a, b) => Math.min(a, b), Infinity), high = values.reduce((a, b) => Math.max(a, b), -Infinity);
  const log = isWide([low, high]);
  const [to, from] = log ? [Math.log, Math.exp] : [(value) => value, (value) => value];
  const span = to(high) - to(low) || 1;
  const back = (part) => (part < 0.02 ? low : part > 0.98 ? high : from(to(low) + part * span)); // near an end means the end
  return { one, place: (value) => (to(value) - to(low)) / span, back, ticks: (low === high ? [0] : [0, 0.25, 0.5, 0.75, 1]).map((part) => [part, shown(Number(back(part).toPrecision(3)))]) };
}

function axis(one, scale, across) {
  const text = state.filters.get(one.key) ?? "";
  const track = el("div", { class: "track" }, scale.ticks.map(([part, word]) => el("span", { class: "tick", style: `top:${100 - part * 100}%` }, word)));
  const span = /^(\S+)\.\.(\S+)$/.exec(text);
  const range = el("i", { class: "range", hidden: !(span && scale.back) });
  const show = (low, high) => { range.hidden = false; range.style.top = `${100 - high * 100}%`; range.style.height = `${Math.max(1, (high - low) * 100)}%`; };
  if (span && scale.back) show(...[span[1], span[2]].map((end) => Math.max(0, Math.min(1, scale.place(Number(end)) || 0))));
  track.append(range);
  track.addEventListener("pointerdown", (down) => {
    const frame = track.getBoundingClientRect();
    const part = (event) => Math.max(0, Math.min(1, 1 - (event.clientY - frame.top) / frame.height));
    const start = part(down);
    let end = start;
    track.setPointerCapture(down.pointerId);
    track.onpointermove = (event) => { end = part(event); show(Math.min(start, end), Math.max(start, end)); };
    track.onpointerup = () => {
      track.onpointermove = track.onpointerup = null;
      setFilter(one.key, Math.abs(end - start) < 0.01 ? "" : brushText(scale, Math.min(start, end), Math.max(start, end)));
    };
  });
  return el("div", { class: `axis ${one.kind}`, "data-key": one.key, style: `left:${across * 100}%` }, el("div", { class: "name", title: one.title }, one.title), track,
    el("input", { value: text, placeholder: "all", spellcheck: "false", "aria-label": `Filter ${visible(one.title)}`, onchange: (event) => setFilter(one.key, event.target.value) }));
}

function brushText(scale, low, high) {
  const rounded = (part) => (part < 0.02 || part > 0.98 ? scale.back(part) : Number(scale.back(part).toPrecision(4)));
  if (scale.back) return `${rounded(low)}..${rounded(high)}`;
  return `=${scale.words.filter((word) => scale.place(word) >= low - 0.02 && scale.place(word) <= high + 0.02).join("|")}`;
}

function paintLines(box, scales, faded, shade) {
  const canvas = box.firstChild, frame = box.getBoundingClientRect();
  if (!frame.width) return;
  const ratio = devicePixelRatio, rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
  [canvas.width, canvas.height] = [frame.width * ratio, frame.height * ratio];
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  const top = 1.9 * rem, tall = frame.height - 4.5 * rem;
  const passing = new Set(rows());
  const scale = scaleOf(shade, [...passing]);
  const trace = (at) => {
    pen.beginPath();
    let down = false;
    scales.forEach(({ one, place }, number) => {
      const value = one.of(at), part = value === null ? NaN : place(value);
      if (!Number.isFinite(part)) return (down = false);
      const x = ((number + 0.5) / scales.length) * frame.width, y = top + (1 - part) * tall;
      down ? pen.lineTo(x, y) : pen.moveTo(x, y);
      down = true;
    });
    pen.stroke();
  };
  pen.lineJoin = "round";
  pen.strokeStyle = css("--line");
  pen.lineWidth = 1;
  faded.filter((at) => !passing.has(at)).forEach(trace);
  pen.lineWidth = 1.4;
  pen.globalAlpha = Math.max(0.12, Math.min(0.85, 60 / Math.max(1, passing.size)));
  for (const at of faded) {
    if (!passing.has(at) || state.chosen.has(at)) continue;
    const part = shade.of(at) === null ? 0 : scale.place(shade.of(at));
    pen.strokeStyle = `hsl(${230 - 200 * (Number.isFinite(part) ? part : 0)} 70% 52%)`;
    trace(at);
  }
  pen.globalAlpha = 1;
  pen.lineWidth = 3;
  for (const at of state.chosen) { pen.strokeStyle = colour(at); trace(at); }
}

/* ---- 8 differences --------------------------------------------------------------------------------------------------- */

/** Return the shortest edit script between two lists (Myers 1986) as [sign, index in a, index in b]: "=", "-" or "+". */
function edits(a, b) {
  let head = 0, tail = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head++;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
  const same = (from, to, shift) => Array.from({ length: to - from }, (_, at) => ["=", from + at, from + at + shift]);
  const middle = myers(a.slice(head, a.length - tail), b.slice(head, b.length - tail)).map(([sign, x, y]) => [sign, x + head, y + head]);
  return [...same(0, head, 0), ...middle, ...same(a.length - tail, a.length, b.length - a.length)];
}

const MOST_EDITS = 1500; // more than that, and all is shown as replaced: the memory grows with the square

function myers(a, b) {
  const n = a.length, m = b.length, most = Math.min(n + m, MOST_EDITS), middle = most + 1;
  const reach = new Int32Array(2 * most + 3), steps = [];
  for (let d = 0; d <= most; d++) {
    steps.push(reach.slice(middle - d - 1, middle + d + 2));
    for (let k = -d; k <= d; k += 2) {
      let x = k === -d || (k !== d && reach[middle + k - 1] < reach[middle + k + 1]) ? reach[middle + k + 1] : reach[middle + k - 1] + 1;
      while (x < n && x - k < m && a[x] === b[x - k]) x++;
      reach[middle + k] = x;
      if (x >= n && x - k >= m) return walkedBack(steps, n, m);
    }
  }
  return [...a.map((_, at) => ["-", at, 0]), ...b.map((_, at) => ["+", n, at])];
}

function walkedBack(steps, x, y) {
  const found = [];
  for (let d = steps.length - 1; d >= 0; d--) {
    const reach = steps[d], at = (k) => reach[k + d + 1], k = x - y;
    const before = k === -d || (k !== d && at(k - 1) < at(k + 1)) ? k + 1 : k - 1;
    const fromX = d ? at(before) : 0, fromY = d ? fromX - before : 0;
    while (x > fromX && y > fromY) found.push(["=", --x, --y]);
    if (d) x > fromX ? found.push(["-", --x, y]) : found.push(["+", x, --y]);
  }
  return found.reverse();
}

/** Group an edit script: equal stretches, and changed ones with what was removed and what was added. */
function stretches(script) {
  const found = [];
  for (const [sign, x, y] of script) {
    const kind = sign === "=" ? "same" : "changed";
    if (found.at(-1)?.kind !== kind) found.push({ kind, removed: [], added: [], pairs: [] });
    const last = found.at(-1);
    sign === "=" ? last.pairs.push([x, y]) : sign === "-" ? last.removed.push(x) : last.added.push(y);
  }
  return found;
}

/** Cut a text into lines, each with the syntax colours that lie in it: [class, start, end]. */
function linesOf(blob) {
  const texts = blob.text.replace(/\n$/, "").split("\n");
  if (blob.text === "") return [];
  const made = texts.map((text) => ({ text, runs: [] }));
  let line = 0, at = 0;
  for (let run = 0; blob.runs && run < blob.runs.length; run += 2) {
    let left = blob.runs[run + 1]; // in code points, as Python counts
    while (left > 0 && line < made.length) {
      const rest = [...made[line].text.slice(at)];
      const taken = Math.min(left, rest.length);
      const end = at + (taken === rest.length ? made[line].text.length - at : rest.slice(0, taken).join("").length);
      if (blob.runs[run] && end > at) made[line].runs.push([blob.runs[run], at, end]);
      left -= taken;
      at = end;
      if (left > 0 && at >= made[line].text.length) { line++; at = 0; left--; }
    }
  }
  return made;
}

/** Return a line's text as elements: its syntax colours, and a mark on what differs from its partner. */
function colouredLine({ text, runs }, marked) {
  const cuts = [...new Set([0, text.length, ...runs.flatMap(([, from, to]) => [from, to]), ...(marked ?? [])])].sort((a, b) => a - b);
  return cuts.slice(1).map((to, at) => {
    const from = cuts[at], part = text.slice(from, to);
    const kind = runs.find((run) => run[1] <= from && to <= run[2]);
    const inner = kind ? el("span", { class: `k${kind[0]}` }, part) : part;
    return marked && marked[0] <= from && to <= marked[1] ? el("mark", {}, inner) : inner;
  });
}

/** Return where two lines differ: [from, to] in each. */
function marks(a, b) {
  let head = 0, tail = 0;
  while (head < Math.min(a.length, b.length) && a[head] === b[head]) head++;
  while (tail < Math.min(a.length, b.length) - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
  return head + tail < 3 ? [null, null] : [[head, a.length - tail], [head, b.length - tail]];
}

const AROUND = 3; // equal lines shown beside a change

function textDiff(a, b) {
  const left = linesOf(a), right = linesOf(b);
  const all = stretches(edits(left.map((line) => line.text), right.map((line) => line.text)));
  const added = all.reduce((sum, part) => sum + part.added.length, 0), removed = all.reduce((sum, part) => sum + part.removed.length, 0);
  const draw = state.split ? splitLine : unifiedLine;
  const body = el("tbody");
  const same = (pairs) => pairs.map(([x, y]) => draw(left[x], x, right[y], y, null, null));
  all.forEach((part, at) => {
    if (part.kind === "changed") return body.append(...changed(part, left, right, draw));
    const before = at === 0 ? 0 : AROUND, after = at === all.length - 1 ? 0 : AROUND;
    if (part.pairs.length <= before + after + 2) return body.append(...same(part.pairs).flat());
    const hidden = part.pairs.slice(before, part.pairs.length - after);
    const fold = el("tr", { class: "fold" }, el("td", { colspan: 4 }, el("button", { class: "plain", onclick: () => fold.replaceWith(...same(hidden).flat()) }, `⋯ ${plural(hidden.length, "equal line")}`)));
    body.append(...same(part.pairs.slice(0, before)).flat(), fold, ...same(after ? part.pairs.slice(-after) : []).flat());
  });
  return { added, removed, node: el("table", { class: `diff ${state.split ? "split" : ""}` }, state.split && el("colgroup", {}, ["at", "", "at", ""].map((kind) => el("col", { class: kind }))), body) };
}

function changed(part, left, right, draw) {
  const pairs = Math.max(part.removed.length, part.added.length);
  const lines = Array.from({ length: pairs }, (_, at) => {
    const x = part.removed[at], y = part.added[at];
    const [markX, markY] = x !== undefined && y !== undefined ? marks(left[x].text, right[y].text) : [null, null];
    return draw(left[x], x, right[y], y, markX, markY, true);
  });
  return state.split ? lines.flat() : [...lines.map((two) => two[0]), ...lines.map((two) => two[1])].filter(Boolean);
}

function unifiedLine(a, x, b, y, markA, markB, differs) {
  const line = (sign, kind, from, to, content) => el("tr", { class: kind }, el("td", { class: "at" }, from), el("td", { class: "at" }, to), el("td", { class: "sign" }, sign), el("td", {}, content));
  if (!differs) return [line(" ", "", x + 1, y + 1, colouredLine(a))];
  return [a && line("−", "del", x + 1, "", colouredLine(a, markA)), b && line("+", "add", "", y + 1, colouredLine(b, markB))];
}

function splitLine(a, x, b, y, markA, markB, differs) {
  const half = (line, at, mark, kind) => [el("td", { class: "at" }, line ? at + 1 : ""), el("td", { class: differs && line ? kind : "" }, line ? colouredLine(line, mark) : "")];
  return [el("tr", {}, half(a, x, markA, "del"), half(b, y, markB, "add"))];
}

function parseCsv(text) {
  const found = [[]];
  for (const [, quotedCell, plainCell, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^,\n"]*))(,|\n|$)/g)) {
    found.at(-1).push(quotedCell !== undefined ? quotedCell.replaceAll('""', '"') : plainCell ?? "");
    if (end === "\n") found.push([]);
    if (end === "") break;
  }
  return found.filter((line) => line.length > 1 || line[0]);
}

function csvDiff(a, b) {
  const left = parseCsv(a.text), right = parseCsv(b.text);
  const all = stretches(edits(left.map((line) => line.join("\u0001")), right.map((line) => line.join("\u0001"))));
  const body = [];
  let added = 0, removed = 0;
  for (const part of all) {
    for (let at = 0; part.kind === "changed" && at < Math.max(part.removed.length, part.added.length); at++) {
      const old = left[part.removed[at]], now = right[part.added[at]];
      added += !!now;
      removed += !!old;
      if (body.length >= 500) continue;
      const wide = Math.max(old?.length ?? 0, now?.length ?? 0);
      body.push(el("tr", {}, el("td", { class: "soft" }, old && now ? "≠" : now ? "+" : "−"), Array.from({ length: wide }, (_, place) => {
        if (old && now && old[place] === now[place]) return el("td", {}, now[place]);
        return el("td", { class: old ? (now ? "" : "del") : "add" }, old && now ? [el("span", { class: "del" }, old[place] ?? ""), " → ", el("span", { class: "add" }, now[place] ?? "")] : (now ?? old)[place]);
      })));
    }
  }
  const head = right[0] ?? left[0] ?? [];
  return { added, removed, node: el("div", {}, el("table", { class: "cells" }, el("thead", {}, el("tr", {}, el("th"), head.map((name) => el("th", {}, name)))), el("tbody", {}, body)), added + removed > body.length * 2 && el("p", { class: "note" }, "The first 500 rows that differ.")) };
}

const joined = (text) => (Array.isArray(text) ? text.join("") : text ?? "");
function notebookCells(text) {
  const cells = JSON.parse(text).cells;
  return cells.map((one) => ({ kind: String(one.cell_type), source: joined(one.source), outputs: (Array.isArray(one.outputs) ? one.outputs : []).map((out) => ({ text: joined(out.text ?? out.data?.["text/plain"] ?? out.traceback).replace(/\x1b\[[\d;]*m/g, ""), image: ["image/png", "image/jpeg"].filter((type) => out.data?.[type]).map((type) => `data:${type};base64,${joined(out.data[type]).replace(/\s/g, "")}`)[0] })) }));
}

function notebookDiff(a, b) {
  let left, right;
  try {
    [left, right] = [notebookCells(a.text), notebookCells(b.text)];
  } catch {
    return textDiff(a, b);
  }
  const key = (one) => JSON.stringify(one), outputs = (one) => JSON.stringify(one.outputs);
  const nodes = [];
  let added = 0, removed = 0;
  for (const part of stretches(edits(left.map(key), right.map(key)))) {
    if (part.kind === "same") { nodes.push(el("p", { class: "note" }, `⋯ ${plural(part.pairs.length, "equal cell")}`)); continue; }
    for (let at = 0; at < Math.max(part.removed.length, part.added.length); at++) {
      const old = left[part.removed[at]], now = right[part.added[at]];
      added += !!now;
      removed += !!old;
      const source = textDiff({ text: old?.source ?? "" }, { text: now?.source ?? "" });
      nodes.push(el("h3", {}, `${(now ?? old).kind} cell ${(part.added[at] ?? part.removed[at]) + 1}: ${old && now ? (old.source === now.source ? "other outputs" : "changed") : now ? "added" : "removed"}`),
        el("div", { class: "sheet" }, source.node), old && now && outputs(old) === outputs(now) ? "" : el("div", { class: "columns" }, [old, now].map((one, side) => one?.outputs.length ? el("div", { class: side ? "add" : "del" }, el("p", { class: "soft" }, side ? "output after" : "output before"), one.outputs.map((out) => out.image ? el("img", { src: out.image, alt: "output", style: "max-width:100%" }) : el("pre", { class: "text" }, out.text))) : "")));
    }
  }
  return { added, removed, word: "cell", node: el("div", {}, nodes) };
}

const blobAt = (all, at, path) => all.trees[at][path] ?? all.base[path] ?? -1;

function fileDiff(all, path, a, b) {
  const name = all.paths[path], [old, now] = [a, b].map((at) => (blobAt(all, at, path) < 0 ? null : all.blobs[blobAt(all, at, path)]));
  const title = (more) => el("summary", {}, el("code", {}, name), old ? (now ? "" : " (removed)") : " (added)", more);
  if ([old, now].some((blob) => blob?.image)) return el("details", { open: true, "data-path": name }, title(""), el("div", { class: "body columns" }, [old, now].map((blob) => (blob?.image ? figure(blob, size(blob.size)) : el("p", { class: "note" }, blob ? size(blob.size) : "not there")))));
  if ([old, now].some((blob) => blob && blob.text === undefined)) return el("details", { "data-path": name }, title(""), el("p", { class: "note body" }, `${old ? size(old.size) : "nothing"} → ${now ? size(now.size) : "nothing"}; binary, or too large for this page. To see it: gitexp diff ${quoted(E.name[a])} ${quoted(E.name[b])}`));
  const differ = name.endsWith(".ipynb") && old && now ? notebookDiff : /\.(csv|tsv)$/.test(name) && old && now && !name.endsWith("tsv") ? csvDiff : textDiff;
  const made = differ(old ?? { text: "" }, now ?? { text: "" });
  return el("details", { open: made.added + made.removed < 400, "data-path": name }, title([made.added > 0 && el("span", { class: "plus" }, `+${made.added}`), made.removed > 0 && el("span", { class: "minus" }, `−${made.removed}`), made.word && el("span", { class: "soft" }, ` ${made.word}s`)]), el("div", { class: "body" }, made.node));
}

const figure = (blob, caption) => el("figure", {}, el("img", { src: blob.image, alt: caption, loading: "lazy" }), el("figcaption", {}, caption));

/** Return the two that Diff compares: those named, else the two selected, else the two newest, the older one first. */
function pair() {
  const named = [byName.get(state.a), byName.get(state.b)];
  if (named.every((at) => at !== undefined)) return named;
  const two = state.chosen.size === 2 ? [...state.chosen] : rows().sort((a, b) => E.started[b] - E.started[a]).slice(0, 2);
  return state.chosen.size === 2 ? two : two.reverse();
}

async function drawDiff() {
  const [a, b] = pair();
  if (b === undefined) return { nodes: [el("p", { class: "note" }, "Select two experiments in the table to see what differs between them.")] };
  const [all, env] = await Promise.all([files(), environments()]);
  const changed = all.paths.map((_, path) => path).filter((path) => blobAt(all, a, path) !== blobAt(all, b, path));
  const isData = (path) => /(\.dvc|(^|\/)dvc\.lock)$/.test(all.paths[path]);
  const isPicture = (path) => [a, b].some((at) => all.blobs[blobAt(all, at, path)]?.image);
  const names = el("datalist", { id: "names" }, everyone.slice(0, 500).map((at) => el("option", { value: E.name[at] })));
  const box = (key, at) => el("input", { value: E.name[at], list: "names", "aria-label": key === "a" ? "Before" : "After", onchange: (event) => byName.has(event.target.value) ? go({ a: E.name[a], b: E.name[b], [key]: event.target.value }) : toast("There is no experiment of that name here") });
  const part = (title, list) => (list.length ? [el("h2", {}, `${title} `, el("span", { class: "soft" }, list.length)), ...list.map((path) => fileDiff(all, path, a, b))] : []);
  const values = columns.filter((one) => one.kind !== "info" && String(one.of(a)) !== String(one.of(b)));
  return { nodes: [
    el("div", { class: "controls" }, box("a", a), "→", box("b", b), names, el("button", { onclick: () => go({ a: E.name[b], b: E.name[a] }) }, "Swap"), toggle("Side by side", state.split === "1", (on) => go({ split: on ? "1" : "" })),
      el("button", { onclick: () => copy(`gitexp diff ${quoted(E.name[a])} ${quoted(E.name[b])}`, "the command") }, "Copy command")),
    state.chosen.size !== 2 && !state.a ? el("p", { class: "note" }, "The two newest of the experiments that pass the filters; select exactly two in the table, or name them here.") : "",
    values.length ? el("div", { class: "sheet" }, el("table", { class: "side" }, el("tbody", {}, ["params", "metrics"].map((kind) => { const some = values.filter((one) => one.kind === kind); return some.length ? [el("tr", { class: `kind ${kind}` }, el("th", { colspan: 3 }, kind)), some.map((one) => compareRow(one, [a, b]))] : []; })))) : el("p", { class: "note" }, "All params and metrics are equal."),
    ...part("Code and files", changed.filter((path) => !isData(path)).sort((x, y) => isPicture(x) - isPicture(y))), changed.length ? "" : el("p", { class: "note" }, "No file differs."),
    ...part("Data (DVC)", changed.filter(isData)),
    ...environmentDiff(env, a, b),
    all.left_out ? el("p", { class: "note" }, `The experiments of this report differ in ${all.left_out.toLocaleString("en")} more files, which are not in this page.`) : "",
  ] };
}

function environmentDiff(env, a, b) {
  const [old, now] = [a, b].map((at) => env.known[env.which[at]]);
  if (!old || !now) return [];
  const names = [...new Set([...Object.keys(old), ...Object.keys(now)])].filter((name) => old[name] !== now[name]).sort();
  return [el("h2", {}, "Environment ", el("span", { class: "soft" }, names.length)), names.length ? el("div", { class: "sheet" }, el("table", {}, el("tbody", {}, names.map((name) => el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, old[name] ?? "–"), el("td", {}, "→"), el("td", {}, now[name] ?? "–")))))) : el("p", { class: "note" }, "The same Python and packages.")];
}

/* ---- 9 one experiment ------------------------------------------------------------------------------------------------ */

async function drawOne() {
  const at = byName.get(state.one);
  const [all, env, said] = await Promise.all([files(), environments(), messages()]);
  const charts = await curveCharts([at]);
  const facts = (pairs) => el("dl", { class: "facts" }, pairs.filter(([, value]) => value !== null && value !== "" && value !== undefined).map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
  const command = (text) => el("div", { class: "command" }, el("code", {}, text), el("button", { onclick: () => copy(text, "the command") }, "Copy"));
  const name = quoted(E.name[at]);
  const own = all.paths.map((path, number) => ({ path, blob: all.blobs[blobAt(all, at, number)] })).filter((item) => item.blob);
  const pictures = own.filter((item) => item.blob.image), packages = Object.entries(env.known[env.which[at]] ?? {});
  const values = (kind) => {
    const used = columns.filter((one) => one.kind === kind && one.of(at) !== null);
    return used.length ? el("div", {}, el("h2", {}, kind[0].toUpperCase() + kind.slice(1)), el("div", { class: "sheet" }, el("table", { class: `side ${kind}` }, el("tbody", {}, used.map((one) => el("tr", {}, el("th", { scope: "row" }, one.title), el("td", { class: "number" }, shown(one.of(at), { show: (value) => (typeof value === "number" ? shown(value) : String(value)) }))))))) ) : "";
  };
  const neighbours = rows(), place = neighbours.indexOf(at);
  const step = (by, title) => el("button", { disabled: neighbours[place + by] === undefined || place < 0, onclick: () => go({ one: E.name[neighbours[place + by]] }) }, title);
  return { nodes: [
    el("div", { class: "controls" }, el("button", { onclick: () => go({ view: "table" }) }, "← Table"), step(-1, "Previous"), step(1, "Next"), el("button", { "aria-pressed": String(state.chosen.has(at)), onclick: () => choose(at) }, state.chosen.has(at) ? "Selected" : "Select")),
    el("h2", {}, E.subject[at]),
    el("div", { class: "columns" },
      el("div", {}, facts([["status", el("span", { class: `status ${E.status[at]}` }, E.status[at])], ["commit", el("span", {}, commitLink(at), " ", el("button", { class: "link", title: "Copy the whole hash", onclick: () => copy(E.id[at], "the commit") }, "copy"))], ["parent", E.parent[at]?.slice(0, 10)],
        ["started", moment(E.started[at])], ["duration", E.duration[at] === null ? null : duration(E.duration[at])], ["author", E.author[at]], ["branch", E.branch[at]], ["group", E.group[at]], ["labels", E.labels[at].join(", ")], ["command", E.command[at] && el("code", {}, E.command[at])],
        ...Object.entries(said[at].trailers).filter(([key]) => !["Status", "Started", "Duration", "Command", "Id", "Group"].includes(key)).map(([key, value]) => [key.toLowerCase(), value])])),
      el("div", {}, command(`gitexp checkout ${name}`), command(`gitexp reproduce ${name}`), command(`git show ${E.id[at].slice(0, 10)}`))),
    said[at].body || E.notes[at].length ? el("div", {}, el("h2", {}, "Notes"), said[at].body && el("p", { class: "text" }, said[at].body), E.notes[at].map((text) => el("p", { class: "text" }, text))) : "",
    el("div", { class: "columns" }, values("metrics"), values("params")),
    charts.boxes.length ? el("h2", {}, "Curves") : "", el("div", { class: "charts" }, charts.boxes),
    ...(pictures.length ? [el("h2", {}, "Figures"), el("div", { class: "figures" }, pictures.map((item) => figure(item.blob, item.path)))] : []),
    ...(own.length ? [el("h2", {}, "Files that differ among these experiments"), ...own.filter((item) => !item.blob.image).map((item) => el("details", {}, el("summary", {}, el("code", {}, item.path), el("span", { class: "soft" }, ` ${size(item.blob.size)}`)), item.blob.text === undefined ? el("p", { class: "note body" }, "Binary, or too large for this page.") : el("div", { class: "body" }, el("table", { class: "diff" }, el("tbody", {}, linesOf(item.blob).slice(0, 2000).map((line, number) => el("tr", {}, el("td", { class: "at" }, number + 1), el("td", {}, colouredLine(line)))))))))] : []),
    ...(packages.length ? [el("h2", {}, "Environment"), el("details", {}, el("summary", {}, `${plural(packages.length, "package")}, Python ${env.known[env.which[at]].python ?? "unknown"}`), el("div", { class: "body mono" }, packages.map(([key, version]) => el("div", {}, `${key} ${version}`))))] : []),
  ], after: charts.after };
}

/* ---- everything together --------------------------------------------------------------------------------------------- */

const DRAW = { compare: drawCompare, curves: drawCurves, parallel: drawParallel, scatter: drawScatter, bars: drawBars, importance: drawImportance, diff: drawDiff, one: drawOne };

const KEYS = [["/", "search"], ["↑ ↓", "go through the rows"], ["Space", "select the row"], ["Enter", "open the experiment"], ["c", "compare those selected"], ["d", "differences of the two selected"], ["1 – 8", "the views"], ["Esc", "back to the table"], ["y", "copy a link to this view"], ["t", "dark or light"]];

function helpDialog() {
  openDialog(el("h2", {}, "Keys"), el("dl", {}, KEYS.map(([key, text]) => [el("dt", {}, el("kbd", {}, key)), el("dd", {}, text)])),
    el("h2", {}, "Filters"), el("dl", {}, [["adam", "contains the text"], ["<0.1  >=3  !=x", "compares"], ["0.1..0.5", "lies between"], ["=adam|sgd", "is one of these"], ["!adam", "does not contain it"], ["rmse<0.2 -old label:conv", "in the search box: all of these"]].map(([key, text]) => [el("dt", {}, el("code", {}, key)), el("dd", {}, text)])),
    el("button", { onclick: () => $("#dialog").close() }, "Done"));
}

const linkToHere = () => copy(location.href.split("#")[0] + address(), "a link to this view");
function switchTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  draw();
}

function onKey(event) {
  const typing = event.target.closest?.("input:not([type=checkbox]), select, textarea, dialog");
  if (event.key === "Escape" && typing && !event.target.closest("dialog")) { event.target.blur(); return; }
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const onRow = event.target.closest?.("tr[data-row]");
  const page = Math.max(1, Math.floor($("#view").clientHeight / (grid?.height || 34)) - 4);
  const tab = event.target.closest?.("#tabs");
  const keys = Object.keys(VIEWS);
  const actions = {
    "/": () => $("#search").focus(), c: () => go({ view: "compare" }), d: () => go({ view: "diff", a: "", b: "" }), y: linkToHere, t: switchTheme, "?": helpDialog,
    Escape: () => go({ view: "table" }),
    ...(grid && { ArrowDown: () => moveFocus(onRow ? focusRow + 1 : focusRow), ArrowUp: () => moveFocus(focusRow - 1), PageDown: () => moveFocus(focusRow + page), PageUp: () => moveFocus(focusRow - page), Home: () => moveFocus(0), End: () => moveFocus(count), j: () => moveFocus(focusRow + 1), k: () => moveFocus(focusRow - 1) }),
    ...(onRow && event.target === onRow && { " ": () => choose(grid.rows[focusRow]), Enter: () => go({ view: "one", one: E.name[grid.rows[focusRow]] }) }),
    ...(tab && { ArrowRight: () => go({ view: keys[(keys.indexOf(state.view) + 1) % keys.length] }), ArrowLeft: () => go({ view: keys[(keys.indexOf(state.view) + keys.length - 1) % keys.length] }) }),
    ...Object.fromEntries(keys.map((view, at) => [String(at + 1), () => go({ view })])),
  };
  if (!Object.hasOwn(actions, event.key)) return;
  event.preventDefault();
  actions[event.key]();
}

addEventListener("hashchange", () => { readAddress(); draw(true); });
addEventListener("popstate", () => { readAddress(); draw(true); });
addEventListener("keydown", onKey);
addEventListener("beforeprint", () => grid && drawRows(true));
addEventListener("afterprint", () => grid && drawRows());
addEventListener("resize", () => grid && drawRows());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw());
$("#view").addEventListener("scroll", () => grid && (Math.floor($("#view").scrollTop / grid.height) - 5 < grid.from || Math.ceil(($("#view").scrollTop + $("#view").clientHeight) / grid.height) + 5 > grid.to) && drawRows());
$("#search").addEventListener("input", (event) => { focusRow = 0; go({ q: event.target.value }); });
$("#columns").addEventListener("click", columnsDialog);
$("#clear").addEventListener("click", () => go({ q: "", filters: new Map(), labels: new Map(), sort: "", hidden: "" }));
$("#copy-link").addEventListener("click", linkToHere);
$("#theme").addEventListener("click", switchTheme);
$("#help").addEventListener("click", helpDialog);
$("#dialog").addEventListener("click", (event) => event.target === $("#dialog") && $("#dialog").close());
readAddress();
draw(true);
