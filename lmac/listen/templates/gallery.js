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
    attributes: { role: "group", "aria-label": `Input and methods for ${clip.ID}` },
  });
  clip.card.append(clip.columns);
  if (clip.input) {
    clip.columns.append(element("section", { className: "method input" },
      element("h3", {}, "Input"), soundButtons([clip.input])));
  }
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
  }, clip.play, clip.seek, clip.time, clip.heard);
}

function soundButtons(sounds) {
  const buttons = element("div", { className: "buttons" });
  const level = element("small", {});
  for (const sound of sounds) {
    const of = sound.method ? ` by ${sound.method}` : "";
    sound.button = element("button", {
      type: "button", attributes: { "aria-label": `Play ${sound.name}${of}` },
    }, sound.name);
    sound.button.addEventListener("click", () => player.toggle(sound));
    sound.levelText = element("span", { className: "level" });
    buttons.append(sound.button);
    level.append(sound.levelText, " ");
  }
  return element("div", {}, buttons, level);
}

function column(clip, method) {
  const made = clip.methods[method];
  const section = element("section", { className: "method" },
    element("h3", { className: "name" }, method));
  section.method = method;
  const sounds = [made.explanation, made.removed].filter(Boolean);
  if (sounds.length) section.append(soundButtons(sounds));
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

// --- playing ---

const player = new Player((sound) => refresh(sound.group));

function refresh(clip) {
  if (!clip.built || !clip.sounds.length) return;
  if (player.sound && player.sound.group === clip) clip.selected = player.sound;
  const active = player.sound === clip.selected;
  const playing = active && player.playing;
  const at = active ? player.position(clip.selected) : 0;
  clip.play.textContent = playing ? "❚❚ Pause" : "▶ Play";
  clip.seek.max = clip.selected.seconds;
  clip.seek.value = at;
  clip.seek.setAttribute("aria-valuetext", `${at.toFixed(1)} of ${clip.selected.seconds} s`);
  clip.time.textContent = `${clock(at)} / ${clock(clip.selected.seconds)}`;
  const of = clip.selected.method ? `${clip.selected.method}: ` : "";
  clip.heard.textContent = clip.selected.failed
    ? `Cannot load ${clip.selected.url}: is the results folder still beside this page?`
    : `${of}${clip.selected.name}`;
  for (const sound of clip.sounds) {
    const on = sound === clip.selected;
    sound.button.setAttribute("aria-pressed", on);
    sound.button.textContent = `${on && playing ? "❚❚" : "▶"} ${sound.name}`;
    const lowered = player.matched && sound.gain < 0.999
      ? `, ${(20 * Math.log10(sound.gain)).toFixed(1)} dB` : "";
    sound.levelText.textContent =
      sound.level === null ? "silent" : `${sound.level.toFixed(0)} dB${lowered}`;
  }
  for (const section of clip.columns.children) {
    const sounding = (section.method || null) === clip.selected.method;
    section.classList.toggle("sounding", active && sounding);
  }
}

function sayLoudness() {
  const most = $("loudness").dataset.most;
  $("loudness").textContent = (player.matched
    ? "Loudness is matched: the sounds of a clip are lowered to the level of its quietest one " +
      `(by RMS, at most ${most} dB below the input); nothing is amplified, so nothing clips.`
    : "Loudness is as it is: what a method removed is missing from the level, too.") +
    (volumeWorks() ? "" : " This device fixes the volume of pages: here it has no effect.");
}

function setLoudness() {
  player.matched = $("match").checked;
  player.volume = Number($("volume").value) / 100;
  player.setLevels();
  sayLoudness();
  shown.forEach(refresh);
}

// --- which clips, in which order ---

function better(metric) {
  return { p_in: "up", p_out: "down", p: "up" }[metric] ||
    data.metrics.find((m) => m.name === metric).better || "up";
}

function valueOf(clip, metric, method) {
  if (metric === "p") return clip.p;
  const made = Object.entries(clip.methods)
    .filter(([name]) => (method ? name === method : visible().includes(name)))
    .map(([, m]) => (metric.startsWith("p_") ? m[metric] : m.values[metric]))
    .filter((value) => value !== null && value !== undefined);
  return made.length ? made.reduce((a, b) => a + b, 0) / made.length : null;
}

function visible() {
  return [...$("methods").querySelectorAll("input:checked")].map((box) => box.value);
}

function ordered(clips, metric, method) {
  const sign = better(metric) === "down" ? 1 : -1;
  const values = new Map(clips.map((clip) => [clip, valueOf(clip, metric, method)]));
  const known = clips.filter((clip) => values.get(clip) !== null);
  known.sort((a, b) => sign * (values.get(a) - values.get(b)));
  // What is undefined is neither best nor worst.
  return [known, clips.filter((clip) => values.get(clip) === null)];
}

function arrange() {
  let clips = data.clips.filter((clip) =>
    (!$("class").value || clip.label === $("class").value) &&
    (!$("scenario").value || clip.scenario === $("scenario").value) &&
    (!$("outcome").value || clip.correct === ($("outcome").value === "right")));
  const metric = $("metric").value;
  const extent = $("extent").value;
  for (const id of ["of", "direction", "extent"]) $(id).disabled = !metric;
  if (metric) {
    const [known, undefinedOnes] = ordered(clips, metric, $("of").value);
    const worst = known.slice(Math.max(0, known.length - EXTREMES));
    const best = known.slice(0, EXTREMES);
    clips = { best, worst, both: [...new Set([...best, ...worst])] }[extent] || known;
    if ($("direction").value === "worst") clips = [...clips].reverse();
    if (!extent) clips = [...clips, ...undefinedOnes];
  }
  shown = clips;
  $("clips").replaceChildren(...clips.map((clip) => clip.card));
  $("count").textContent = `${clips.length} of ${data.clips.length} clips`;
  if (player.sound && !clips.includes(player.sound.group)) player.pause();
  // Keys start at the top of a new order, unless they hold on to what is heard.
  if (!clips.includes(current) || !player.playing) setCurrent(clips[0] || null);
  clips.forEach((clip) => { showMethods(clip); markSorted(clip); });
  if (!clips.length) $("clips").append(element("p", {}, "No clip is like that."));
}

function showMethods(clip) {
  if (!clip.built) return;
  const names = visible();
  for (const section of clip.columns.children) {
    if (section.method) section.hidden = !names.includes(section.method);
  }
}

function markSorted(clip) {
  if (!clip.built) return;
  for (const line of clip.columns.querySelectorAll("tr")) {
    line.classList.toggle("sorted", line.metric === $("metric").value);
  }
}

function setCurrent(clip) {
  if (current) current.card.classList.remove("current");
  current = clip;
  if (clip) clip.card.classList.add("current");
}

// --- keys ---

function go(step) {
  const next = shown[shown.indexOf(current) + step];
  if (!next) return;
  player.pause();
  build(next);
  next.card.focus({ preventScroll: true });
  next.card.scrollIntoView({ block: "start", behavior: "instant" });
}

function choose(clip, find) {
  const sound = clip.sounds.find(find);
  if (sound) player.select(sound, true);
}

function methodKey(number) {
  if (number === 0) return choose(current, (s) => s.method === null);
  const names = data.methods.filter((m) => current.methods[m] && visible().includes(m));
  const part = current.selected.part === "removed" ? "removed" : "explanation";
  choose(current, (s) => s.method === names[number - 1] && s.part === part);
}

const keys = {
  j: () => go(1),
  k: () => go(-1),
  " ": () => player.toggle(current.selected),
  r: () => {
    const { method, part } = current.selected;
    choose(current, (s) => s.method === method && s.part !== part);
  },
  ArrowLeft: () => nudge(-STEP_S),
  ArrowRight: () => nudge(STEP_S),
  m: () => { $("match").checked = !$("match").checked; setLoudness(); },
  "?": () => $("help").showModal(),
};

function nudge(step) {
  if (player.sound !== current.selected) player.select(current.selected, false);
  const end = current.selected.seconds;
  player.seek(Math.min(end, Math.max(0, player.position(player.sound) + step)));
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
  const on = event.target;
  // What a control does with a key itself stays its own.
  if (on.matches("select, textarea, input[type=text]")) return;
  if (event.key === " " && on.matches("button, input, summary, a")) return;
  if (event.key.startsWith("Arrow") && on.matches("input, .columns")) return;
  const digit = /^[0-9]$/.test(event.key);
  if (!digit && !keys[event.key]) return;
  event.preventDefault();
  if (!current) return;
  build(current);
  if (!["j", "k", "m", "?"].includes(event.key) && !current.sounds.length) return;
  if (digit) methodKey(Number(event.key));
  else keys[event.key]();
});

