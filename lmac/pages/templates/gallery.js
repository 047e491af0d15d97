// --- playing ---

const player = new Player((sound) => {
  refresh(sound.group);
  keepState();
}, (sound, seconds) => {
  for (const map of sound.group.maps || []) map.moveTo(seconds);
  showPosition(sound.group, seconds);
});

function refresh(clip) {
  if (!clip.built || !clip.sounds.length) return;
  if (player.sound && player.sound.group === clip) clip.selected = player.sound;
  const active = player.sound === clip.selected;
  const playing = active && player.playing;
  clip.play.textContent = playing ? "❚❚ Pause" : "▶ Play";
  clip.seek.max = clip.selected.seconds;
  showPosition(clip, active ? player.position(clip.selected) : 0);
  const of = clip.selected.column ? `${nameOf(clip.selected.column)}: ` : "";
  clip.heard.textContent = clip.selected.failed
    ? `Cannot load ${clip.selected.url}: is the results folder still beside this page?`
    : `${of}${clip.selected.name}`;
  for (const sound of clip.sounds) {
    const on = sound === clip.selected;
    sound.button.setAttribute("aria-pressed", on);
    sound.mark.textContent = on && playing ? "❚❚ " : "▶ ";
    sound.levelText.textContent = sound.level === null ? "silent" : decibels(sound);
  }
  for (const section of clip.strip.children) {
    const sounding = active && (section.column || null) === clip.selected.column;
    if (sounding && !section.classList.contains("sounding")) reveal(clip.strip, section);
    section.classList.toggle("sounding", sounding);
  }
}

function showPosition(clip, at) {
  if (!clip.built || !clip.sounds.length) return;
  clip.seek.value = at;
  clip.seek.setAttribute("aria-valuetext", `${at.toFixed(1)} of ${clip.selected.seconds} s`);
  clip.time.textContent = `${clock(at)} / ${clock(clip.selected.seconds)}`;
}

function decibels(sound) {
  const lowered = player.matched ? 20 * Math.log10(sound.gain) : 0;
  return `${(sound.level + lowered).toFixed(0)} dB`.replace("-", "−");
}

// On a phone the method that is heard may be beside the screen; the page itself stays put.
function reveal(columns, section) {
  if (section.classList.contains("input")) return; // it stays
  const first = columns.firstChild;
  const covered = getComputedStyle(first).position === "sticky" ? first.offsetWidth + 12 : 0;
  const left = section.offsetLeft - columns.offsetLeft - covered;
  const hidden = left < columns.scrollLeft ||
    left + covered + section.offsetWidth > columns.scrollLeft + columns.clientWidth;
  if (hidden) columns.scrollTo({ left, behavior: "instant" });
}

function sayLoudness() {
  const most = $("loudness").dataset.most;
  $("loudness").textContent = (player.matched
    ? "Loudness is matched: the sounds of a clip are lowered to the level of its quietest " +
      `(RMS, at most ${most} dB below the input). Nothing is amplified, so nothing clips.`
    : "Loudness is not matched: you hear the levels (RMS) that the buttons show.") +
    (volumeWorks() ? "" : " This device fixes the volume of pages: here it has no effect.");
}

function setLoudness() {
  player.matched = $("match").checked;
  player.volume = Number($("volume").value) / 100;
  player.setLevels();
  sayLoudness();
  shown.forEach(refresh);
  keepState();
}

// How much of the input is seen where the mask removes it.
function setMask(clip) {
  for (const map of clip.maps || []) map.setOpacity(Number($("mask").value) / 100);
}

// --- which clips, in which order ---

function better(metric) {
  return { p_in: "up", p_out: "down", p: "up" }[metric] ||
    data.metrics.find((m) => m.name === metric).better || "up";
}

function valueOf(clip, metric, method) {
  if (metric === "p") return clip.verdicts[0].p;
  const made = clip.columns
    .filter((column) => (method ? column.method === method : isVisible(column)))
    .map((column) => (metric.startsWith("p_") ? column[metric] : column.values[metric]))
    .filter((value) => value !== null && value !== undefined);
  return made.length ? made.reduce((a, b) => a + b, 0) / made.length : null;
}

