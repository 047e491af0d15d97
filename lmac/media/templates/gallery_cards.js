const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const STEP_S = 1;
const EXTREMES = 5;
let shown = [];     // clips in their order on the page
let current = null; // the clip that keys refer to

// --- one card a clip; all but its heading is made when it comes near the screen ---

data.clips.forEach((clip, number) => {
  clip.title = element("h2", { id: `clip-${number}`, className: "name" }, clip.ID);
  clip.card = element("article", {
    className: "clip waiting", tabIndex: -1,
    attributes: { "aria-labelledby": `clip-${number}` },
  }, clip.title);
  clip.card.clip = clip;
  clip.sounds = [];
  const add = (sound, name, method) => sound &&
    clip.sounds.push(Object.assign(sound, { group: clip, name, method, part: name }));
  add(clip.input, "input", null);
  for (const [method, made] of Object.entries(clip.methods)) {
    add(made.explanation, "explanation", method);
    add(made.removed, "removed", method);
  }
  clip.selected = clip.sounds[0] || null;
  clip.card.addEventListener("focusin", () => setCurrent(clip));
  clip.card.addEventListener("pointerdown", () => setCurrent(clip));
});

function build(clip) {
  if (clip.built) return;
  clip.built = true;
  clip.card.classList.remove("waiting");
  clip.card.append(verdict(clip));
  if (clip.sounds.length) clip.card.append(transport(clip));
  else {
    clip.card.append(element("p", { className: "soft" },
      "No audio: explanations in this domain cannot be turned into sound."));
  }
  clip.columns = element("div", {
    className: "columns", tabIndex: 0,
    attributes: { role: "group", "aria-label": `Methods for ${clip.ID}` },
  });
  clip.card.append(clip.columns);
  for (const method of data.methods) {
    if (clip.methods[method]) clip.columns.append(column(clip, method));
  }
  showMethods(clip);
  markSorted(clip);
  refresh(clip);
}

function verdict(clip) {
  return element("p", { className: "verdict" },
    element("span", { className: "name" }, "class ", element("strong", {}, clip.label)),
    element("span", { className: "name" }, "decision ", element("strong", {}, clip.decision),
      element("span", { className: clip.correct ? "right" : "wrong" },
        clip.correct ? " ✓ right" : " ✗ wrong")),
    element("span", {}, `p = ${clip.p.toFixed(3)}`),
    element("span", { className: "soft name" }, clip.scenario));
}

function transport(clip) {
  clip.play = element("button", { type: "button", className: "main play" });
  clip.play.addEventListener("click", () => player.toggle(clip.selected));
  clip.seek = element("input", {
    type: "range", className: "seek", min: 0, max: clip.selected.seconds, step: 0.01, value: 0,
    attributes: { "aria-label": "Position" },
  });
  clip.seek.addEventListener("input", () => {
    const to = Number(clip.seek.value);
    if (player.sound !== clip.selected) player.select(clip.selected, false);
    player.seek(to);
  });
  clip.time = element("output", {});
  clip.heard = element("span", { className: "heard soft name" });
  return element("div", {
    className: "transport", attributes: { role: "group", "aria-label": "Player" },
  }, clip.play, clip.seek, clip.time, clip.input ? soundButton(clip.input) : "", clip.heard);
}

function soundButton(sound) {
  const of = sound.method ? ` by ${sound.method}` : "";
  sound.mark = element("span", {});
  sound.levelText = element("span", { className: "level" });
  sound.button = element("button", {
    type: "button", attributes: { "aria-label": `Play ${sound.name}${of}` },
  }, sound.mark, sound.name, sound.levelText);
  sound.button.addEventListener("click", () => player.toggle(sound));
  return sound.button;
}

function column(clip, method) {
  const made = clip.methods[method];
  const section = element("section", { className: "method" },
    element("h3", { className: "name" }, method));
  section.method = method;
  const sounds = [made.explanation, made.removed].filter(Boolean);
  section.append(element("div", { className: "buttons" }, ...sounds.map(soundButton)));
  if (made.picture) {
    const image = element("img", {
      loading: "lazy", decoding: "async", width: made.picture.width, height: made.picture.height,
      alt: `Spectrograms of input, mask and explanation by ${method} for ${clip.ID}; decision ` +
        `${clip.decision}, p_in ${made.p_in.toFixed(3)}, p_out ${made.p_out.toFixed(3)}`,
    });
    image.src = made.picture.url;
    section.append(element("a", { href: made.picture.url, target: "_blank", title: "Enlarge" },
      image));
  } else section.append(element("p", { className: "soft" }, "No picture of this method."));
  const body = element("tbody", {});
  const row = (name, text) => {
    const line = element("tr", {}, element("th", { scope: "row" }, name),
      element("td", {}, text));
    line.metric = name;
    body.append(line);
  };
  row("p_in", made.p_in.toFixed(3));
  row("p_out", made.p_out.toFixed(3));
  for (const metric of data.metrics) {
    const value = made.values[metric.name];
    const arrow = { up: " ↑", down: " ↓" }[metric.better] || "";
    row(metric.name, value === null ? "undefined" : value.toFixed(metric.decimals));
    body.lastChild.firstChild.append(arrow);
  }
  section.append(element("table", { className: "numbers" },
    element("caption", { className: "hidden-text" }, `Numbers of ${method}`), body));
  return section;
}
