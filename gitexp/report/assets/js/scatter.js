/* Scatter. */
"use strict";

const measures = () => columns.filter((one) => one.kind !== "info" && distinct(one).length > 1);
const options = (list) => list.map((one) => [one.key, `${one.title}${one.kind === "info" ? "" : ` (${one.kind.slice(0, -1)})`}`]);

/** Whether numbers are positive and so far apart that only a logarithmic axis shows them. */
const isWide = (values) => values.every((value) => value > 0) && Math.max(...values) / Math.min(...values) > 50;

function drawScatter() {
  const all = measures();
  const pick = (key, kind) => column.get(key) ?? all.find((one) => one.kind === kind && one.number) ?? all.find((one) => one.kind === kind) ?? all[0];
  const x = pick(state.x, "params"), y = pick(state.y, "metrics"), shade = column.get(state.color);
  if (!x || !y) return { nodes: [el("p", { class: "note" }, "No param and no metric varies here.")] };
  const { list, note } = subject(5000);
  const usable = list.filter((at) => x.of(at) !== null && y.of(at) !== null);
  const box = el("div", { class: "plot tall", id: "scatter" });
  const scale = (one) => (one.number ? (isWide(distinct(one)) ? "log" : "linear") : "category");
  const trace = (list, marker, more = {}) => ({ type: "scatter", mode: "markers", x: list.map(x.of), y: list.map(y.of), text: list.map((at) => plain(E.name[at])), customdata: list, hovertemplate: "%{text}<br>%{x}, %{y:.5g}<extra></extra>", ...more, marker: { size: 9, opacity: 0.8, line: { width: 0.5, color: css("--paper") }, ...marker } });
  const traces = !shade ? [trace(usable, { color: state.chosen.size ? usable.map((at) => colour(at)) : COLOURS[0] })]
    : shade.number ? [trace(usable, { color: usable.map(shade.of), colorscale: "Viridis", showscale: true, colorbar: { title: { text: plain(shade.title), side: "right" }, thickness: 12 } })]
      : distinct(shade, usable).map((word, at) => trace(usable.filter((each) => shade.of(each) === word), { color: COLOURS[at % COLOURS.length] }, { name: plain(String(word)) }));
  const layout = { showlegend: traces.length > 1, legend: { orientation: "h", y: 1.08 }, xaxis: { title: { text: plain(x.title) }, type: scale(x) }, yaxis: { title: { text: plain(y.title) }, type: scale(y) } };
  return { nodes: [
    el("div", { class: "controls" }, select("x", options(all), x.key, (key) => go({ x: key })), select("y", options(all), y.key, (key) => go({ y: key })),
      select("Colour", [["", "none"], ...options([column.get("status"), column.get("group"), ...all])], state.color, (color) => go({ color }))),
    el("p", { class: "note" }, note, `${plural(usable.length, "point")}. Click one to open the experiment. An axis whose values lie far apart is logarithmic.`),
    el("div", { class: "chart" }, box),
  ], after: async () => {
    await chart(box, traces, layout);
    box.on("plotly_click", (event) => go({ view: "one", one: E.name[event.points[0].customdata] }));
  } };
}
