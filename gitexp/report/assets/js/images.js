/* Images: those that experiments logged, side by side, at a step that is chosen. */
"use strict";

/** Split a path into what its image shows and the step, which is the last number in its name. */
function imageOf(path) {
  const short = path.replace(/^(\.gitexp\/artifacts\/)?(images\/)?/, "");
  const found = /^(.*?)[-_./]?(\d+)\.\w+$/.exec(short);
  return found ? { name: found[1] || short, step: Number(found[2]) } : { name: short, step: null };
}

/** Return what each image shows, as `{name: {experiment: [{step, blob, path}]}}`, by step. */
function imagesOf(all, list) {
  const found = new Map();
  for (const at of list) {
    all.paths.forEach((path, number) => {
      const blob = all.blobs[blobAt(all, at, number)], { name, step } = imageOf(path);
      if (!blob || !IMAGE.test(path)) return;
      if (!found.has(name)) found.set(name, new Map());
      found.get(name).set(at, [...(found.get(name).get(at) ?? []), { step, blob, path }]);
    });
  }
  for (const each of found.values())
    for (const shots of each.values()) shots.sort((a, b) => a.step - b.step);
  return found;
}
const IMAGE = /\.(png|jpe?g|gif|webp|svg)$/i;

/** Return the images of some experiments, with a slider where they have steps. */
function imageBoxes(all, list) {
  const found = imagesOf(all, list);
  const shots = [...found.values()].flatMap((each) => [...each.values()].flat());
  const steps = [...new Set(shots.map((shot) => shot.step))].filter((step) => step !== null)
    .sort((a, b) => a - b);
  const box = el("div");
  const fill = () => {
    const step = state.step === "" ? Infinity : Number(state.step);
    box.replaceChildren(...[...found].flatMap(([name, each]) => [el("h2", {}, name),
      el("div", { class: "figures" }, [...each].map(([at, own]) => {
        const shot = own.findLast((one) => one.step === null || one.step <= step) ?? own[0];
        const title = shot.step === null ? "" : `step ${shot.step.toLocaleString("en")}`;
        return figure(shot.blob, [list.length > 1 && [el("i", { class: "dot inline",
          style: `background:${colour(at, list)}` }), E.name[at], title && " · "],
        list.length > 1 ? title : title || shot.path], shot.path);
      }))]));
  };
  fill();
  const place = state.step === "" ? steps.length - 1 : nearest(steps, Number(state.step));
  const word = el("output", {}, shown(steps[place]));
  const slid = (event) => {
    state.step = word.textContent = String(steps[event.target.value]);
    fill();
  };
  const slider = steps.length > 1 && el("label", {}, "Step", el("input", { type: "range", min: 0,
    max: steps.length - 1, value: place, "aria-label": "Step",
    oninput: slid, onchange: () => history.replaceState(null, "", address()) }), word);
  return { slider, box, many: found.size };
}

async function drawImages() {
  const { list, note } = subject(12);
  const { slider, box, many } = imageBoxes(await files(), list);
  return { nodes: [slider ? el("div", { class: "controls" }, slider) : "",
    hint(note, many ? "The number in a file's name is its step."
      : "None of these experiments has an image among its artifacts and changed files."), box] };
}

const figure = (blob, caption, alt) => el("figure", {}, blob.image
  ? el("img", { src: blob.image, alt: visible(alt), loading: "lazy" })
  : hint(`${size(blob.size)}; too large for this page`), el("figcaption", {}, caption));
