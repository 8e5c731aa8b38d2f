/* The columns of the table: their order, which stay in sight, their widths, and their heads. */
"use strict";

const shownKeys = () => [...(state.columns ?? defaultColumns())];
/** Return how many of the first columns stay where they are when the table moves sideways. */
const pinned = () => (isNarrow() ? 1 : Math.max(1, Math.min(Number(state.pin) || 1, 8)));

/** Give a cell what its column has: a width of its own, a place that it keeps. */
function placed(made, place) {
  const wide = state.widths.get(grid.columns[place].key);
  if (wide) made.style.width = made.style.minWidth = made.style.maxWidth = `${wide}px`;
  if (place < pinned()) {
    made.classList.add("pin");
    made.style.left = `var(--pin${place})`;
  }
  return made;
}

/** Say where the columns that stay begin, once it is known how wide they are. */
function placePins() {
  const heads = [...grid.head.querySelectorAll("th[data-key]")].slice(0, pinned());
  let left = grid.head.querySelector(".pick").offsetWidth;
  heads.forEach((cell, place) => {
    grid.head.parentNode.style.setProperty(`--pin${place}`, `${left}px`);
    left += cell.offsetWidth;
  });
}

function drawHead() {
  const kinds = [];
  for (const { kind } of grid.columns.slice(pinned())) {
    if (kinds.at(-1)?.kind !== kind) kinds.push({ kind, span: 0 });
    kinds.at(-1).span++;
  }
  const all = el("input", { type: "checkbox", "aria-label": "Select all that are shown",
    onchange: (event) => go({ chosen: new Set(event.target.checked ? grid.list : []) }) });
  const filter = (one) => el("th", { class: one.kind }, el("input", { "data-key": one.key,
    "aria-label": `Filter ${visible(one.title)}`, spellcheck: "false",
    placeholder: one.number && one.key !== "started" ? "< 0.1" : "filter",
    oninput: (event) => setFilter(one.key, event.target.value) }));
  const pick = (...inner) => el("th", { class: "pick" }, ...inner);
  grid.head.replaceChildren(
    el("tr", { class: "kinds" }, pick(), placed(el("th", { colspan: pinned() }), 0),
      kinds.map(({ kind, span }) =>
        el("th", { class: kind, colspan: span }, kind === "info" ? "" : kind))),
    el("tr", {}, pick(all), grid.columns.map((one, place) => placed(headOf(one), place))),
    el("tr", { class: "filters" }, pick(),
      grid.columns.map((one, place) => placed(filter(one), place))));
}

function headOf(one) {
  const cell = el("th", {
    class: `${one.kind} ${one.number ? "number" : ""}`, scope: "col", "data-key": one.key,
    draggable: "true", title: one.key,
    ondragstart: (event) => event.dataTransfer.setData("text/plain", one.key),
    ondragover: (event) => { event.preventDefault(); event.currentTarget.classList.add("over"); },
    ondragleave: (event) => event.currentTarget.classList.remove("over"),
    ondrop: (event) => {
      event.preventDefault();
      moveColumn(event.dataTransfer.getData("text/plain"), one.key);
    },
  }, el("button", { onclick: () => sortBy(one) }, one.title,
    one.kind === "metrics" && state.agg && el("small", {}, ` ${state.agg}`)),
  el("button", { class: "more", "aria-label": `Column ${visible(one.title)}`,
    "aria-haspopup": "dialog", onclick: () => columnDialog(one) }, "⋮"),
  el("span", { class: "grip", "aria-hidden": "true", ondblclick: () => widen(one, 0) }));
  cell.querySelector(".grip").addEventListener("pointerdown", (down) => {
    down.preventDefault();
    const grip = down.target, from = down.clientX - cell.offsetWidth;
    const wide = (event) => Math.round(Math.max(40, event.clientX - from));
    cell.draggable = false;
    grip.setPointerCapture(down.pointerId);
    grip.onpointermove = (event) =>
      (cell.style.width = cell.style.minWidth = cell.style.maxWidth = `${wide(event)}px`);
    grip.onpointerup = (event) => {
      cell.draggable = true;
      grip.onpointermove = grip.onpointerup = null;
      if (Math.abs(event.clientX - down.clientX) > 2) widen(one, wide(event));
    };
  });
  return cell;
}