// --- start ---

function fill(select, first, values) {
  select.append(element("option", { value: "" }, first));
  for (const value of values) select.append(element("option", { value }, value));
}

const different = (key) => [...new Set(data.clips.map((clip) => clip[key]))].sort();
fill($("class"), "all classes", different("label"));
fill($("scenario"), "all scenarios", different("scenario"));
fill($("metric"), "order of evaluation", [...data.metrics.map((m) => m.name), "p", "p_in", "p_out"]);
fill($("of"), "the methods' mean", data.methods);
for (const method of data.methods) {
  const box = element("input", { type: "checkbox", value: method, checked: true });
  $("methods").append(element("label", { className: "name" }, box, method));
}
for (const metric of data.metrics) {
  $("legend").append(element("dt", {}, metric.name), element("dd", {}, metric.about));
}
const near = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) build(entry.target.clip);
}, { rootMargin: "1000px 0px" });
for (const clip of data.clips) near.observe(clip.card);
$("controls").addEventListener("submit", (event) => event.preventDefault());
$("choices").addEventListener("change", arrange);
$("volume").addEventListener("input", setLoudness);
$("match").addEventListener("change", setLoudness);
$("help-button").addEventListener("click", () => $("help").showModal());
if (window.matchMedia("(max-width: 40rem)").matches) $("choices").open = false;
const measure = () => document.documentElement.style.setProperty(
  "--controls", `${$("controls").offsetHeight + 8}px`);
new ResizeObserver(measure).observe($("controls"));
setLoudness();
arrange();
