const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const STEP_S = 1;
const EXTREMES = 5;
const SHARED = ["input", "target", "contaminant"]; // sounds that all methods have in common
const PARTS = ["explanation", "removed"];
const REFERENCES = new Set(data.references);
let shown = [];     // clips in their order on the page
let current = null; // the clip that keys refer to

const nameOf = (column) => column.method + (column.run ? ` (${column.run})` : "");

// --- one card a clip; all but its heading is made when it comes near the screen ---

data.clips.forEach((clip, number) => {
  clip.key = `${clip.scenario}/${clip.ID}`;
  clip.correct = clip.verdicts.every((v) => v.correct);
  clip.title = element("h2", { id: `clip-${number}`, className: "name" }, clip.ID);
  clip.card = element("article", {
    className: "clip waiting", tabIndex: -1,
    attributes: { "aria-labelledby": `clip-${number}` },
  }, clip.title);
  clip.card.clip = clip;
  clip.sounds = [];
  const add = (sound, name, column) => sound &&
    clip.sounds.push(Object.assign(sound, { group: clip, name, column, part: name }));
  for (const name of SHARED) add(clip[name], name, null);
  for (const column of clip.columns) {
    for (const part of PARTS) add(column[part], part, column);
  }
  clip.selected = clip.sounds[0] || null;
  clip.card.addEventListener("focusin", () => setCurrent(clip));
  clip.card.addEventListener("pointerdown", () => setCurrent(clip));
});

function build(clip) {
  if (clip.built) return;
  clip.built = true;
  clip.card.classList.remove("waiting");
  clip.card.append(element("a", { className: "link", href: `#${permalink(clip)}`,
    attributes: { "aria-label": `Link to ${clip.ID}` } }, "link"));
  clip.card.append(verdict(clip));
  if (clip.sounds.length) clip.card.append(transport(clip));
  else {
    clip.card.append(element("p", { className: "soft" },
      "No audio: explanations in this domain cannot be turned into sound."));
  }
  clip.maps = [];
  clip.strip = element("div", {
    className: "columns", tabIndex: 0,
    attributes: { role: "group", "aria-label": `Methods for ${clip.ID}` },
  });
  clip.card.append(clip.strip);
  if (clip.map) clip.strip.append(inputColumn(clip));
  for (const column of clip.columns) clip.strip.append(methodColumn(clip, column));
  setMask(clip);
  showMethods(clip);
  markSorted(clip);
  refresh(clip);
}

function verdict(clip) {
  return element("p", { className: "verdict" },
    element("span", { className: "name" }, "class ", element("strong", {}, clip.label)),
    ...clip.verdicts.map((v) => element("span", { className: "name" },
      v.run ? `${v.run}: ` : "", "decision ", element("strong", {}, v.decision),
      element("span", { className: v.correct ? "right" : "wrong" },
        v.correct ? " ✓ right" : " ✗ wrong"), ` p = ${v.p.toFixed(3)}`)),
    element("span", { className: "soft name" }, clip.scenario));
}

function transport(clip) {
  clip.play = element("button", { type: "button", className: "main play" });
  clip.play.addEventListener("click", () => player.toggle(clip.selected));
  clip.seek = element("input", {
    type: "range", className: "seek", min: 0, max: clip.selected.seconds, step: 0.01, value: 0,
    attributes: { "aria-label": "Position" },
  });
  clip.seek.addEventListener("input", () => seekTo(clip, null, Number(clip.seek.value)));
  clip.time = element("output", {});
  clip.heard = element("span", { className: "heard soft name" });
  return element("div", {
    className: "transport", attributes: { role: "group", "aria-label": "Player" },
  }, clip.play, clip.seek, clip.time,
  ...(clip.map ? [] : sharedSounds(clip)), clip.heard);
}

const sharedSounds = (clip) => SHARED.map((name) => clip[name]).filter(Boolean).map(soundButton);

// Go to a position, in the sound of `column` (null: in the one that is selected).
function seekTo(clip, column, seconds) {
  let sound = clip.selected;
  if (!sound) return;
  if (column !== null && sound.column !== column) {
    const part = sound.part === "removed" ? "removed" : "explanation";
    sound = clip.sounds.find((s) => s.column === column && (!column || s.part === part)) || sound;
  }
  const playing = player.playing && player.sound.group === clip;
  if (player.sound !== sound) player.select(sound, playing);
  player.seek(Math.min(seconds, sound.seconds));
}

