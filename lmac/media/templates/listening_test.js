const test = JSON.parse(document.getElementById("manifest").textContent);
const form = JSON.parse(document.getElementById("form").textContent);
const $ = (id) => document.getElementById(id);
const STORE = `lmac-listening-${test.test}`;
const QUESTIONS = Object.keys(test.questions);
const SHORT = { correspondence: "1. Correspondence", quality: "2. Audio quality" };
// A sound counts as heard when all but this much of it was played.
const MISSED_S = 0.25;
const MISSED_SHARE = 0.1;
const MOST_TRAINING = 3; // screens, where each has one explanation only
let state = load();  // what is kept over a reload
let screens = [];    // the training, then what this participant hears, in order
let sounds = [];     // of the screen that is shown

// --- what is kept ---

function load() {
  try {
    return JSON.parse(localStorage.getItem(STORE));
  } catch {
    return null;
  }
}

function keep() {
  try {
    if (state) localStorage.setItem(STORE, JSON.stringify(state));
    else localStorage.removeItem(STORE);
  } catch {
    $("where").dataset.warning = " (This browser keeps nothing: do not reload the page.)";
  }
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
    return groups.map((stimuli) => ({ trial, stimuli }));
  };
  const training = split(test.training).slice(0, MOST_TRAINING)
    .map((s) => ({ ...s, training: true }));
  return [...training, ...shuffled(test.trials.flatMap(split), random)];
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
  sound.bar = element("progress", { max: 1, value: 0,
    attributes: { "aria-label": `Position in ${label}` } });
  sound.told = element("span", { className: "state" });
  sound.button.addEventListener("click", () => {
    const starts = player.sound !== sound || !player.playing;
    if (starts) state.plays[sound.name] = (state.plays[sound.name] || 0) + 1;
    player.toggle(sound);
    keep();
  });
  sounds.push(sound);
  return element("div", { className: "sound" }, sound.button, sound.bar, sound.told);
}

function refresh() {
  for (const sound of sounds) {
    const on = player.sound === sound && player.playing;
    sound.button.textContent = `${on ? "❚❚" : "▶"} ${sound.label}`;
    sound.button.setAttribute("aria-pressed", on);
    sound.box.classList.toggle("sounding", on);
    sound.bar.value = player.sound === sound ? player.position(sound) / sound.seconds : 0;
    const heard = state.heard[sound.name];
    sound.told.textContent = sound.failed ? "cannot be loaded" : heard ? "✓ heard"
      : sound.share ? `${Math.floor(100 * sound.share)} % heard` : "not heard yet";
    sound.told.classList.toggle("heard", Boolean(heard));
  }
}

function rating(name, question, label) {
  const box = element("fieldset", { className: "unrated",
    attributes: { "aria-describedby": `question-${question}` } });
  const shown = element("output", {}, "not rated yet");
  box.append(element("legend", {}, SHORT[question], shown));
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
  box.append(...(test.scale === "mushra" ? slider : choices)(
    `${SHORT[question]} of ${label}`, `${name}-${question}`, known, rate));
  if (known !== undefined) tell(known);
  return box;
}

function word(value) {
  const fifth = (form.high - form.low) / form.words.length;
  return form.words[Math.min(form.words.length - 1, Math.floor((value - form.low) / fifth))];
}

function slider(label, _, known, rate) {
  const input = element("input", { type: "range", min: form.low, max: form.high, step: 1,
    attributes: { "aria-label": label, "aria-valuetext": "not rated yet" } });
  input.value = known === undefined ? (form.low + form.high) / 2 : known;
  const take = () => {
    rate(Number(input.value));
    input.setAttribute("aria-valuetext", `${input.value}, ${word(Number(input.value))}`);
  };
  // Left in the middle on purpose, it does not change: a click or Enter is an answer, too.
  for (const name of ["input", "change", "click"]) input.addEventListener(name, take);
  input.addEventListener("keydown", (event) => { if (event.key === "Enter") take(); });
  const words = element("div", { className: "words", attributes: { "aria-hidden": "true" } },
    ...form.words.map((text) => element("span", {}, text)));
  return [input, words];
}

function choices(label, group, known, rate) {
  const box = element("div", { className: "choices" });
  form.words.forEach((text, i) => {
    const value = form.low + i;
    const input = element("input", { type: "radio", name: group, value, checked: value === known,
      attributes: { "aria-label": `${label}: ${value}, ${text}` } });
    input.addEventListener("change", () => rate(value));
    box.append(element("label", {}, input, element("strong", {}, value), text));
  });
  return [box];
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

function showScreen({ trial, stimuli, training }) {
  const group = `${state.screen}`;
  const sound = (name) => ({ name, url: `stimuli/${name}.wav`, seconds: trial.seconds, gain: 1,
    group });
  sounds = [];
  $("screen-title").textContent = training ? "Training" : `Recording ${
    screens.slice(0, state.screen + 1).filter((s) => !s.training).length}`;
  $("training-note").hidden = !training;
  $("class").textContent = trial.class;
  $("todo").textContent = "";
  const reference = sound(trial.reference);
  $("reference").replaceChildren(soundRow(reference, "Input"));
  reference.box = $("bar");
  $("stimuli").replaceChildren(...stimuli.map((name, i) => {
    const label = stimuli.length > 1 ? `Sound ${String.fromCharCode(65 + i)}` : "Explanation";
    const one = sound(name);
    one.box = element("section", { className: "stimulus", attributes: { "aria-label": label } },
      soundRow(one, label), ...QUESTIONS.map((q) => rating(name, q, label)));
    return one.box;
  }));
  refresh();
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

$("next").addEventListener("click", () => {
  const left = missing();
  if (left.length) {
    $("todo").textContent = `Please still ${left.slice(0, 3).map(([text]) => text).join(", ")}` +
      (left.length > 3 ? `, and ${left.length - 3} more.` : ".");
    left[0][1].focus();
    return;
  }
  player.pause();
  state.screen += 1;
  keep();
  show();
  window.scrollTo(0, 0);
  $(state.screen < screens.length ? "screen-title" : "end-title").focus();
});

// --- beginning and end ---

$("start").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = $("participant").value.trim();
  if (!new RegExp(`^(?:${form.participant})$`).test(name)) {
    $("participant-error").textContent =
      "Please give a name of 1 to 40 letters (without accents), digits, - or _.";
    $("participant").focus();
    return;
  }
  $("participant-error").textContent = "";
  state = { participant: name, started: new Date().toISOString(), screen: 0, heard: {},
    ratings: {}, plays: {}, comment: "", done: false };
  screens = order(name);
  keep();
  show();
  $("screen-title").focus();
});

function response() {
  const rated = screens.filter((s) => !s.training).flatMap((s) => s.stimuli);
  return JSON.stringify({
    format: form.format, test: test.test, participant: state.participant,
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
  $("comment").disabled = state.done;
  $("send").hidden = !location.protocol.startsWith("http");
  $("save").classList.toggle("main", $("send").hidden);
  $("again").hidden = !state.done;
  if (state.done) $("outcome").textContent = state.done;
}

function finish(text) {
  state.done = text;
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
  $("outcome").textContent = "";
  show();
  $("participant").value = "";
  $("participant").focus();
});

if (state) screens = order(state.participant);
show();
