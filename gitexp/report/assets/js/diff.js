/* What differs between two experiments. */
"use strict";

const blobAt = (all, at, path) =>
  all.trees[at][path] ?? (E.id[at] ? all.base[path] : null) ?? -1; // a run has its images alone

/** Return hash and size of a file, of what it points to where it is a pointer of DVC's. */
function told(blob) {
  if (!blob) return "–";
  const [, hash] = /\bmd5: *(\w+)/.exec(blob.text ?? "") ?? [], [, bytes] = /\bsize: *(\d+)/
    .exec(blob.text ?? "") ?? [];
  return `${(hash ?? blob.hash).slice(0, 10)} ${size(hash ? Number(bytes ?? 0) : blob.size)}`;
}

/** Return what differs in a file; with `facts`, hash and size are what counts of it. */
function fileDiff(all, path, a, b, facts) {
  const name = all.paths[path], [old, now] = [a, b]
    .map((at) => (blobAt(all, at, path) < 0 ? null : all.blobs[blobAt(all, at, path)]));
  const title = (more) => el("summary", {}, el("code", {}, name),
    old ? (now ? "" : " (removed)") : " (added)", more,
    facts && el("span", { class: "soft" }, ` ${told(old)} → ${told(now)}`));
  if ([old, now].some((blob) => blob?.image)) return el("details",
    { open: true, "data-path": name }, title(""), el("div", { class: "body columns" },
      [old, now].map((blob) => (blob?.image ? figure(blob, size(blob.size), name)
        : hint(blob ? size(blob.size) : "not there")))));
  if ([old, now].some((blob) => blob && blob.text === undefined))
    return el("details", { "data-path": name }, title(""), el("p", { class: "note body" },
      `${told(old)} → ${told(now)}; binary, or too large for this page. `,
      `To see it: gitexp diff ${quoted(E.name[a])} ${quoted(E.name[b])}`));
  const differ = name.endsWith(".ipynb") && old && now ? notebookDiff
    : name.endsWith(".csv") && old && now ? csvDiff : textDiff;
  /** @type {{ node: any, added: number, removed: number, word?: string }} */
  const made = differ(old ?? { text: "" }, now ?? { text: "" });
  return el("details", { open: !facts && made.added + made.removed < 400, "data-path": name },
    title([made.added > 0 && el("span", { class: "plus" }, `+${made.added}`),
      made.removed > 0 && el("span", { class: "minus" }, `−${made.removed}`),
      made.word && el("span", { class: "soft" }, ` ${made.word}s`)]),
    el("div", { class: "body" }, made.node));
}

/** Return the two that Diff compares: those named, else the two selected, else the two newest,
 * the older one first. */
function pair() {
  const named = [byName.get(state.a), byName.get(state.b)];
  if (named.every((at) => at !== undefined)) return named;
  const two = state.chosen.size === 2 ? [...state.chosen]
    : rows().sort((a, b) => E.started[b] - E.started[a]).slice(0, 2);
  return state.chosen.size === 2 ? two : two.reverse();
}

async function drawDiff() {
  const [a, b] = pair();
  if (b === undefined) return { nodes: [
    hint("Select two experiments in the table to see what differs between them.")] };
  const [all, env] = await Promise.all([files(), environments()]);
  const changed = all.paths.map((_, path) => path)
    .filter((path) => E.id[a] && E.id[b] && blobAt(all, a, path) !== blobAt(all, b, path));
  const outputs = new Set(all.outputs);
  const kind = (path) => (/(\.dvc|(^|\/)dvc\.lock)$/.test(all.paths[path]) ? "data"
    : outputs.has(all.paths[path]) ? "outputs" : "code");
  const isPicture = (path) =>
    Number([a, b].some((at) => all.blobs[blobAt(all, at, path)]?.image !== undefined));
  const names = el("datalist", { id: "names" },
    everyone.slice(0, 500).map((at) => el("option", { value: E.name[at] })));
  const box = (key, at) => el("input", { value: E.name[at], list: "names",
    "aria-label": key === "a" ? "Before" : "After",
    onchange: ({ target: { value } }) => (byName.has(value)
      ? go({ a: E.name[a], b: E.name[b], [key]: value })
      : toast("There is no experiment of that name here")) });
  const part = (title, wanted) => {
    const list = changed.filter((path) => kind(path) === wanted)
      .sort((x, y) => isPicture(x) - isPicture(y));
    return list.length ? [el("h2", {}, `${title} `, el("span", { class: "soft" }, list.length)),
      ...list.map((path) => fileDiff(all, path, a, b, wanted !== "code"))] : [];
  };
  const command = `gitexp diff ${quoted(E.name[a])} ${quoted(E.name[b])}`;
  const values =
    columns.filter((one) => one.kind !== "info" && String(one.of(a)) !== String(one.of(b)));
  const section = (wanted) => {
    const some = values.filter((one) => one.kind === wanted);
    return some.length > 0 && [el("tr", { class: `kind ${wanted}` },
      el("th", { colspan: 3 }, wanted)), some.map((one) => compareRow(one, [a, b]))];
  };
  return { nodes: [
    el("div", { class: "controls" }, box("a", a), "→", box("b", b), names,
      el("button", { onclick: () => go({ a: E.name[b], b: E.name[a] }) }, "Swap"),
      flag("Side by side", "split"),
      el("button", { onclick: () => copy(command, "the command") }, "Copy command")),
    state.chosen.size !== 2 && !state.a ? hint("The two newest of the experiments that pass the",
      " filters; select exactly two in the table, or name them here.") : "",
    values.length ? el("div", { class: "sheet" }, el("table", { class: "side" },
      el("tbody", {}, ["params", "metrics"].map(section))))
      : hint("All params and metrics are equal."),
    ...part("Code and files", "code"),
    changed.length ? "" : hint(E.id[a] && E.id[b] ? "No file differs."
      : "A run that is not recorded yet has no files to compare."),
    ...part("Outputs", "outputs"),
    ...part("Data (DVC)", "data"),
    ...environmentDiff(env, a, b),
    all.left_out ? hint(`They differ in ${plural(all.left_out, "more file")}, which are not in `,
      "this page.") : "",
  ] };
}

function environmentDiff(env, a, b) {
  const [old, now] = [a, b].map((at) => env.known[env.which[at]]);
  if (!old || !now) return [];
  const names = [...new Set([...Object.keys(old), ...Object.keys(now)])]
    .filter((name) => old[name] !== now[name]).sort();
  return [el("h2", {}, "Environment ", el("span", { class: "soft" }, names.length)),
    names.length ? el("div", { class: "sheet" }, el("table", {},
        el("tbody", {}, names.map((name) => el("tr", {}, el("th", { scope: "row" }, name),
              el("td", {}, old[name] ?? "–"), el("td", {}, "→"), el("td", {}, now[name] ?? "–"))))))
    : hint("The same Python and packages.")];
}
