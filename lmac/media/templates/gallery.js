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
    sound.mark.textContent = on && playing ? "❚❚ " : "▶ ";
    sound.levelText.textContent = sound.level === null ? "silent" : decibels(sound);
  }
  for (const section of clip.columns.children) {
    const sounding = active && section.method === clip.selected.method;
    if (sounding && !section.classList.contains("sounding")) reveal(clip.columns, section);
    section.classList.toggle("sounding", sounding);
  }
}

function decibels(sound) {
  const lowered = player.matched ? 20 * Math.log10(sound.gain) : 0;
  return `${(sound.level + lowered).toFixed(0)} dB`.replace("-", "−");
}

// On a phone the method that is heard may be beside the screen; the page itself stays put.
function reveal(columns, section) {
  const left = section.offsetLeft - columns.offsetLeft;
  const hidden = left < columns.scrollLeft ||
    left + section.offsetWidth > columns.scrollLeft + columns.clientWidth;
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
    section.hidden = !names.includes(section.method);
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
for (const form of ["controls", "choices-form"]) {
  $(form).addEventListener("submit", (event) => event.preventDefault());
}
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