const boxes = () => [...document.querySelectorAll(".boxes input")];

function isVisible(column) {
  return boxes().every((box) => box.checked ||
    (box.name === "run" ? box.value !== column.run : box.value !== column.method));
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
  keepState();
}

function showMethods(clip) {
  if (!clip.built) return;
  for (const section of clip.strip.children) {
    section.hidden = Boolean(section.column) && !isVisible(section.column);
  }
}

function markSorted(clip) {
  if (!clip.built) return;
  for (const line of clip.strip.querySelectorAll("tr")) {
    line.classList.toggle("sorted", line.metric === $("metric").value);
  }
}

function setCurrent(clip) {
  if (current) current.card.classList.remove("current");
  current = clip;
  if (clip) clip.card.classList.add("current");
  keepState();
}

// --- the state of the page is in its address, so that a link shows the same ---

const CHOICES = ["class", "outcome", "scenario", "metric", "of", "direction", "extent",
  "chart-metric", "chart-class", "mask"];
const DEFAULTS = {};
let restoring = true; // what is restored is not kept again

const permalink = (clip) => new URLSearchParams({ clip: clip.key });

function keepState() {
  if (restoring) return;
  const state = new URLSearchParams();
  for (const id of CHOICES) if ($(id).value !== DEFAULTS[id]) state.set(id, $(id).value);
  for (const box of boxes()) if (!box.checked) state.append(`hide-${box.name}`, box.value);
  if ($("match").checked) state.set("match", "1");
  if (current) {
    // The first clip is where a page begins anyhow.
    if (current !== shown[0] || player.sound) state.set("clip", current.key);
    const sound = current.selected;
    if (sound && sound !== current.sounds[0]) {
      state.set("sound", sound.column ? `${sound.part}/${nameOf(sound.column)}` : sound.part);
    }
  }
  const text = `${state}`;
  if (text !== location.hash.slice(1)) {
    history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
  }
}

