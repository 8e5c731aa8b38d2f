/* Filter and sort. */
"use strict";

/** Compile the text of a column's filter: `>0.1`, `0.1..0.5`, `=a|b`, `!adam`, or a part. */
function test(one, text) {
  const wanted = text.trim();
  const match = /^(>=|<=|!=|>|<|=|!)(.*)$/.exec(wanted);
  const range = /^(-?[\d.]\S*)\.\.(-?[\d.]\S*)$/.exec(wanted);
  const value = one.key === "started" ? (at) => moment(one.of(at)) : one.of;
  if (range) return (at) => { const found = value(at);
    return found !== null && found >= Number(range[1]) && found <= Number(range[2]); };
  const [sign, rest] = match ? [match[1], match[2].trim()] : ["", wanted.toLowerCase()];
  const bound = rest !== "" && !Number.isNaN(Number(rest)) ? Number(rest) : rest;
  const asText = (at) => shown(value(at), one.key === "started" ? {} : one).toLowerCase();
  const options = rest.split("|").map((word) => word.trim());
  const equal = (at) => options.some((word) => String(value(at)) === word
    || (word !== "" && typeof value(at) === "number" && value(at) === Number(word)));
  switch (sign) {
    case ">": return (at) => value(at) !== null && value(at) > bound;
    case ">=": return (at) => value(at) !== null && value(at) >= bound;
    case "<": return (at) => value(at) !== null && value(at) < bound;
    case "<=": return (at) => value(at) !== null && value(at) <= bound;
    case "=": return equal;
    case "!=": return (at) => !equal(at);
    case "!": return (at) => !asText(at).includes(rest.toLowerCase());
    default: return (at) => asText(at).includes(wanted.toLowerCase());
  }
}

const haystack = once(() => everyone.map((at) =>
  [E.name[at], E.alias[at], E.id[at], E.subject[at], E.status[at],
    E.author[at], E.branch[at], E.group[at], E.command[at],
    E.because[at], E.judged[at].because, ...E.labels[at], ...E.notes[at],
    ...Object.entries(data.params).flatMap(([name, values]) =>
      (values[at] === null ? [] : `${name}=${values[at]}`))].join("\n").toLowerCase()));

/** Compile the search box: words that all must be there, `-word`s that must not, `label:x`, and
 * conditions like `rmse<0.2`. */
function search(text) {
  return (text.match(/"[^"]*"|\S+/g) ?? []).map((word) => {
    const condition = /^([^<>=!:]+)([<>=!:].*)$/.exec(word);
    const one = condition
      && columns.find((each) => each.key === condition[1] || each.title === condition[1]);
    if (one) return test(one, condition[2].replace(/^:/, ""));
    const [not, plain] = word.startsWith("-")
      && word.length > 1 ? [true, word.slice(1)] : [false, word];
    const label = /^label:(.+)$/.exec(plain);
    if (label) return (at) => E.labels[at].includes(label[1]) !== not;
    const part = plain.replaceAll('"', "").toLowerCase();
    return (at) => haystack()[at].includes(part) !== not;
  });
}

const collator = new Intl.Collator(undefined, { numeric: true });

/** Return the experiments that pass all filters, sorted; the filters of the columns in `without`
 * are left out. */
function rows(without = new Set()) {
  const tests = search(state.q);
  for (const [key, text] of state.filters)
    if (!without.has(key)) tests.push(test(column.get(key), text));
  for (const [label, wanted] of state.labels)
    tests.push((at) => E.labels[at].includes(label) === wanted);
  if (!state.hidden && !state.labels.get("hidden"))
    tests.push((at) => !isHidden(at));
  const found = everyone.filter((at) => tests.every((passes) => passes(at)));
  const one = column.get(state.sort.replace(/^-/, ""));
  if (!one) return found;
  const way = state.sort.startsWith("-") ? -1 : 1;
  const rank = (value) =>
    (value === null || Number.isNaN(value) ? 1 : 0); // what is missing comes last, either way
  return found.sort((left, right) => {
    const a = one.of(left), b = one.of(right);
    if (rank(a) || rank(b)) return rank(a) - rank(b);
    if (typeof a === "number" && typeof b === "number") return way * (a - b);
    return way * collator.compare(String(a), String(b));
  });
}

/** Whether an experiment is left out until somebody asks: hidden by its label, or discarded. */
const isHidden = (at) => E.labels[at].includes("hidden") || E.judged[at].verdict === "discarded";

/** Return what a chart shows: those selected, or else the first that pass the filters. */
function subject(most) {
  const all = state.chosen.size ? [...state.chosen] : rows();
  const note = all.length > most ? `The first ${most} of ${plural(all.length, "experiment")}; `
    + "select some in the table to see just those. " : "";
  return { list: all.slice(0, most), note };
}

const COLOURS = ["#4263eb", "#e8590c", "#2b9a4b", "#c2255c",
  "#1098ad", "#9c36b5", "#b08900", "#74573f", "#5c7cfa", "#f76707", "#0b7285", "#862e9c"];
/** Return the colour of an experiment among others; beyond twelve, hues that lie far apart. */
function colour(at, list = [...state.chosen]) {
  const place = Math.max(0, list.indexOf(at));
  if (list.length <= COLOURS.length) return COLOURS[place];
  return `hsl(${Math.round((place * 137.508) % 360)} 68% ${42 + 14 * (place % 3 === 1 ? 1 : 0)}%)`;
}

/** Return the best value of a metric among experiments; undefined where nobody
 * said which way is better, or where there is nothing to choose. */
function best(one, list) {
  const values = one.better ? list.map(one.of)
    .filter((value) => typeof value === "number" && !Number.isNaN(value)) : [];
  return new Set(values).size > 1
    ? values.reduce((a, b) => ((one.better === "min" ? b < a : b > a) ? b : a)) : undefined;
}
