/* Experiments side by side. */
"use strict";

const COMPARED = ["status", "started", "duration",
  "author", "verdict", "because", "labels", "group", "branch", "commit", "subject", "notes"];

function drawCompare() {
  const { list, note } = subject(12);
  const same = state.same === "1";
  const lines = { info: COMPARED.map((key) => column.get(key)),
    params: columns.filter((one) => one.kind === "params"),
    metrics: columns.filter((one) => one.kind === "metrics") };
  let left = 0;
  const body = Object.entries(lines).map(([kind, all]) => {
    const used = all.filter((one) => list.some((at) => one.of(at) !== null && one.of(at) !== ""));
    const wanted =
      used.filter((one) => same || new Set(list.map((at) => String(one.of(at)))).size > 1);
    left += used.length - wanted.length;
    return wanted.length ? [el("tr", { class: `kind ${kind}` }, el(
          "th", { colspan: list.length + 1, scope: "colgroup" }, kind === "info" ? "about" : kind)),
      wanted.map((one) => compareRow(one, list))] : [];
  });
  return { nodes: [
    el("div", { class: "controls" },
      flag("Show what is the same, too", "same"),
      list.length === 2 && el("button", { onclick: () => go({ view: "diff", a: "", b: "" }) },
        "Code and files: Diff")),
    hint(note, "Differences are marked ≠, the best value of a metric ★. ",
      "Metrics are compared with the first experiment.", 
      left > 0 && ` ${plural(left, "row")} with equal values not shown.`),
    el("div", { class: "sheet" }, el("table", { class: "side" },
      el("thead", {}, el("tr", {}, el("th", {}),
          list.map((at) => el("th", { scope: "col" }, el("i", { class: "dot",
                  style: `background:${colour(at, list)};display:inline-block;margin-right:.4em` }),
              el("button", { class: "link", onclick: () => openOne(at) },
                E.name[at]))))),
      el("tbody", {}, body))),
  ] };
}

function compareRow(one, list) {
  const top = best(one, list);
  const base = one.of(list[0]);
  const differs = new Set(list.map((at) => String(one.of(at)))).size > 1;
  return el("tr", { class: differs && one.kind !== "info" ? "differs" : "", "data-key": one.key },
    el("th", { scope: "row" }, one.title), list.map((at, place) => {
    const value = one.of(at);
    return el("td", { class: differs && value === top ? "best" : "" },
      one.key === "commit" ? commitLink(at) : shown(value === "" ? null : value, one),
      one.kind === "metrics" && place ? delta(one, value, base) : null);
  }));
}

/** Return how far a value is from another, and whether that is good; null where that is unknown.
 * A share is per cent, of what would be thousands how many times as much, and else not said. */
function delta(one, value, base) {
  if (typeof value !== "number" || typeof base !== "number"
    || value === base || !Number.isFinite(value - base)) return null;
  const change = value - base, sign = change > 0 ? "+" : "";
  const part = change / Math.abs(base), times = value / base;
  const good = one.better ? (one.better === "min") === (change < 0) : null;
  return el("span", { class: `delta ${good === null ? "" : good ? "good" : "bad"}` },
    `${sign}${shown(Number(change.toPrecision(3)))}`,
    Math.abs(part) < 10 ? ` (${sign}${(100 * part).toFixed(1)}%)`
      : times > 0 && times < 1e4 ? ` (×${Math.round(times)})` : "");
}