function sortBy(one) {
  const up = one.better === "max" || one.key === "started" ? `-${one.key}` : one.key;
  const down = up.startsWith("-") ? one.key : `-${one.key}`;
  go({ sort: state.sort === up ? down : state.sort === down ? "" : up });
}

/** Give a column a width in pixels, or with 0 the one that its values need. */
function widen(one, wide) {
  wide ? state.widths.set(one.key, wide) : state.widths.delete(one.key);
  go();
}

function moveColumn(key, before) {
  const keys = shownKeys().filter((each) => each !== key);
  keys.splice(keys.indexOf(before), 0, key);
  if (column.has(key)) go({ columns: keys });
}

/** Move a shown column to another place; those before `pin` stay in sight. */
function moveTo(key, place, pin = pinned()) {
  const keys = shownKeys().filter((each) => each !== key);
  keys.splice(Math.max(0, place), 0, key);
  go({ columns: keys, pin: pin > 1 ? String(pin) : "" });
}

/** What can be done with one column, for those who do not drag. */
function columnDialog(one) {
  const keys = shownKeys(), place = keys.indexOf(one.key), pins = pinned();
  const act = (title, does) => el("button", { onclick: () => { $("#dialog").close(); does(); } },
    title);
  const wide = grid.head.querySelector(`th[data-key="${CSS.escape(one.key)}"]`).offsetWidth;
  openDialog(el("h2", {}, one.title), el("div", { class: "controls" },
    act("Sort", () => sortBy(one)), act("← Move", () => moveTo(one.key, place - 1)),
    act("Move →", () => moveTo(one.key, place + 1)),
    place < pins ? pins > 1 && act("Unpin", () => moveTo(one.key, pins - 1, pins - 1))
      : act("Pin", () => moveTo(one.key, pins, pins + 1)),
    act("Hide", () => go({ columns: keys.filter((key) => key !== one.key) }))),
  el("div", { class: "controls" }, el("label", {}, "Width", el("input", { type: "range", min: 40,
    max: 600, step: 10, value: wide, oninput: (event) => widen(one, Number(event.target.value)) })),
  act("As wide as its values", () => widen(one, 0))),
  el("button", { onclick: () => $("#dialog").close() }, "Done"));
}

function columnsDialog() {
  const keys = shownKeys();
  const rest = columns.map((one) => one.key).filter((key) => !keys.includes(key));
  const change = (wanted) => { go({ columns: wanted }); columnsDialog(); };
  const shift = (key, by) => { moveTo(key, keys.indexOf(key) + by); columnsDialog(); };
  const line = (key, on) => {
    const one = column.get(key), kind = one.kind === "info" ? "" : one.kind.slice(0, -1);
    const more = el("span", { class: "soft" }, kind,
      varies().has(key) ? "" : " (the same everywhere)");
    return el("li", { class: one.kind, "data-key": key },
      toggle(el("span", {}, one.title, " ", more), on,
        (wanted) => change(wanted ? [...keys, key] : keys.filter((each) => each !== key))),
      on && el("button", { "aria-label": `Move ${visible(key)} left`,
        onclick: () => shift(key, -1) }, "↑"),
      on && el("button", { "aria-label": `Move ${visible(key)} right`,
        onclick: () => shift(key, 1) }, "↓"));
  };
  const top = $("#dialog").scrollTop;
  openDialog(el("h2", {}, "Columns"),
    hint("A header can also be dragged to another place; its ⋮ pins, hides and widens it."),
    el("ul", {}, keys.map((key) => line(key, true)), rest.map((key) => line(key, false))),
    el("button", { onclick: () => {
      state.widths.clear();
      go({ columns: null, pin: "" });
      $("#dialog").close();
    } }, "As at first"), " ", el("button", { onclick: () => $("#dialog").close() }, "Done"));
  $("#dialog").scrollTop = top;
}

function openDialog(...nodes) {
  $("#dialog").replaceChildren(...nodes);
  if (!$("#dialog").open) $("#dialog").showModal();
}