function restoreState() {
  restoring = true;
  const state = new URLSearchParams(location.hash.slice(1));
  for (const id of CHOICES) {
    const wanted = state.get(id) ?? DEFAULTS[id];
    $(id).value = wanted;
    if ($(id).value !== wanted) $(id).value = DEFAULTS[id]; // there is no such choice
  }
  for (const box of boxes()) {
    box.checked = !state.getAll(`hide-${box.name}`).includes(box.value);
  }
  $("match").checked = state.has("match");
  setLoudness();
  arrange();
  drawChart();
  const clip = shown.find((c) => c.key === state.get("clip"));
  if (clip) {
    build(clip);
    setCurrent(clip);
    const wanted = state.get("sound");
    const sound = clip.sounds.find((s) => wanted ===
      (s.column ? `${s.part}/${nameOf(s.column)}` : s.part));
    if (sound) clip.selected = sound;
    if (player.sound !== sound) player.pause();
    refresh(clip);
    clip.card.scrollIntoView({ block: "start", behavior: "instant" });
  }
  data.clips.forEach(setMask);
  restoring = false;
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

function heardPart() {
  return current.selected.part === "removed" ? "removed" : "explanation";
}

function methodKey(number) {
  if (number === 0) return choose(current, (s) => s.part === "input");
  const column = current.columns.filter(isVisible)[number - 1];
  const part = heardPart();
  choose(current, (s) => s.column === column && s.part === part);
}

// The next method (1) or the one before (-1); round the corner.
function step(by) {
  const columns = current.columns.filter(isVisible);
  const at = columns.indexOf(current.selected.column);
  const next = at < 0 ? (by > 0 ? 0 : columns.length - 1) : at + by;
  methodKey(1 + (next + columns.length) % columns.length);
}

const keys = {
  j: () => go(1),
  k: () => go(-1),
  " ": () => player.toggle(current.selected),
  n: () => step(1),
  p: () => step(-1),
  t: () => choose(current, (s) => s.part === "target"),
  c: () => choose(current, (s) => s.part === "contaminant"),
  r: () => {
    const { column, part } = current.selected;
    choose(current, (s) => column && s.column === column && s.part !== part);
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

// Whether the focus came with the tabulator, or was left where somebody clicked.
let tabbed = false;
document.addEventListener("pointerdown", () => { tabbed = false; });

document.addEventListener("keydown", (event) => {
  if (event.key === "Tab") tabbed = true;
  if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
  const on = event.target;
  // What a control does with a key itself stays its own. Space plays on anything but what only
  // space operates: what a click has left the focus on does not count.
  if (on.matches("select, textarea, input[type=text]")) return;
  if (event.key === " " && tabbed && on.matches("input[type=checkbox]")) return;
  if (event.key.startsWith("Arrow") && on.matches("input, .columns, .wide")) return;
  // By the place of the key: with shift, digits are other characters, and differ by language.
  const [, digit] = /^(?:Digit|Numpad)([0-9])$/.exec(event.code) || /^([0-9])$/.exec(event.key) ||
    [];
  if (digit === undefined && !keys[event.key]) return;
  event.preventDefault();
  if (!current) return;
  build(current);
  if (!["j", "k", "m", "?"].includes(event.key) && !current.sounds.length) return;
  if (digit !== undefined) methodKey(Number(digit) + (event.shiftKey && digit !== "0" ? 9 : 0));
  else keys[event.key]();
});

// --- start ---

function fill(select, first, values) {
  select.append(element("option", { value: "" }, first));
  for (const value of values) select.append(element("option", { value }, value));
}

function fillChart() {
  const select = $("chart-metric");
  for (const { name } of data.metrics) select.append(element("option", { value: name }, name));
  const labels = data.summaries.flatMap((s) => s.rows.map((row) => row.label)).filter(Boolean);
  fill($("chart-class"), "all classes", [...new Set(labels)].sort());
}

const different = (key) => [...new Set(data.clips.map((clip) => clip[key]))].sort();
fill($("class"), "all classes", different("label"));
fill($("scenario"), "all scenarios", different("scenario"));
fill($("metric"), "order of evaluation", [...data.metrics.map((m) => m.name), "p", "p_in", "p_out"]);
fill($("of"), "the methods' mean", data.methods);
function box(place, name, value) {
  const input = element("input", { type: "checkbox", name, value, checked: true });
  $(place).append(element("label", { className: "name" }, input, value));
}
for (const method of data.methods) {
  box(REFERENCES.has(method) ? "references" : "methods", "method", method);
}
const paired = new Set(data.clips.flatMap((clip) => clip.columns.map((c) => c.run)));
paired.delete("");
for (const run of paired) box("evaluations", "run", run);
for (const id of ["methods", "references", "evaluations"]) {
  $(id).hidden = !$(id).querySelector("input");
}
fillChart();
$("runs").append(...runHeaders());
sayHeard();
for (const metric of data.metrics) {
  $("legend").append(element("dt", {}, metric.name), element("dd", {}, metric.about));
}
const near = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) build(entry.target.clip);
}, { rootMargin: "1000px 0px" });
for (const clip of data.clips) near.observe(clip.card);
for (const form of ["controls", "choices-form", "chart-form"]) {
  $(form).addEventListener("submit", (event) => event.preventDefault());
}
$("choices").addEventListener("change", arrange);
$("chart-form").addEventListener("change", () => { drawChart(); keepState(); });
$("mask").addEventListener("input", () => { data.clips.forEach(setMask); keepState(); });
$("volume").addEventListener("input", setLoudness);
$("match").addEventListener("change", setLoudness);
$("help-button").addEventListener("click", () => $("help").showModal());
if (window.matchMedia("(max-width: 40rem)").matches) {
  for (const id of ["choices", "chart"]) $(id).open = false;
}
const measure = () => document.documentElement.style.setProperty(
  "--controls", `${$("controls").offsetHeight + 8}px`);
new ResizeObserver(measure).observe($("controls"));
for (const id of CHOICES) DEFAULTS[id] = $(id).value;
window.addEventListener("hashchange", restoreState);
restoreState();
