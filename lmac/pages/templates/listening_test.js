const test = JSON.parse(document.getElementById("manifest").textContent);
const form = JSON.parse(document.getElementById("form").textContent);
const $ = (id) => document.getElementById(id);
const STORE = `lmac-listening-${test.test}`;
const NAMES = `${STORE}-names`; // of participants who ended with this browser
const QUESTIONS = Object.keys(test.questions);
const SHORT = { correspondence: "1. Correspondence", quality: "2. Audio quality" };
const SERVED = location.protocol.startsWith("http");
// A sound counts as heard when all but this much of it was played.
const MISSED_S = 0.25;
const MISSED_SHARE = 0.1;
const MOST_TRAINING = 3; // screens, where each has one explanation only
let state = load(STORE); // what is kept over a reload
let screens = [];        // volume, training, then what this participant hears, in order
let sounds = [];         // of the screen that is shown
let warm = [];           // players that load the sounds of the screen after it

// --- what is kept ---

function load(name) {
  try {
    return JSON.parse(localStorage.getItem(name));
  } catch {
    return null;
  }
}

function store(name, content) {
  try {
    if (content) localStorage.setItem(name, JSON.stringify(content));
    else localStorage.removeItem(name);
  } catch {
    $("where").dataset.warning = " (This browser keeps nothing: do not reload the page.)";
  }
}

function keep() {
  store(STORE, state);
}

// --- the order of a participant: always the same for a test and a name ---

