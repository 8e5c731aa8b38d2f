/* What the page holds, and its columns. */
"use strict";

/** One thing that is known of experiments; `of` gives it for the experiment at a place.
 * @typedef {{key: string, title: string, kind: string, number?: boolean, better?: string,
 *   values?: any[], of: (at: number) => any, show?: (value: any) => string}} Column */

/** What Python collected (`report/data.py`), column by column; an experiment is a place in them.
 * @typedef {{name: string[], id: string[], parent: (string|null)[], subject: string[],
 *   status: string[], started: number[], duration: (number|null)[], labels: string[][],
 *   notes: string[][], because: (string|null)[], origin: (string|null)[], group: (string|null)[],
 *   judged: {verdict?: string, by?: string, because?: string}[], author: string[],
 *   branch: (string|null)[], command: (string|null)[],
 *   alias: (string|null)[]}} Experiments
 * @typedef {{title: string, version: string, start: string, live: number, page: string|null,
 *   better: Record<string, string|null>, experiments: Experiments, params: Record<string, any[]>,
 *   metrics: Record<string, any[]>, importance: Record<string, any[][]>
 *   }} Table */

// what the page holds now; live, it is replaced by `adopt`
/** @type {Table} */
let data;
/** @type {Experiments} */
let E;
/** @type {number} */
let count;
/** @type {number[]} */
let everyone;
/** @type {Map<string, number>} */
let byName;
/** @type {Column[]} */
let columns;
/** @type {Map<string, Column>} */
let column;
let stats = null; // [min, max, mean] of each series, when the curves have been read
/** @type {Promise<any>} */
const loaded = new Promise((done) =>
  (document.readyState === "loading" ? addEventListener("DOMContentLoaded", done) : done(null)));

/** Return the text of a compressed block of this page. */
async function unpack(name) {
  await loaded;
  const packed = atob(document.getElementById(`block-${name}`).textContent);
  const bytes = Uint8Array.from(packed, (char) => char.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip")))
    .text();
}

const forget = []; // what is worked out once, until other data come
/** Return a function that works something out when it is first called. */
function once(make) {
  let made;
  forget.push(() => (made = undefined));
  return () => (made ??= make());
}
const block = (name) =>
  once(async () => (data.live ? asked(`block/${name}`) : JSON.parse(await unpack(name))));
const curves = block("curves"), files = block("files"),
  environments = block("environments"), messages = block("messages");

/** Take a table as what the page is about. */
function adopt(table) {
  data = table;
  E = data.experiments;
  count = E.name.length;
  everyone = Array.from({ length: count }, (_, at) => at);
  byName = new Map(everyone.map((at) => [E.name[at], at]));
  forget.forEach((one) => one());
  columns = madeColumns();
  column = new Map(columns.map((one) => [one.key, one]));
}

const numeric = (value) => (typeof value === "number"
  ? value : { inf: Infinity, "-inf": -Infinity, nan: NaN }[value] ?? null);
const info = (key, title, of, more = {}) => ({ key, title, kind: "info", of, ...more });
const madeColumns = () => [
  info("name", "name", (at) => E.name[at]),
  info("status", "status", (at) => E.status[at]),
  info("verdict", "verdict", (at) => E.judged[at].verdict ?? null),
  info("because", "because", (at) => E.because[at]),
  info("labels", "labels", (at) => E.labels[at].join(" ")),
  info("started", "started", (at) => E.started[at],
    { number: true, show: (value) => moment(value) }),
  info("duration", "duration", (at) => E.duration[at],
    { number: true, show: (value) => duration(value) }),
  info("author", "author", (at) => E.author[at]),
  info("group", "group", (at) => E.group[at]),
  info("branch", "branch", (at) => E.branch[at]),
  info("commit", "commit", (at) => E.id[at].slice(0, 10)),
  info("subject", "subject", (at) => E.subject[at]),
  info("notes", "notes", (at) => E.notes[at].join(" · ")),
  ...Object.keys(data.params).map((name) => valueColumn("p", "params", name, data.params[name])),
  ...Object.keys(data.metrics)
    .map((name) => valueColumn("m", "metrics", name, data.metrics[name].map(numeric))),
];

/** @returns {Column} */
function valueColumn(letter, kind, name, values) {
  const number = values.every((value) => value === null || typeof value === "number");
  const chosen = (at) => stats?.[at]?.[name]?.[AGGREGATES.indexOf(state.agg)] ?? values[at];
  const of = letter === "m" ? (at) => (state.agg ? chosen(at) : values[at]) : (at) => values[at];
  return { key: `${letter}.${name}`, title: name,
    kind, number, values, of, better: data.better[letter === "m" ? name : ""] };
}
const AGGREGATES = ["min", "max", "mean"]; // of a series, instead of its last value

/** Return the distinct values of a column. */
const distinct = (one, rows = everyone) =>
  [...new Set(rows.map(one.of).filter((value) => value !== null))];
const varies = once(() =>
  new Set(columns.filter((one) => new Set(everyone.map(one.of)).size > 1).map((one) => one.key)));
const isNarrow = () => matchMedia("(max-width: 600px)").matches;
const MAIN = 4; // metrics that come before the params

/** The columns at first: what people look for before what they may look for. */
const defaultColumns = once(() => {
  const key = (one) => one.key;
  const varying = columns.filter((one) => varies().has(one.key));
  const weight = (one) => (firstSort === one.key ? 0 : one.better ? 1 : 2)
    + (varies().has(one.key) ? 0 : 3);
  const metrics = columns.filter((one) => one.kind === "metrics")
    .sort((a, b) => weight(a) - weight(b)).map(key);
  const params = varying.filter((one) => one.kind === "params").map(key);
  if (isNarrow()) return ["name", "status", ...metrics.slice(0, 1), ...params.slice(0, 2)];
  const known = columns.filter((one) => one.kind === "metrics" && weight(one) < 2).length;
  const main = Math.min(MAIN, known || MAIN);
  const last = ["verdict", "because", "labels", "author", "group"]
    .filter((one) => varies().has(one));
  return ["name", "status", ...metrics.slice(0, main),
    ...params, ...metrics.slice(main), ...last, "started", "duration", "commit"];
});
