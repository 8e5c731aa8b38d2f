/* What `gitexp ui` adds: the page follows what goes on, and can write labels and notes. */
"use strict";

const token = new URLSearchParams(location.search).get("token") ?? "";
const served = (path) => `/${path}?token=${encodeURIComponent(token)}`;

/** Ask the server for data. */
async function asked(path) {
  const answer = await fetch(served(path));
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

/** Send a change to the server; the page shows it when the server tells of it. */
async function sendEdit(what, said = "Saved in git") {
  const answer = await fetch(served("edit"), { method: "POST",
    headers: { "Content-Type": "application/json" }, body: JSON.stringify(what) });
  if (!answer.ok) { toast(await answer.text()); return false; }
  const { undo } = await answer.json();
  toast(said, undo > 0 && (() => sendEdit({ undo }, "Undone")));
  return true;
}

/** Controls that label, note, judge, hide and delete experiments. */
function editor(list) {
  const commits = list.map((at) => E.id[at]);
  const send = (what, said) => sendEdit({ commits, ...what }, said);
  const box = (title, ...sends) => {
    const field = el("input", { placeholder: title, "aria-label": title });
    const act = async (what) => {
      if (!what || !(await send(what))) return;
      field.value = "";
      field.blur();
    };
    return el("form", { class: "plain-form", onsubmit: (event) => {
      event.preventDefault();
      act(sends[0][1](field.value.trim()));
    } }, field, sends.map(([word, what], at) => el("button", { type: at ? "button" : "submit",
      onclick: at && (() => act(what(field.value.trim()))) }, word)));
  };
  const common = labels().filter((label) => list.every((at) => E.labels[at].includes(label)));
  const hidden = common.includes("hidden"), names = plural(list.length, "experiment");
  const verdict = (word) => (because) => ({ verdict: word, because });
  return el("div", { class: "controls editor" },
    common.map((label) => el("span", { class: "chip" }, el("span", {}, label),
      el("button", { class: "plain", "aria-label": `Remove ${visible(label)}`,
        onclick: () => send({ label: `-${label}` }) }, "×"))),
    box("Label", ["Add label", (text) => text && { label: `+${text}` }]),
    list.length === 1 && box("Second name", ["Rename", (text) => ({ name: text })]),
    box("Note, in Markdown", ["Add note", (text) => text && { note: text }]),
    box("Reason", ["Keep", verdict("kept")], ["Discard", verdict("discarded")]),
    el("button", { onclick: () => send({ label: hidden ? "-hidden" : "+hidden" }) },
      hidden ? "Show again" : "Hide"),
    el("button", { class: "bad", onclick: async () => {
      if (!(await send({ delete: true }, `Deleted ${names}`))) return;
      $("#dialog").close();
      go({ view: "table", chosen: new Set() });
    } }, "Delete"));
}

function editDialog() {
  const list = [...state.chosen].filter((at) => E.id[at]);
  openDialog(el("h2", {}, plural(list.length, "experiment")), editor(list),
    el("button", { onclick: () => $("#dialog").close() }, "Done"));
}

/** Take what is new: a whole table, or points of runs that go on. */
async function renewed(number) {
  if (number === data.live) return;
  const next = await asked("table");
  adopt(next);
  stats = sparks = null;
  readAddress();
  $(".made").replaceChildren(`${plural(count, "experiment")} · live · gitexp ${data.version}`);
  if (!isTyping()) await draw();
}
const isTyping = () => document.activeElement?.closest?.(
  "#view form input, #view .controls :is(select, input:not([type=checkbox])), dialog");

/** Add points that runs logged to their curves and rows. */
async function grown({ state: number, runs }) {
  if (number !== data.live) return; // the table that is here has them, or one that does follows
  const all = await curves();
  for (const [name, metrics] of Object.entries(runs)) {
    const at = byName.get(name);
    if (at === undefined) continue;
    for (const [metric, rows] of Object.entries(metrics)) {
      if (!data.metrics[metric]) continue; // a table that has it follows
      rows.forEach((row) => addPoint(all.experiments[at], metric, row));
      const last = rows.at(-1)[2];
      column.get(`m.${metric}`).values[at] = data.metrics[metric][at] = last;
      const known = all.stats[at][metric];
      if (known && last !== null) [known[0], known[1]] =
        [Math.min(known[0], last), Math.max(known[1], last)];
    }
  }
  if (["table", "curves", "one"].includes(state.view) && !isTyping()) await draw();
}

function addPoint(own, metric, [step, time, value]) {
  const found = (own[metric] ??= [[], [], [], 0, 0, null]);
  if (found.length < 6)
    found.push(found[0].reduce((a, b) => a + b, 0), found[1].reduce((a, b) => a + b, 0), null);
  if (found[5] === null) found[5] = time - found[4];
  found[0].push(step - found[3]);
  found[1].push(time - found[5] - found[4]);
  found[2].push(value);
  [found[3], found[4]] = [step, time - found[5]];
}

let going = Promise.resolve(); // one after another, since each waits for data
function follow() {
  const source = new EventSource(served("events"));
  const then = (act) => (event) =>
    (going = going.then(() => act(JSON.parse(event.data))).catch((error) => toast(error.message)));
  source.addEventListener("table", then(renewed));
  source.addEventListener("points", then(grown));
  source.onerror = () => $("#count").replaceChildren("the server does not answer; trying again");
}
