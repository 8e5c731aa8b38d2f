/* What is drawn around every view. */
"use strict";

// a view that needs data asks for it, and must not draw over what was asked for meanwhile
let turn = 0;
async function draw(fresh) {
  const mine = ++turn;
  drawFrame();
  const view = $("#view");
  view.className = `view-${state.view}`;
  if (state.view === "table") {
    drawTable(view, fresh);
    return drawTableTools();
  }
  grid = null;
  try {
    const made = await DRAW[state.view]();
    if (mine !== turn) return;
    view.replaceChildren(...made.nodes);
    if (fresh) view.scrollTop = 0;
    await made.after?.();
  } catch (error) {
    if (mine === turn)
      view.replaceChildren(hint(typeof DecompressionStream === "undefined"
        ? "This needs a browser of 2023 or newer." : `This could not be shown: ${error.message}`));
  }
}

function drawFrame() {
  const focused = document.activeElement?.closest?.("#tabs") && document.activeElement.id;
  $("#tabs").replaceChildren(
    ...Object.entries(VIEWS).map(([key, title]) =>
      el("button", { role: "tab", id: `tab-${key}`, "aria-selected": String(state.view === key),
          tabindex: state.view === key ? 0 : -1, onclick: () => go({ view: key }) }, title)),
    state.view === "one"
      ? el("button", { role: "tab", "aria-selected": "true", id: "tab-one" }, state.one) : ""
  );
  if (focused) document.getElementById(`tab-${state.view}`)?.focus();
  $("#tabs [aria-selected=true]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  if ($("#search").value !== state.q) $("#search").value = state.q;
  const { q, sort, filters, labels: wanted, hidden } = state;
  $("#clear").hidden = !(q || sort || filters.size || wanted.size || hidden);
  $("#columns").hidden = !["table", "parallel"].includes(state.view);
  drawLabels();
  if (state.view !== "table") { drawTableTools(); $("#beyond").replaceChildren(); }
  $("#chosen").replaceChildren(...(state.chosen.size ? [
    el("span", { class: "soft" }, `${plural(state.chosen.size, "experiment")} selected`),
    ...[...state.chosen].slice(0, 40).map((at) =>
      el("span", { class: "chip" }, el("i", { class: "dot", style: `background:${colour(at)}` }),
        el("span", {}, E.name[at]), el("button", { class: "plain",
            "aria-label": `Deselect ${visible(E.name[at])}`, onclick: () => choose(at) }, "×"))),
    el("button", { class: "chip", onclick: () => go({ chosen: new Set() }) }, "none"),
    data.live ? el("button", { class: "chip", onclick: editDialog }, "Edit …") : "",
  ] : []));
}

const labels = once(() => [...new Set(E.labels.flat())].sort());
function drawLabels() {
  const next = (label) => {
    const now = state.labels.get(label);
    if (now === undefined) state.labels.set(label, true);
    else if (now) state.labels.set(label, false);
    else state.labels.delete(label);
    go();
  };
  const hidden = everyone.filter(isHidden).length;
  $("#labels").replaceChildren(
    ...labels().filter((label) => label !== "hidden").slice(0, 60).map((label) => {
      const now = state.labels.get(label);
      return el("button", { class: `chip ${now === undefined ? "" : now ? "in" : "out"}`,
          title: "Click: only these; again: not these", "aria-pressed": now === undefined
          ? "false" : now ? "true" : "mixed", onclick: () => next(label) },
        el("span", {}, (now === undefined ? "" : now ? "+ " : "− ") + label));
    }),
    hidden ? el("button", { class: "chip", "aria-pressed": String(!!state.hidden),
        onclick: () => go({ hidden: state.hidden ? "" : "1" }) }, `${hidden} hidden`) : ""
  );
}

function choose(at) {
  state.chosen.has(at) ? state.chosen.delete(at) : state.chosen.add(at);
  go();
}
