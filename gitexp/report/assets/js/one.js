/* One experiment. */
"use strict";

// trailers that the page says elsewhere
const SAID = ["Status", "Started", "Duration", "Command", "Id", "Group", "Because"];

async function drawOne() {
  const at = byName.get(state.one);
  const [all, env, said] = await Promise.all([files(), environments(), messages()]);
  const charts = await curveCharts([at]);
  const facts = (pairs) => el("dl", { class: "facts" },
    pairs.filter(([, value]) => value !== null && value !== "" && value !== undefined)
    .map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
  const command = (text) => el("div", { class: "command" },
    el("code", {}, text), el("button", { onclick: () => copy(text, "the command") }, "Copy"));
  const name = quoted(E.name[at]);
  const own = !E.id[at] ? [] : all.paths.map((path, number) =>
    ({ path, blob: all.blobs[blobAt(all, at, number)] })).filter((item) => item.blob);
  const sources = own.filter((item) => !IMAGE.test(item.path));
  const images = imageBoxes(all, [at]),
    packages = Object.entries(env.known[env.which[at]] ?? {});
  const values = (kind) => {
    const used = columns.filter((one) => one.kind === kind && one.of(at) !== null);
    return used.length ? el("div", {}, el("h2", {}, kind[0].toUpperCase() + kind.slice(1)),
      el("div", { class: "sheet" }, el("table", { class: `side ${kind}` },
          el("tbody", {}, used.map((one) => el("tr", {}, el("th", { scope: "row" }, one.title),
                el("td", { class: "number" }, shown(one.of(at), { show: (value) =>
                (typeof value === "number" ? shown(value) : String(value)) }))))))) ) : "";
  };
  const neighbours = rows(), place = neighbours.indexOf(at);
  const step = (by, title) => el("button", { disabled: neighbours[place + by] === undefined
      || place < 0, onclick: () => go({ one: E.name[neighbours[place + by]] }) }, title);
  return { nodes: [
    el("div", { class: "controls" },
      el("button", { onclick: () => go({ view: "table" }) }, "← Table"),
      step(-1, "Previous"), step(1, "Next"),
      el("button", { "aria-pressed": String(state.chosen.has(at)), onclick: () => choose(at) },
        state.chosen.has(at) ? "Selected" : "Select")),
    el("h2", {}, E.subject[at] || E.name[at]),
    data.live && E.id[at] ? editor([at]) : "",
    el("div", { class: "columns" },
      el("div", {}, facts([
        ["status", el("span", { class: `status ${E.status[at]}` }, E.status[at])],
        ["also called", E.alias[at]], ["verdict", judgedText(at)], ["because", E.because[at]],
        ["commit", el("span", {}, commitLink(at), " ", el("button", { class: "link",
          title: "Copy the whole hash", onclick: () => copy(E.id[at], "the commit") }, "copy"))],
        ["parent", E.parent[at]?.slice(0, 10)], ["started", moment(E.started[at])],
        ["duration", E.duration[at] === null ? null : duration(E.duration[at])],
        ["author", E.author[at]], ["branch", E.branch[at]], ["group", E.group[at]],
        ["labels", E.labels[at].join(", ")],
        ["command", E.command[at] && el("code", {}, E.command[at])],
        ...Object.entries(said[at].trailers).filter(([key]) => !SAID.includes(key))
          .map(([key, value]) => [key.toLowerCase(), value])])),
      el("div", {}, E.id[at] ? "" : hint(E.status[at] === "dead"
          ? `This run died. To record what it logged: gitexp recover ${E.name[at]}`
          : "This run goes on; it becomes an experiment when it ends."), E.id[at]
        && command(`gitexp checkout ${name}`), E.id[at] && command(`gitexp reproduce ${name}`),
        E.id[at] && command(`git show ${E.id[at].slice(0, 10)}`))),
    said[at].body || E.notes[at].length ? el("div", {}, el("h2", {}, "Notes"),
      said[at].body && markdown(said[at].body), E.notes[at].map(markdown)) : "",
    el("div", { class: "columns" }, values("metrics"), values("params")),
    charts.boxes.length ? el("h2", {}, "Curves") : "", ...sections(charts.boxes),
    ...(images.many ? [el("h2", {}, "Images"),
      images.slider ? el("div", { class: "controls" }, images.slider) : "", images.box] : []),
    ...(sources.length ? [el("h2", {}, "Files that differ among these experiments"),
      ...sources.map(sourceOf)] : []),
    ...(packages.length ? [el("h2", {}, "Environment"), el("details", {},
      el("summary", {}, `${plural(packages.length, "package")}, Python `,
        env.known[env.which[at]].python ?? "unknown"),
      el("div", { class: "body mono" },
        packages.map(([key, version]) => el("div", {}, `${key} ${version}`))))] : []),
  ], after: charts.after };
}

function sourceOf({ path, blob }) {
  const line = (each, number) => el("tr", {}, el("td", { class: "at" }, number + 1),
    el("td", {}, colouredLine(each)));
  return el("details", {},
    el("summary", {}, el("code", {}, path), el("span", { class: "soft" }, ` ${size(blob.size)}`)),
    blob.text === undefined
      ? el("p", { class: "note body" }, "Binary, or too large for this page.")
      : el("div", { class: "body" }, el("table", { class: "diff" },
        el("tbody", {}, linesOf(blob).slice(0, 2000).map(line)))));
}
