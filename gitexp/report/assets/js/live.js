/* What `gitexp ui` adds: the page follows what goes on, and can write labels and notes. */
"use strict";

const token = new URLSearchParams(location.search).get("token") ?? "";
const served = (path) => `/${path}?token=${encodeURIComponent(token)}`;

/** Ask the server for data. */
async function asked(path) {
  const answer = await fetch(served(path));
  if (!answer.ok) throw new Error(`the server said ${answer.status}; is gitexp ui still running?`);
  return answer.json();
}

/** Send a change to the server; the page shows it when the server tells of it. */
async function sendEdit(at, what) {
  const answer = await fetch(served("edit"),
    { method: "POST", headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ commit: E.id[at], ...what }) });
  toast(answer.ok ? "Saved in git" : await answer.text());
  return answer.ok;
}

/** Controls that label, note and hide an experiment. */
function editor(at) {
  const box = (title, send) => el("form", { class: "plain-form",
      onsubmit: async (event) => { event.preventDefault(); const field = event.target.elements[0];
        if (field.value.trim() && (await sendEdit(at, send(field.value.trim())))) field.value = "";
        } }, el("input", { placeholder: title, "aria-label": title }), el("button", {}, title));
  const isHidden = E.labels[at].includes("hidden");
  return el("div", { class: "controls editor" },
    E.labels[at].map((label) => el("span", { class: "chip" }, el("span", {}, label),
        el("button", { class: "plain", "aria-label": `Remove ${visible(label)}`,
            onclick: () => sendEdit(at, { label: `-${label}` }) }, "×"))),
    box("Add label", (text) => ({ label: `+${text}` })),
      box("Add note", (text) => ({ note: text })),
      el("button", { onclick: () => sendEdit(at, { label: isHidden ? "-hidden" : "+hidden" }) },
      isHidden ? "Show again" : "Hide"));
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
const isTyping = () => document.activeElement?.closest?.("#view form, dialog, #view .controls");

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
