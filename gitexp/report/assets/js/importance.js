/* Importance of params. */
"use strict";

function drawImportance() {
  const known = Object.keys(data.importance).filter((name) => data.importance[name].length);
  if (!known.length) return { nodes: [hint(count > 2000
    ? "Importance is worked out for up to 2,000 experiments; narrow this report with --where."
    : "For this, at least three experiments need a metric and params that vary.")] };
  const metric = known.includes(state.metric) ? state.metric : known[0];
  const list = data.importance[metric];
  const forest = list.some((item) => item[2] !== null);
  const bar = (value) => el("div", { class: "bar" },
    el("i", { class: value < 0 ? "minus" : "", style: `left:0;width:${Math.abs(value) * 100}%` }));
  const part = (title, text, at) => [el("h2", {}, title), hint(text),
    el("div", { class: "share" }, [...list].sort((a, b) => Math.abs(b[at]) - Math.abs(a[at]))
      .map((item) => [el("span", { class: "name" }, item[0]),
          bar(item[at]), el("span", { class: "number" }, item[at].toFixed(2))]))];
  return { nodes: [
    el("div", { class: "controls" },
      choice("Metric", "metric", known.map((name) => [name, name]), metric)),
    hint(`From all ${plural(count, "experiment")} of this report, whatever the filters say. `,
      "A hint, not a proof: it only knows the values that were tried."),
    ...(forest ? part("Share in a random forest", ["How much of the metric's variation a forest ",
      "of decision trees explains by each param (they add up to 1)."], 2)
      : [hint("With scikit-learn installed and eight experiments or more, ",
        "gitexp report --forest adds the shares of a random forest.")]),
    ...part("Correlation", ["Spearman's rank correlation, from −1 to 1 (orange: the metric falls ",
      "as the param grows). For words, the correlation ratio, from 0 to 1."], 1),
  ] };
}