function generator(text) {
  let seed = 2166136261; // FNV-1a, then mulberry32
  for (const byte of new TextEncoder().encode(text)) seed = Math.imul(seed ^ byte, 16777619);
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

function shuffled(list, random) {
  const made = [...list];
  for (let i = made.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [made[i], made[j]] = [made[j], made[i]];
  }
  return made;
}

function order(participant) {
  const random = generator(`${test.test}/${participant}`);
  const split = (trial) => {
    const names = shuffled(trial.stimuli, random);
    const groups = test.scale === "mushra" ? [names] : names.map((name) => [name]);
    return groups.map((stimuli) => ({ kind: "rated", trial, stimuli }));
  };
  const training = split(test.training).slice(0, MOST_TRAINING)
    .map((s) => ({ ...s, kind: "training" }));
  return [{ kind: "volume", trial: test.training, stimuli: [] }, ...training,
    ...shuffled(test.trials.flatMap(split), random)];
}

// --- a screen ---

const player = new Player((sound, audio) => {
  if (!sound.button) return;
  listen(sound, audio);
  refresh();
});

function listen(sound, audio) {
  let played = 0;
  for (let i = 0; i < audio.played.length; i++) played += audio.played.end(i) - audio.played.start(i);
  if (!audio.duration) return;
  sound.share = played / audio.duration;
  const missed = Math.min(MISSED_S, MISSED_SHARE * audio.duration);
  if (played >= audio.duration - missed && !state.heard[sound.name]) {
    state.heard[sound.name] = true;
    keep();
  }
}

function soundRow(sound, label) {
  sound.button = element("button", { type: "button" });
  sound.label = label;
  sound.told = element("span", { className: "state" });
  sound.button.addEventListener("click", () => toggle(sound));
  sounds.push(sound);
  return element("div", { className: "sound" }, sound.button, sound.told);
}

function play(sound) {
  if (player.sound === sound && player.playing) return;
  state.plays[sound.name] = (state.plays[sound.name] || 0) + 1;
  player.select(sound, true);
  keep();
}

function toggle(sound) {
  if (player.sound === sound && player.playing) player.pause();
  else play(sound);
}

function refresh() {
  for (const sound of sounds) {
    const on = player.sound === sound && player.playing;
    sound.button.textContent = `${on ? "❚❚" : "▶"} ${sound.label}`;
    sound.button.setAttribute("aria-pressed", on);
    sound.box.classList.toggle("sounding", on);
    const heard = state.heard[sound.name];
    sound.told.textContent = sound.failed ? "cannot be loaded" : heard ? "✓ heard"
      : sound.share ? `${Math.floor(100 * sound.share)} % heard`
        : sound.ready ? "not heard yet" : "loading …";
    sound.told.classList.toggle("heard", Boolean(heard));
  }
  const now = sounds.includes(player.sound) ? player.sound : sounds[0];
  if (!now) return;
  const at = player.sound === now ? player.position(now) : 0;
  $("position").value = at / now.seconds;
  $("time").textContent = `${clock(at)} / ${clock(now.seconds)}`;
}

function rating(name, question, label) {
  const shown = element("output", {}, "–");
  const box = element("fieldset", { className: "unrated",
    attributes: { "aria-describedby": `question-${question}` } },
    element("legend", {}, SHORT[question]));
  box.question = question;
  const rate = (value) => {
    (state.ratings[name] ||= {})[question] = value;
    tell(value);
    keep();
  };
  const tell = (value) => {
    box.classList.remove("unrated");
    shown.textContent = value;
  };
  const known = (state.ratings[name] || {})[question];
  box.append((test.scale === "mushra" ? slider : choices)(
    `${SHORT[question]} of ${label}`, `${name}-${question}`, known, rate, shown));
  if (known !== undefined) tell(known);
  return box;
}

function word(value) {
  const fifth = (form.high - form.low) / form.words.length;
  return form.words[Math.min(form.words.length - 1, Math.floor((value - form.low) / fifth))];
}

function slider(label, _, known, rate, shown) {
  const input = element("input", { type: "range", min: form.low, max: form.high, step: 1,
    attributes: { "aria-label": label, "aria-valuetext": "not rated yet" } });
  input.value = known === undefined ? (form.low + form.high) / 2 : known;
  const describe = () =>
    input.setAttribute("aria-valuetext", `${input.value}, ${word(Number(input.value))}`);
  const take = () => {
    rate(Number(input.value));
    describe();
  };
  if (known !== undefined) describe();
  // Left in the middle on purpose, it does not change: a click or Enter is an answer, too.
  for (const name of ["input", "change", "click"]) input.addEventListener(name, take);
  input.addEventListener("keydown", (event) => { if (event.key === "Enter") take(); });
  return element("div", { className: "scale" }, input, shown);
}

function choices(label, group, known, rate, shown) {
  const box = element("div", { className: "choices" });
  form.words.forEach((text, i) => {
    const value = form.low + i;
    const input = element("input", { type: "radio", name: group, value, checked: value === known,
      attributes: { "aria-label": `${label}: ${value}, ${text}` } });
    input.addEventListener("change", () => rate(value));
    box.append(element("label", {}, input, element("strong", {}, value), text));
  });
  return element("div", { className: "scale" }, box, shown);
}

function show() {
  const last = state && state.screen >= screens.length;
  $("welcome").hidden = Boolean(state);
  $("screen").hidden = !state || last;
  $("end").hidden = !last;
  $("progress").value = state ? state.screen / screens.length : 0;
  $("where").textContent = (!state ? "" : last ? state.participant
    : `${state.participant}, screen ${state.screen + 1} of ${screens.length}`) +
    ($("where").dataset.warning || "");
  if (last) showEnd();
  else if (state) showScreen(screens[state.screen]);
}

function soundOf(name, trial) {
  return { name, url: `stimuli/${name}.wav`, seconds: trial.seconds, gain: 1,
    group: `${state.screen}` };
}

function showScreen({ kind, trial, stimuli }) {
  sounds = [];
  const number = screens.slice(0, state.screen + 1).filter((s) => s.kind === "rated").length;
  $("screen-title").textContent = kind === "volume" ? "Volume"
    : `${kind === "training" ? "Training" : `Recording ${number}`}, class: ${trial.class}`;
  $("training-note").hidden = kind !== "training";
  $("volume-note").hidden = kind !== "volume";
  $("volume-field").hidden = kind !== "volume" || !volumeWorks();
  $("rated").hidden = kind === "volume";
  $("volume").value = 100 * state.volume;
  $("back").disabled = state.screen === 0;
  $("todo").textContent = "";
  const reference = soundOf(trial.reference, trial);
  $("reference").replaceChildren(soundRow(reference, "Input"));
  reference.box = $("bar");
  $("stimuli").replaceChildren(...stimuli.map((name, i) => {
    const label = stimuli.length > 1 ? `Sound ${String.fromCharCode(65 + i)}` : "Explanation";
    const one = soundOf(name, trial);
    one.box = element("section", { className: "stimulus", attributes: { "aria-label": label } },
      soundRow(one, label), ...QUESTIONS.map((q) => rating(name, q, label)));
    return one.box;
  }));
  player.volume = state.volume;
  player.release(reference.group);
  player.sound = null;
  player.prepare(sounds);
  for (const one of sounds) player.audio(one).addEventListener("canplay", () => {
    one.ready = true;
    refresh();
  });
  refresh();
  loadNext();
}

// The sounds of the next screen come while this one is heard.
function loadNext() {
  for (const audio of warm) audio.removeAttribute("src");
  const next = screens[state.screen + 1];
  warm = (next ? [next.trial.reference, ...next.stimuli] : []).map((name) => {
    const audio = new Audio();
    audio.preload = "auto";
    audio.src = `stimuli/${name}.wav`;
    return audio;
  });
}

// What is still to be done on this screen: [sentence, element to go to].
function missing() {
  const found = [];
  for (const sound of sounds) {
    if (!state.heard[sound.name]) found.push([`hear ${sound.label} to its end`, sound.button]);
    for (const box of sound.box.querySelectorAll("fieldset.unrated")) {
      found.push([`answer ${SHORT[box.question]} of ${sound.label}`, box.querySelector("input")]);
    }
  }
  return found;
}

function go(step) {
  if (step > 0) {
    const left = missing();
    if (left.length) {
      $("todo").textContent = `Please still ${left.slice(0, 3).map(([text]) => text).join(", ")}` +
        (left.length > 3 ? `, and ${left.length - 3} more.` : ".");
      left[0][1].focus();
      return;
    }
  }
  if (state.screen + step < 0) return;
  player.pause();
  state.screen += step;
  state.finished = "";
  keep();
  show();
  window.scrollTo(0, 0);
  $(state.screen < screens.length ? "screen-title" : "end-title").focus();
}

$("next").addEventListener("click", () => go(1));
$("back").addEventListener("click", () => go(-1));
$("review").addEventListener("click", () => go(-1));
$("loop").addEventListener("change", () => player.setLoop($("loop").checked));
$("volume").addEventListener("input", () => {
  state.volume = player.volume = Number($("volume").value) / 100;
  player.setLevels();
  keep();
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("screen").hidden) return;
  const key = event.key.toLowerCase();
  const letter = /^[a-l]$/.test(key) ? sounds[key.charCodeAt(0) - 96] : undefined;
  const act = letter ? () => play(letter) : {
    " ": () => toggle(sounds.includes(player.sound) ? player.sound : sounds[0]),
    0: () => play(sounds[0]),
    r: () => $("loop").click(),
    n: () => go(1),
    p: () => go(-1),
  }[key];
  if (!act || event.repeat) return;
  event.preventDefault(); // also on a button, which space would press
  act();
});

