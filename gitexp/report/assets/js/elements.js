/* Elements, texts, and what is copied. */
"use strict";

const $ = (selector) => document.querySelector(selector);
const HIDDEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** Return text with marks that turn or hide other text written out. */
const visible = (text) => String(text).replace(HIDDEN,
  (char) => `[U+${char.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}]`);

/** Make an element. Attributes that begin with "on" are listeners; children are elements, or text
 * that stays text. */
function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) value && made.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked") made[name] = value;
    else if (value === true || typeof value === "number" || (value && typeof value === "string")
      || value === "") made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : visible(child))));
  return made;
}

/** Read a list from the state, and write one: names between commas, whatever they hold. */
const listed = (text) => (text ? text.split(",").map(decodeURIComponent) : []);
const asList = (names) => [...names].map(encodeURIComponent).join(",");

const hint = (...words) => el("p", { class: "note" }, ...words);

const pad = (value) => String(value).padStart(2, "0");
function moment(ms) {
  const at = new Date(ms);
  const day = [at.getFullYear(), pad(at.getMonth() + 1), pad(at.getDate())].join("-");
  return `${day} ${pad(at.getHours())}:${pad(at.getMinutes())}`;
}
function duration(seconds) {
  if (seconds < 60) return `${seconds.toFixed(1)}s`;
  return seconds < 3600 ? `${Math.floor(seconds / 60)}m${pad(Math.floor(seconds % 60))}s`
    : `${Math.floor(seconds / 3600)}h${pad(Math.floor((seconds % 3600) / 60))}m`;
}
function shown(value, one = {}) {
  if (value === null || value === undefined) return "–";
  if (one.show) return one.show(value);
  if (typeof value !== "number" || Number.isInteger(value)) return String(value);
  return Number.isFinite(value) ? String(Number(value.toPrecision(5)))
    : String(value).replace("Infinity", "inf").replace("NaN", "nan");
}
const size = (bytes) => (bytes < 1000 ? `${bytes} B`
  : bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);
const plural = (many, word) => `${many.toLocaleString("en")} ${word}${many === 1 ? "" : "s"}`;

let toastTimer;
/** Say something for a moment; with `undo`, longer, and with a button that takes it back. */
function toast(text, undo) {
  $("#toast").replaceChildren(visible(text),
    undo ? el("button", { onclick: () => { $("#toast").classList.remove("shown"); undo(); } },
      "Undo") : "");
  $("#toast").classList.add("shown");
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => $("#toast").classList.remove("shown"), undo ? 12_000 : 1800);
}
async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const box = el("textarea", { value: text });
    document.body.append(box);
    box.select();
    document.execCommand("copy");
    box.remove();
  }
  toast(`Copied ${what}`);
}
const quoted = (word) => (/^[\w./@:+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);
const select = (label, options, value, change) =>
  el("label", {}, label,
    el("select", { onchange: (event) => change(event.target.value) }, options.map(([key, title]) =>
        el("option", { value: key, ...(key === value && { selected: true }) }, title))));
/** A choice, and a switch, of what a key of the state is. */
const choice = (label, key, options, value = state[key]) =>
  select(label, options, value, (wanted) => go({ [key]: wanted }));
const flag = (label, key) =>
  toggle(label, state[key] === "1", (on) => go({ [key]: on ? "1" : "" }));
const dotted = (color, word) => el("span", { class: "chip" },
  el("i", { class: "dot", style: `background:${color}` }), el("span", {}, word));
const toggle = (label, value, change) => el("label", {}, el("input",
    { type: "checkbox", checked: value, onchange: (event) => change(event.target.checked) }),
  label);
