/* Keys, and everything together. */
"use strict";

const DRAW = { compare: drawCompare, curves: drawCurves, parallel: drawParallel,
  scatter: drawScatter, bars: drawBars, importance: drawImportance, images: drawImages,
  tree: drawTree, diff: drawDiff, one: drawOne };

const KEYS = [["/", "search"], ["↑ ↓", "go through the rows"],
  ["Space", "select the row"], ["Enter", "open the experiment"],
  ["c", "compare those selected"], ["d", "differences of the two selected"], ["0 – 9", "the views"],
  ["Esc", "back to the table"], ["y", "copy a link to this view"], ["t", "dark or light"]];

function helpDialog() {
  openDialog(el("h2", {}, "Keys"),
    el("dl", {}, KEYS.map(([key, text]) => [el("dt", {}, el("kbd", {}, key)), el("dd", {}, text)])),
    el("h2", {}, "Filters"), el("dl", {},
      [["adam", "contains the text"], ["<0.1  >=3  !=x", "compares"], ["0.1..0.5", "lies between"],
        ["=adam|sgd", "is one of these"], ["!adam", "does not contain it"],
        ["rmse<0.2 -old label:conv", "in the search box: all of these"]]
      .map(([key, text]) => [el("dt", {}, el("code", {}, key)), el("dd", {}, text)])),
    el("button", { onclick: () => $("#dialog").close() }, "Done"));
}

const linkToHere = () => copy(location.href.split("#")[0] + address(), "a link to this view");
function switchTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  draw();
}

const onFocused = (act) => { const one = grid.rows[focusRow];
  typeof one === "number" ? act(one) : fold(one); };

function onKey(event) {
  const typing = event.target.closest?.("input:not([type=checkbox]), select, textarea, dialog");
  if (event.key === "Escape" && typing && !event.target.closest("dialog")) { event.target.blur();
    return; }
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const onRow = event.target.closest?.("tr[data-row]");
  const page = Math.max(1, Math.floor($("#view").clientHeight / (grid?.height || 34)) - 4);
  const tab = event.target.closest?.("#tabs");
  const keys = Object.keys(VIEWS);
  const actions = {
    "/": () => $("#search").focus(), c: () => go({ view: "compare" }),
      d: () => go({ view: "diff", a: "", b: "" }), y: linkToHere, t: switchTheme, "?": helpDialog,
    Escape: () => go({ view: "table" }),
    ...(grid && { ArrowDown: () => moveFocus(onRow ? focusRow + 1 : focusRow),
        ArrowUp: () => moveFocus(focusRow - 1), PageDown: () => moveFocus(focusRow + page),
        PageUp: () => moveFocus(focusRow - page), Home: () => moveFocus(0), End: () =>
        moveFocus(count), j: () => moveFocus(focusRow + 1), k: () => moveFocus(focusRow - 1) }),
    ...(onRow && event.target === onRow && { " ": () => onFocused(choose),
        Enter: () => onFocused(openOne) }),
    ...(tab && { ArrowRight: () => go({ view: keys[(keys.indexOf(state.view) + 1) % keys.length] }),
        ArrowLeft: () =>
        go({ view: keys[(keys.indexOf(state.view) + keys.length - 1) % keys.length] }) }),
    ...Object.fromEntries(keys.map((view, at) => [String((at + 1) % 10), () => go({ view })])),
  };
  if (!Object.hasOwn(actions, event.key)) return;
  event.preventDefault();
  actions[event.key]();
}

addEventListener("hashchange", () => { readAddress(); draw(true); });
addEventListener("popstate", () => { readAddress(); draw(true); });
addEventListener("keydown", onKey);
addEventListener("beforeprint", () => grid && drawRows(true));
addEventListener("afterprint", () => grid && drawRows());
addEventListener("resize", () => grid && (drawRows(), drawOffScreen()));
matchMedia("(max-width: 600px)")
  .addEventListener("change", () => { forget.forEach((one) => one()); draw(); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw());
$("#view").addEventListener("scroll", () => {
  if (!grid) return;
  const { scrollTop, clientHeight } = $("#view"), { height, from, to } = grid;
  const first = Math.max(0, Math.floor(scrollTop / height) - 2);
  const last = Math.min(grid.rows.length, Math.ceil((scrollTop + clientHeight) / height) + 2);
  if (first < from || last > to) drawRows();
  drawOffScreen();
});
$("#search").addEventListener("input", (event) => { focusRow = 0; go({ q: event.target.value }); });
$("#columns").addEventListener("click", columnsDialog);
$("#clear").addEventListener("click", () =>
  go({ q: "", filters: new Map(), labels: new Map(), sort: "", hidden: "" }));
$("#copy-link").addEventListener("click", linkToHere);
$("#theme").addEventListener("click", switchTheme);
$("#help").addEventListener("click", helpDialog);
$("#dialog")
  .addEventListener("click", (event) => event.target === $("#dialog") && $("#dialog").close());
adopt(JSON.parse(document.getElementById("data").textContent));
$("#dialog").addEventListener("close", () => data.live && draw());
readAddress();
firstSort = state.sort.replace(/^-/, "");
draw(true);
if (data.live) follow();