function soundButton(sound) {
  const of = sound.column ? ` by ${nameOf(sound.column)}` : "";
  sound.mark = element("span", {});
  sound.levelText = element("span", { className: "level" });
  sound.button = element("button", {
    type: "button", attributes: { "aria-label": `Play ${sound.name}${of}` },
  }, sound.mark, sound.name, sound.levelText);
  sound.button.addEventListener("click", () => player.toggle(sound));
  return sound.button;
}

function download(url, name, of) {
  return element("a", { href: url, download: "",
    attributes: { "aria-label": `Download ${name} ${of}` } }, name);
}

function spectrogram(clip, column, mask, alt) {
  const map = new Spectrogram({ ...clip.map, mask, alt, marks: 5 },
    (seconds) => seekTo(clip, column, seconds));
  clip.maps.push(map);
  return map.element;
}

// The input, with what is known of it: stays where it is while methods are scrolled through.
function inputColumn(clip) {
  const files = SHARED.filter((name) => clip[name])
    .map((name) => download(clip[name].url, `${name}.wav`, `of ${clip.ID}`));
  return element("section", { className: "method input" },
    element("h3", {}, "Input"),
    element("div", { className: "buttons" }, ...sharedSounds(clip)),
    spectrogram(clip, undefined, null, `Spectrogram of ${clip.ID}`),
    element("p", { className: "files" }, ...files));
}

function methodColumn(clip, column) {
  const name = nameOf(column);
  const section = element("section", {
    className: column.reference ? "method reference" : "method" },
  element("h3", { className: "name" }, column.method,
    column.reference ? element("span", { className: "soft tag" }, " reference") : "",
    column.run ? element("span", { className: "soft tag" }, ` ${column.run}`) : ""));
  section.column = column;
  const sounds = PARTS.map((part) => column[part]).filter(Boolean);
  section.append(element("div", { className: "buttons" }, ...sounds.map(soundButton)));
  const decision = (clip.verdicts.find((v) => v.run === column.run) || clip.verdicts[0]).decision;
  const told = `by ${name} for ${clip.ID}; decision ${decision}, ` +
    `p_in ${column.p_in.toFixed(3)}, p_out ${column.p_out.toFixed(3)}`;
  if (clip.map && column.mask) {
    section.append(spectrogram(clip, column, column.mask, `Spectrogram and mask ${told}`));
  } else if (column.picture) {
    const { url, width, height } = column.picture;
    const image = element("img", { loading: "lazy", decoding: "async", width, height,
      alt: `Spectrograms of input, mask and explanation ${told}` });
    image.src = url;
    section.append(element("a", { href: url, target: "_blank", title: "Enlarge" }, image));
  } else section.append(element("p", { className: "soft" }, "No picture of this method."));
  section.append(numbers(column, name));
  const files = PARTS.filter((part) => column[part])
    .map((part) => download(column[part].url, `${part}.wav`, `by ${name} of ${clip.ID}`));
  if (column.picture) files.push(download(column.picture.url, "figure", `by ${name} of ${clip.ID}`));
  if (column.mask) files.push(download(column.mask, "mask", `by ${name} of ${clip.ID}`));
  section.append(element("p", { className: "files" }, ...files));
  return section;
}

function numbers(column, name) {
  const body = element("tbody", {});
  const row = (metric, text, arrow) => {
    const line = element("tr", {}, element("th", { scope: "row" }, metric, arrow),
      element("td", {}, text));
    line.metric = metric;
    body.append(line);
  };
  row("p_in", column.p_in.toFixed(3), "");
  row("p_out", column.p_out.toFixed(3), "");
  for (const metric of data.metrics) {
    const value = column.values[metric.name];
    row(metric.name, value === null ? "undefined" : value.toFixed(metric.decimals),
      arrowOf(metric));
  }
  return element("table", { className: "numbers" },
    element("caption", { className: "hidden-text" }, `Numbers of ${name}`), body);
}

function arrowOf(metric) {
  return { up: " ↑", down: " ↓" }[metric.better] || "";
}
