/* What the table has beside its rows: groups, small curves, controls, and copies. */
"use strict";

const groupKeys = () => listed(state.by).filter((key) => column.has(key));

/** Return the rows of a grouped table: each group, and below one that is open its experiments. */
function grouped(list) {
  const keys = groupKeys(), groups = new Map(), open = new Set(listed(state.open));
  for (const at of list) {
    const words = keys.map((key) => shown(column.get(key).of(at), column.get(key)));
    const id = words.join(" · ") || " "; // an empty one could not be named in the address
    if (!groups.has(id)) groups.set(id, { id,
        words: keys.map((key, place) => `${column.get(key).title}=${words[place]}`), list: [] });
    groups.get(id).list.push(at);
  }
  return inOrder([...groups.values()])
    .flatMap((one) => ((one.open = open.has(one.id)) ? [one, ...one.list] : [one]));
}

/** Sort groups by the mean of what the table is sorted by, as the experiments are. */
function inOrder(groups) {
  const one = column.get(state.sort.replace(/^-/, ""));
  if (!one?.number) return groups;
  const way = state.sort.startsWith("-") ? -1 : 1;
  return groups.map((group) => [spread(one, group.list)?.mean ?? Infinity * way, group])
    .sort(([a], [b]) => way * (a - b || 0)).map(([, group]) => group);
}

/** Return how many, mean and standard deviation of a column's numbers. */
function spread(one, list) {
  const values = list.map(one.of).filter(Number.isFinite);
  if (!values.length) return null;
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const square = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { n: values.length, mean, std: values.length > 1
    ? Math.sqrt(square / (values.length - 1)) : null };
}

const meanText = ({ mean, std }) =>
  shown(mean) + (std === null ? "" : ` ± ${shown(Number(std.toPrecision(2)))}`);

function fold(group) {
  const open = new Set(listed(state.open));
  open.has(group.id) ? open.delete(group.id) : open.add(group.id);
  go({ open: asList(open) });
}

function groupRow(group, place) {
  const title = `${group.words.join(", ")} (${group.list.length})`;
  const text = (one) => {
    if (one.key === "name")
      return el("button", { class: "link", tabindex: -1, "aria-expanded": String(group.open),
        title: visible(title), onclick: () => fold(group) }, `${group.open ? "▾" : "▸"} ${title}`);
    const found = one.kind === "metrics" && spread(one, group.list);
    if (found) return meanText(found) + (found.n < group.list.length ? ` (n=${found.n})` : "");
    const known = distinct(one, group.list).filter((value) => value !== "");
    return known.length === 1 ? shown(known[0], one)
      : el("span", { class: "missing" }, known.length ? `${known.length} values` : "–");
  };
  return el(
    "tr", { class: "group", "data-row": place, "data-group": group.id, tabindex: place === focusRow
      ? 0 : -1, "aria-rowindex": place + 1, onfocus: () => (focusRow = place) },
    el("td", { class: "pick" }),
      grid.columns.map((one, number) =>
      placed(el("td", { class: one.number ? "number" : "" }, text(one)), number)));
}

const SVG = "http://www.w3.org/2000/svg";
const drawnSparks = new WeakMap(); // [points, curve] of a series: rows are drawn again and again

/** Return a small curve of a series, or nothing where there is none. */
function spark(series) {
  const values = series?.[2];
  if (!values || isNarrow()) return null;
  const known = drawnSparks.get(series);
  if (known?.[0] === values.length) return known[1];
  const kept = values.filter((value) => value !== null);
  if (kept.length < 2) return null;
  const every = Math.max(1, kept.length / 24), points = [];
  for (let at = 0; at < kept.length - 1; at += every) points.push(kept[Math.floor(at)]);
  points.push(kept.at(-1));
  const low = Math.min(...points), tall = Math.max(...points) - low || 1;
  const made = document.createElementNS(SVG, "svg"), line = document.createElementNS(SVG, "path");
  made.setAttribute("class", "spark");
  made.setAttribute("viewBox", "0 0 48 16");
  made.setAttribute("aria-hidden", "true");
  const x = (at) => (1 + (46 * at) / (points.length - 1)).toFixed(1);
  const y = (value) => (15 - (14 * (value - low)) / tall).toFixed(1);
  line.setAttribute("d", `M${points.map((value, at) => `${x(at)},${y(value)}`).join("L")}`);
  made.append(line);
  drawnSparks.set(series, [values.length, made]);
  return made;
}