// --- beginning and end ---

// Why this participant cannot begin, "" if they can.
async function taken(name, token) {
  if ((load(NAMES) || []).includes(name)) {
    return "Answers were given under this name with this browser already: please take another.";
  }
  if (!SERVED) return "";
  try {
    const reply = await fetch("participants", { method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ test: test.test, participant: name, token }) });
    // A server that only shows the page does not know.
    if (!reply.ok || (await reply.json()).free) return "";
    return "Somebody has begun or answered under this name: please take another. If it was you, " +
      "go on in the browser that you began with.";
  } catch {
    return "The server does not answer: please try again.";
  }
}

function refuse(what, text, at) {
  const place = $(`${what}-error`);
  if (place) place.textContent = text;
  if (text) at.focus();
  return Boolean(text);
}

$("start").addEventListener("submit", async (event) => {
  event.preventDefault();
  const consent = $("consent");
  if (refuse("consent", consent && !consent.checked ? "Please agree, or do not take part." : "",
    consent)) return;
  const device = document.querySelector("input[name=device]:checked");
  if (refuse("device", test.headphones && !device ? "Please say what you listen with." : "",
    document.querySelector("input[name=device]"))) return;
  const name = $("participant").value.trim();
  const valid = new RegExp(`^(?:${form.participant})$`).test(name);
  if (refuse("participant", valid ? ""
    : "Please give a name of 1 to 40 letters (without accents), digits, - or _.",
    $("participant"))) return;
  const token = [...crypto.getRandomValues(new Uint8Array(16))]
    .map((byte) => byte.toString(16).padStart(2, "0")).join("");
  $("begin").disabled = true;
  const reason = await taken(name, token);
  $("begin").disabled = false;
  if (refuse("participant", reason, $("participant"))) return;
  state = { participant: name, consent: Boolean(consent), device: device ? device.value : "",
    started: new Date().toISOString(), finished: "", screen: 0, volume: 1, heard: {}, ratings: {},
    plays: {}, comment: "", done: "" };
  screens = order(name);
  keep();
  show();
  $("screen-title").focus();
});

