/* The state of the page, which is its address. */
"use strict";

const VIEWS = { table: "Table", compare: "Compare", curves: "Curves",
  parallel: "Parallel", scatter: "Scatter", bars: "Bars",
  importance: "Importance", images: "Images", tree: "Tree", diff: "Diff" };
const PLAIN = [ // texts of the state
  "q", "sort", "one", "x", "y", "color",
    "metric", "axis", "smooth", "log", "hidden", "split", "same", "a", "b",
  "agg", "base", "pin", "step", "by", "open", "plain", "mean",
    "zoom", "clip", "xs", "ys", "size", "front", "order", "shade",
];
let firstSort = ""; // what the page was sorted by when it was opened
const state = {};

function readAddress() {
  const words = new URLSearchParams(location.hash.length > 1 ? location.hash.slice(1) : data.start);
  for (const key of PLAIN) state[key] = words.get(key) ?? "";
  if (!AGGREGATES.includes(state.agg)) state.agg = "";
  state.view = words.get("view") in VIEWS
    || (words.get("view") === "one" && byName.has(state.one)) ? words.get("view") : "table";
  state.chosen = new Set(listed(words.get("sel"))
    .map((name) => byName.get(name)).filter((at) => at !== undefined));
  state.columns = words.has("cols") ? listed(words.get("cols")).filter((key) => column.has(key))
    : null;
  const widths = listed(words.get("w")).map((text) => text.split(/:(?=\d+$)/));
  state.widths = new Map(widths.map(([key, wide]) => [key, Number(wide) || 80]));
  state.labels = new Map(listed(words.get("labels"))
    .map((word) => [word.replace(/^-/, ""), !word.startsWith("-")]));
  state.filters =
    new Map([...words].filter(([key]) => key.startsWith("f.") && column.has(key.slice(2)))
    .map(([key, text]) => [key.slice(2), text]));
}

function address() {
  const words = new URLSearchParams({ view: state.view });
  if (state.chosen.size) words.set("sel", asList([...state.chosen].map((at) => E.name[at])));
  for (const key of PLAIN) if (state[key] && (key !== "one" || state.view === "one"))
    words.set(key, state[key]);
  if (state.labels.size) words.set("labels",
    asList([...state.labels].map(([label, wanted]) => (wanted ? label : `-${label}`))));
  for (const [key, text] of state.filters) words.set(`f.${key}`, text);
  if (state.widths.size)
    words.set("w", asList([...state.widths].map(([key, wide]) => `${key}:${wide}`)));
  if (state.columns) words.set("cols", asList(state.columns));
  return `#${words}`;
}

/** Change the state and draw what follows from it. The browser can go back from a new view. */
function go(change = {}) {
  const stepped = ("view" in change && change.view !== state.view)
    || ("one" in change && change.one !== state.one);
  Object.assign(state, change);
  history[stepped ? "pushState" : "replaceState"](null, "", address());
  draw(stepped);
}

const openOne = (at) => go({ view: "one", one: E.name[at] });