/** Say how many columns lie beyond the edge of the screen. */
function drawOffScreen() {
  const edge = $("#view").getBoundingClientRect().right;
  const beyond = grid ? [...grid.head.querySelectorAll("th[data-key]")]
    .filter((cell) => cell.getBoundingClientRect().right > edge + 1).length : 0;
  $("#beyond").replaceChildren(beyond ? `${plural(beyond, "column")} off screen →` : "");
}

/** The controls of the table, in the line of the filters. */
function drawTableTools() {
  const box = $("#table-tools");
  if (state.view !== "table") return box.replaceChildren();
  const few = columns.filter((one) => ["params", "info"].includes(one.kind)
    && !["name", "commit", "started", "duration", "notes", "subject"].includes(one.key)
    && varies().has(one.key));
  const add = (key) => (key === "-" ? go({ by: "", open: "" }) : key
    && go({ by: asList(new Set([...groupKeys(), key])), open: "" }));
  const chosen = [...state.chosen][0];
  const base = state.base ? [["", `Δ to ${state.base}`], ["-", "none"]] : [["", "none"],
    ...(chosen === undefined ? [] : [[E.name[chosen], `${E.name[chosen]} (selected)`]]),
    ...grid?.list.slice(0, 50).filter((at) => at !== chosen).map((at) => [E.name[at], E.name[at]])
    ?? []];
  box.replaceChildren(
    choice("Metrics", "agg", [["", "last"], ...AGGREGATES.map((one) => [one, one])]),
    select("Group by",
      [["", state.by ? groupKeys().map((key) => column.get(key).title).join(", ") : "nothing"],
        ...(state.by ? [["-", "nothing"]] : []),
        ...options(few.filter((one) => !groupKeys().includes(one.key)))], "", add),
    select("Baseline", base, "", (name) => go({ base: name === "-" ? "" : name })),
    toggle("Shade", !state.plain, (on) => go({ plain: on ? "" : "1" })),
    select("", [["", "Copy as"], ["csv", "CSV"], ["md", "Markdown"], ["tex", "LaTeX"]],
      "", (form) => { if (form) copy(tableText(form), "the table"); drawTableTools(); }));
}

const TEX = { "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}" };
const FORMS = {
  csv: { word: (text) => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text),
    line: (words) => words.join(",") },
  md: { word: (text) => text.replace(/[\\|<>[\]*_`]/g, (char) => `\\${char}`).replace(/\s+/g, " "),
    line: (words) => `| ${words.join(" | ")} |` },
  tex: { word: (text) => text.replace(/[\\~^]|[&%$#_{}]/g, (char) => TEX[char] ?? `\\${char}`)
    .replace(/\s+/g, " "), line: (words) => `${words.join(" & ")} \\\\` },
};

/** Return the table that is shown, its groups folded, as text. */
function tableText(form) {
  const { word, line } = FORMS[form], exact = form === "csv";
  const value = (one, at) => (one.of(at) === null
    ? "" : exact && one.kind !== "info" ? String(one.of(at)) : shown(one.of(at), one));
  const mean = (one, list) => {
    const found = one.kind === "metrics" && spread(one, list), known = distinct(one, list);
    return found ? meanText(found) : known.length === 1 ? shown(known[0], one) : "";
  };
  const head = line(grid.columns.map((one) => word(one.title)));
  const body = state.by ? grid.rows.filter((each) => typeof each !== "number")
    .map((group) => line(grid.columns.map((one) => word(one.key === "name"
          ? `${group.words.join(", ")} (n=${group.list.length})` : mean(one, group.list)))))
    : grid.list.map((at) => line(grid.columns.map((one) => word(visible(value(one, at))))));
  if (form === "md") return [head, line(grid.columns.map((one) => (one.number ? "---:" : "---"))),
    ...body].join("\n");
  if (form === "csv") return [head, ...body].join("\n");
  return [`\\begin{tabular}{${grid.columns.map((one) => (one.number ? "r" : "l")).join("")}}`,
    "\\hline", head, "\\hline", ...body, "\\hline", "\\end{tabular}"].join("\n");
}
