/* Markdown, as far as notes need it, as elements: HTML in it stays text, and a link leads to the
 * web or is none. */
"use strict";

const INLINE = new RegExp([
  "`([^`]+)`", "\\*\\*([^*]+)\\*\\*", "\\*([^*\\s][^*]*)\\*", "(?<!\\w)_([^_\\s][^_]*)_(?!\\w)",
  "\\[([^\\]]+)\\]\\((https?:\\/\\/[^\\s)]+)\\)", "(https?:\\/\\/[^\\s<>\"')\\]]+)",
].join("|"), "g");

/** Return a line's text with code, emphasis and links. */
function inline(text) {
  const found = [];
  let at = 0;
  for (const hit of text.matchAll(INLINE)) {
    const [whole, code, strong, star, under, word, to, bare] = hit;
    const link = to ?? bare;
    found.push(text.slice(at, hit.index), code ? el("code", {}, code)
      : strong ? el("strong", {}, inline(strong))
      : star ?? under ? el("em", {}, inline(star ?? under))
        : el("a", { href: link, rel: "noreferrer noopener", target: "_blank" }, word ?? link));
    at = hit.index + whole.length;
  }
  return [...found, text.slice(at)];
}

/** @type {[RegExp, (lines: string[]) => any][]} */
const BLOCKS = [ // how a line begins, and what the lines that follow each other alike become
  [/^#{1,6}\s+/, (lines) => lines.map((line) => el("h3", {}, inline(line)))],
  [/^\s*[-*+]\s+/, (lines) => el("ul", {}, lines.map((line) => el("li", {}, inline(line))))],
  [/^\s*\d+[.)]\s+/, (lines) => el("ol", {}, lines.map((line) => el("li", {}, inline(line))))],
  [/^>\s?/, (lines) => el("blockquote", {}, inline(lines.join("\n")))],
];

/** Return a text as elements: headings, lists, quotes, code between fences, and paragraphs. */
function markdown(text) {
  const found = [];
  for (const [at, part] of text.split(/^```.*$/m).entries()) {
    if (at % 2) {
      found.push(el("pre", { class: "text" }, part.replace(/^\n|\n$/g, "")));
      continue;
    }
    let kind, lines = [];
    const end = () => {
      if (lines.length) found.push(kind ? kind[1](lines) : el("p", {}, inline(lines.join("\n"))));
      lines = [];
    };
    for (const line of part.split("\n")) {
      const next = BLOCKS.find(([start]) => start.test(line));
      if (next !== kind || !line.trim()) end();
      kind = next;
      if (line.trim()) lines.push(next ? line.replace(next[0], "") : line);
    }
    end();
  }
  return el("div", { class: "text markdown" }, found);
}
