/* The tree: which experiment came from which, what changed, and what that did to a metric. */
"use strict";

function drawTree() {
  const list = rows().sort((a, b) => E.started[a] - E.started[b]), inside = new Set(list);
  const metrics = columns.filter((one) => one.kind === "metrics" && one.number);
  const metric = column.get(`m.${state.metric}`) ?? metrics.find((one) => one.better) ?? metrics[0];
  const below = new Map();
  for (const at of list) {
    const from = byName.get(E.origin[at]), above = inside.has(from) ? from : null;
    below.set(above, [...(below.get(above) ?? []), at]);
  }
  const lines = [], todo = (below.get(null) ?? []).map((at) => [at, 0]).reverse();
  while (todo.length && lines.length < 2000) {
    const [at, depth] = todo.pop(), children = below.get(at) ?? [];
    lines.push(treeRow(at, byName.get(E.origin[at]), depth, metric));
    // a line of descent stays at its depth; it forks where one led to several
    todo.push(...children.map((child) => [child, depth + (children.length > 1 ? 1 : 0)]).reverse());
  }
  return { nodes: [
    el("div", { class: "controls" }, metric
      && choice("Metric", "metric", metrics.map((one) => [one.title, one.title]), metric.title)),
    hint("Each stands below the nearest experiment in the history that its run started from, ",
      "and says what changed since then.", lines.length < list.length && ` The first ${
        lines.length.toLocaleString("en")} of ${plural(list.length, "experiment")}.`),
    el("div", { class: "sheet" }, el("table", { class: "tree" }, el("tbody", {}, lines))),
  ] };
}

function treeRow(at, from, depth, metric) {
  const changed = from === undefined ? [] : columns.filter((one) => one.kind === "params"
    && String(one.of(at)) !== String(one.of(from)));
  const value = metric?.of(at);
  return el("tr", { class: E.judged[at].verdict ?? "" },
    el("td", { style: `padding-left:${0.7 + 1.2 * Math.min(depth, 12)}rem` },
      depth ? el("span", { class: "soft" }, "└ ") : "",
      el("button", { class: "link", onclick: () => openOne(at) }, E.name[at])),
    el("td", { class: "number" }, shown(value, metric),
      from !== undefined && delta(metric, value, metric.of(from))),
    el("td", {}, changed.slice(0, 6).map((one) => el("span", { class: "change" }, `${one.title}: `,
      shown(one.of(from), one), " → ", el("b", {}, shown(one.of(at), one)))),
    changed.length > 6 && el("span", { class: "soft" }, ` and ${changed.length - 6} more`)),
    el("td", {}, E.because[at] && `“${E.because[at]}” `,
      el("span", { class: "soft" }, judgedText(at))));
}
