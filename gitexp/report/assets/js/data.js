/* What the page holds, and its columns. */
"use strict";

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