function response() {
  const rated = screens.filter((s) => s.kind === "rated").flatMap((s) => s.stimuli);
  return JSON.stringify({
    format: form.format, test: test.test, participant: state.participant,
    consent: state.consent, device: state.device,
    started: state.started, finished: state.finished, comment: state.comment,
    ratings: rated.map((stimulus, position) => ({
      stimulus, ...state.ratings[stimulus], plays: state.plays[stimulus] || 0, position,
    })),
  }, null, 1);
}

function showEnd() {
  state.finished ||= new Date().toISOString();
  keep();
  $("comment").value = state.comment;
  $("comment").disabled = Boolean(state.done);
  $("review").hidden = Boolean(state.done);
  $("send").hidden = !SERVED;
  $("save").classList.toggle("main", $("send").hidden);
  $("again").hidden = !state.done;
  $("outcome").textContent = state.done;
}

function finish(text) {
  state.done = text;
  store(NAMES, [...new Set([...(load(NAMES) || []), state.participant])]);
  keep();
  showEnd();
}

$("comment").addEventListener("input", () => { state.comment = $("comment").value; keep(); });

$("save").addEventListener("click", () => {
  const file = `${test.test}_${state.participant}.json`;
  const url = URL.createObjectURL(new Blob([response()], { type: "application/json" }));
  element("a", { href: url, download: file }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
  finish(`Your answers are in the file ${file} in your downloads. ` +
    "Please give it to whoever asked you.");
});

$("send").addEventListener("click", async () => {
  $("send").disabled = true;
  try {
    const reply = await fetch("responses", { method: "POST", body: response(),
      headers: { "Content-Type": "application/json" } });
    const text = (await reply.text()).slice(0, 300);
    if (reply.ok) finish("Your answers have arrived. Thank you!");
    else $("outcome").textContent = `They were not taken (${reply.status}: ${text}). ` +
      "Please save them as a file and give it to whoever asked you.";
  } catch {
    $("outcome").textContent = "The server does not answer: try again, or save them as a file.";
  }
  $("send").disabled = false;
});

$("again").addEventListener("click", () => {
  state = null;
  keep();
  show();
  $("participant").value = "";
  $("participant").focus();
});

if (state) screens = order(state.participant);
show();
