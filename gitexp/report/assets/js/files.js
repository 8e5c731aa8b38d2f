/* What differs between two files: lines, rows of CSV, cells of notebooks. */
"use strict";

/** Return the shortest edit script between two lists (Myers 1986) as
 * [sign, index in a, index in b], the sign "=", "-" or "+". */
function edits(a, b) {
  let head = 0, tail = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head++;
  while (tail < a.length - head && tail < b.length - head
    && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
  const same = (from, to, shift) =>
    Array.from({ length: to - from }, (_, at) => ["=", from + at, from + at + shift]);
  const middle = myers(a.slice(head, a.length - tail), b.slice(head, b.length - tail))
    .map(([sign, x, y]) => [sign, x + head, y + head]);
  return [...same(0, head, 0), ...middle, ...same(a.length - tail, a.length, b.length - a.length)];
}

// more than that, and all is shown as replaced: the memory grows with the square
const MOST_EDITS = 1500;

function myers(a, b) {
  const n = a.length, m = b.length, most = Math.min(n + m, MOST_EDITS), middle = most + 1;
  const reach = new Int32Array(2 * most + 3), steps = [];
  for (let d = 0; d <= most; d++) {
    steps.push(reach.slice(middle - d - 1, middle + d + 2));
    for (let k = -d; k <= d; k += 2) {
      let x = k === -d || (k !== d && reach[middle + k - 1] < reach[middle + k + 1])
        ? reach[middle + k + 1] : reach[middle + k - 1] + 1;
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

/** Group an edit script: equal stretches, and changed ones with what was removed and added. */
function stretches(script) {
  const found = [];
  for (const [sign, x, y] of script) {
    const kind = sign === "=" ? "same" : "changed";
    if (found.at(-1)?.kind !== kind) found.push({ kind, removed: [], added: [], pairs: [] });
    const last = found.at(-1);
    sign === "=" ? last.pairs.push([x, y])
      : sign === "-" ? last.removed.push(x) : last.added.push(y);
  }
  return found;
}

/** Return what was removed beside what was added, [index, index]; undefined is none. */
const pairsOf = ({ removed, added }) => Array.from(
  { length: Math.max(removed.length, added.length) }, (_, at) => [removed[at], added[at]]);

/** Return how much was added and removed. */
const amounts = (all) => ({ added: all.reduce((sum, part) => sum + part.added.length, 0),
  removed: all.reduce((sum, part) => sum + part.removed.length, 0) });

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
      const end = at + (taken === rest.length
        ? made[line].text.length - at : rest.slice(0, taken).join("").length);
      if (blob.runs[run] && end > at) made[line].runs.push([blob.runs[run], at, end]);
      left -= taken;
      at = end;
      if (left > 0 && at >= made[line].text.length) { line++; at = 0; left--; }
    }
  }
  return made;
}

/** Return a line's text as elements: its syntax colours, and a mark on what differs. */
function colouredLine({ text, runs }, marked) {
  const cuts =
    [...new Set([0, text.length, ...runs.flatMap(([, from, to]) => [from, to]), ...(marked ?? [])])]
    .sort((a, b) => a - b);
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
  while (tail < Math.min(a.length, b.length) - head
    && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
  return head + tail < 3 ? [null, null] : [[head, a.length - tail], [head, b.length - tail]];
}

const AROUND = 3; // equal lines shown beside a change

function textDiff(a, b) {
  const left = linesOf(a), right = linesOf(b);
  const all = stretches(edits(left.map((line) => line.text), right.map((line) => line.text)));
  const draw = state.split ? splitLine : unifiedLine;
  const body = el("tbody");
  const same = (pairs) => pairs.map(([x, y]) => draw(left[x], x, right[y], y, null, null));
  all.forEach((part, at) => {
    if (part.kind === "changed") return body.append(...changed(part, left, right, draw));
    const before = at === 0 ? 0 : AROUND, after = at === all.length - 1 ? 0 : AROUND;
    if (part.pairs.length <= before + after + 2) return body.append(...same(part.pairs).flat());
    const hidden = part.pairs.slice(before, part.pairs.length - after);
    const fold = el("tr", { class: "fold" }, el("td", { colspan: 4 },
        el("button", { class: "plain", onclick: () => fold.replaceWith(...same(hidden).flat()) },
          `⋯ ${plural(hidden.length, "equal line")}`)));
    body.append(...same(part.pairs.slice(0, before)).flat(),
      fold, ...same(after ? part.pairs.slice(-after) : []).flat());
  });
  const halves = state.split
    && el("colgroup", {}, ["at", "", "at", ""].map((kind) => el("col", { class: kind })));
  return { ...amounts(all),
    node: el("table", { class: `diff ${state.split ? "split" : ""}` }, halves, body) };
}

function changed(part, left, right, draw) {
  const lines = pairsOf(part).map(([x, y]) => {
    const both = x !== undefined && y !== undefined;
    const [markX, markY] = both ? marks(left[x].text, right[y].text) : [null, null];
    return draw(left[x], x, right[y], y, markX, markY, true);
  });
  return state.split ? lines.flat() : [...lines.map((two) => two[0]), ...lines.map((two) => two[1])]
    .filter(Boolean);
}

function unifiedLine(a, x, b, y, markA, markB, differs) {
  const line = (sign, kind, from, to, content) =>
    el("tr", { class: kind }, el("td", { class: "at" }, from),
    el("td", { class: "at" }, to), el("td", { class: "sign" }, sign), el("td", {}, content));
  if (!differs) return [line(" ", "", x + 1, y + 1, colouredLine(a))];
  return [a && line("−", "del", x + 1, "", colouredLine(a, markA)),
    b && line("+", "add", "", y + 1, colouredLine(b, markB))];
}

function splitLine(a, x, b, y, markA, markB, differs) {
  const half = (line, at, mark, kind) => [el("td", { class: "at" }, line ? at + 1 : ""),
    el("td", { class: differs && line ? kind : "" }, line ? colouredLine(line, mark) : "")];
  return [el("tr", {}, half(a, x, markA, "del"), half(b, y, markB, "add"))];
}

function parseCsv(text) {
  const found = [[]];
  for (const [, quotes, plain, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^,\n"]*))(,|\n|$)/g)) {
    found.at(-1).push(quotes !== undefined ? quotes.replaceAll('""', '"') : plain ?? "");
    if (end === "\n") found.push([]);
    if (end === "") break;
  }
  return found.filter((line) => line.length > 1 || line[0]);
}

function csvDiff(a, b) {
  const left = parseCsv(a.text), right = parseCsv(b.text);
  const all = stretches(
    edits(left.map((line) => line.join("\u0001")), right.map((line) => line.join("\u0001"))));
  const pairs = all.flatMap(pairsOf);
  const body = pairs.slice(0, 500).map(([x, y]) => {
    const old = left[x], now = right[y], wide = Math.max(old?.length ?? 0, now?.length ?? 0);
    const cells = Array.from({ length: wide }, (_, place) => {
      if (old && now && old[place] === now[place]) return el("td", {}, now[place]);
      return el("td", { class: old ? (now ? "" : "del") : "add" },
        old && now ? [el("span", { class: "del" }, old[place] ?? ""),
          " → ", el("span", { class: "add" }, now[place] ?? "")] : (now ?? old)[place]);
    });
    return el("tr", {}, el("td", { class: "soft" }, old && now ? "≠" : now ? "+" : "−"), cells);
  });
  const head = right[0] ?? left[0] ?? [];
  const table = el("table", { class: "cells" },
    el("thead", {}, el("tr", {}, el("th"), head.map((name) => el("th", {}, name)))),
    el("tbody", {}, body));
  const more = pairs.length > body.length && hint("The first 500 rows that differ.");
  return { ...amounts(all), node: el("div", {}, table, more) };
}

const joined = (text) => (Array.isArray(text) ? text.join("") : text ?? "");
function notebookCells(text) {
  const cells = JSON.parse(text).cells;
  return cells.map((one) => ({ kind: String(one.cell_type),
        source: joined(one.source), outputs: (Array.isArray(one.outputs) ? one.outputs : [])
        .map((out) => ({ text: joined(out.text ?? out.data?.["text/plain"] ?? out.traceback)
              .replace(/\x1b\[[\d;]*m/g, ""),
              image: ["image/png", "image/jpeg"].filter((type) => out.data?.[type]).map((type) =>
              `data:${type};base64,${joined(out.data[type]).replace(/\s/g, "")}`)[0] })) }));
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
  const all = stretches(edits(left.map(key), right.map(key)));
  for (const part of all) {
    if (part.kind === "same") nodes.push(hint(`⋯ ${plural(part.pairs.length, "equal cell")}`));
    for (const [x, y] of pairsOf(part)) {
      const old = left[x], now = right[y];
      const source = textDiff({ text: old?.source ?? "" }, { text: now?.source ?? "" });
      const what = !now ? "removed" : !old ? "added"
        : old.source === now.source ? "other outputs" : "changed";
      nodes.push(el("h3", {}, `${(now ?? old).kind} cell ${(y ?? x) + 1}: ${what}`),
        el("div", { class: "sheet" }, source.node), old
          && now && outputs(old) === outputs(now) ? "" : el("div", { class: "columns" }, [old, now]
          .map((one, side) => one?.outputs.length ? el("div", { class: side ? "add" : "del" },
              el("p", { class: "soft" }, side ? "output after" : "output before"),
              one.outputs.map((out) => out.image
                ? el("img", { src: out.image, alt: "output", style: "max-width:100%" })
                : el("pre", { class: "text" }, out.text))) : "")));
    }
  }
  return { ...amounts(all), word: "cell", node: el("div", {}, nodes) };
}
