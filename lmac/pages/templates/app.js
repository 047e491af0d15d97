// The app: a sound goes to the server, is explained there, and shown by Result.
const app = JSON.parse(document.getElementById("app").textContent);
const $ = (id) => document.getElementById(id);
const POLL_MS = 150;
const LONGEST_RECORDING_S = Math.min(60, app.seconds);
// What the server reads as it is; anything else is decoded here, if this browser can.
const READ_THERE = /\.(wav|flac|ogg|oga|opus|mp3|aiff?|au)$/i;
let sound = null;     // id of the sound that is asked about
let turn = 0;         // of the last request: answers to earlier ones are not shown
let recorder = null;

const result = new Result($("result"), (name) => {
  $("class").value = name;
  explain();
}, (painting) => send(`masks/${sound}`, JSON.stringify(painting), "application/json"));

function say(text, share = null) {
  $("said").textContent = text;
  $("progress").hidden = share === null;
  if (share !== null) $("progress").value = share;
}

// Errors of the server are one sentence each.
async function send(address, body, type) {
  let reply;
  try {
    reply = await fetch(address, { method: "POST", body, headers: { "Content-Type": type } });
  } catch {
    throw new Error("The server does not answer: is it still running?");
  }
  if (!reply.ok) throw new Error((await reply.text()).trim());
  return reply.json();
}

async function attempt(what) {
  const mine = ++turn;
  $("error").textContent = "";
  try {
    await what(() => mine === turn);
  } catch (error) {
    if (mine !== turn) return;
    say("");
    $("error").textContent = error.message;
  }
  $("go").disabled = !sound;
  $("clear").hidden = $("all").hidden = !(sound && result.data);
  if (sound) $("all").href = `sounds/${sound}/all.zip`;
}

// The address of the page names the sound, so that it is found again while the server keeps it.
function choose(id) {
  sound = id;
  history.replaceState(null, "", id ? `#${id}` : location.pathname);
}

// --- choosing a sound ---

function take(blob, name) {
  return attempt(async (current) => {
    if (!READ_THERE.test(name)) {
      say("Decoding …");
      blob = await decoded(blob, name);
      name = name.replace(/\.\w+$/, "") + ".wav";
    }
    if (blob.size > app.bytes) {
      throw new Error(`${name} has ${(blob.size / 1e6).toFixed(1)} MB: at most ` +
        `${(app.bytes / 1e6).toFixed(1)} MB are taken.`);
    }
    say("Sending …");
    const { id } = await send(`sounds/${encodeURIComponent(name)}`, blob,
      "application/octet-stream");
    if (!current()) return;
    choose(id);
    $("class").value = "";
    await explained(current);
  });
}

// A recording of this browser, or a format that only it reads, as a WAV file.
async function decoded(blob, name) {
  const context = new AudioContext();
  try {
    const audio = await context.decodeAudioData(await blob.arrayBuffer());
    return wavFile(audio);
  } catch {
    throw new Error(`${name} cannot be read as audio: send a WAV, FLAC, OGG or MP3 file.`);
  } finally {
    context.close();
  }
}

function wavFile(audio) {
  const mono = new Float32Array(audio.length);
  for (let c = 0; c < audio.numberOfChannels; c++) {
    audio.getChannelData(c).forEach((value, i) => { mono[i] += value / audio.numberOfChannels; });
  }
  const view = new DataView(new ArrayBuffer(44 + 2 * mono.length));
  const text = (at, word) => [...word].forEach((l, i) => view.setUint8(at + i, l.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * mono.length, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, audio.sampleRate, true);
  view.setUint32(28, 2 * audio.sampleRate, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, 2 * mono.length, true);
  mono.forEach((value, i) =>
    view.setInt16(44 + 2 * i, 32767 * Math.min(1, Math.max(-1, value)), true));
  return new Blob([view]);
}

async function record() {
  if (recorder) return recorder.stop();
  await attempt(async () => {
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({
        audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
      });
    } catch {
      throw new Error("This page may not use the microphone: allow it in the browser, and open " +
        "the page as localhost or by https.");
    }
    const parts = [];
    recorder = new MediaRecorder(stream);
    recorder.addEventListener("dataavailable", (event) => parts.push(event.data));
    const limit = setTimeout(() => recorder && recorder.stop(), 1000 * LONGEST_RECORDING_S);
    const began = performance.now();
    const clockwork = setInterval(() =>
      say(`Recording, ${((performance.now() - began) / 1000).toFixed(0)} s …`), 250);
    recorder.addEventListener("stop", () => {
      clearTimeout(limit);
      clearInterval(clockwork);
      stream.getTracks().forEach((track) => track.stop());
      recorder = null;
      recordButton();
      take(new Blob(parts), "recording");
    });
    recorder.start();
    recordButton();
    say("Recording …");
  });
}

function recordButton() {
  $("record").textContent = recorder ? "■ Stop" : "● Record";
  $("record").classList.toggle("on", Boolean(recorder));
  $("record").setAttribute("aria-pressed", Boolean(recorder));
}

// --- explaining ---

function explain() {
  if (sound) attempt(explained);
}

async function explained(current) {
  const boxes = [...$("methods").querySelectorAll("input:checked")];
  if (!boxes.length) throw new Error("Choose at least one method.");
  // Of several methods, those that can be asked for the class; a single one says that it cannot.
  let able = $("class").value ? boxes.filter((box) => box.asked) : boxes;
  if (!able.length) {
    able = [...$("methods").querySelectorAll("input")].filter((box) => box.asked).slice(0, 1);
    able.forEach((box) => { box.checked = true; });
  }
  const methods = (able.length ? able : boxes).map((box) => box.value);
  const left = boxes.map((box) => box.value).filter((name) => !methods.includes(name));
  const mine = sound;
  $("go").disabled = true;
  await follow(mine, current); // what was asked before is finished first
  if (!current()) return;
  await send(`explanations/${mine}`, JSON.stringify({ methods, classes: [$("class").value || null] }),
    "application/json");
  const state = await follow(mine, current);
  if (!current()) return;
  if (state.state === "failed") throw new Error(state.error);
  say(left.map((name) => `${name} explains the classifier's own decision only` +
    `${boxes.some((box) => methods.includes(box.value)) ? "" : `: ${methods.join(", ")} in its place`}.`)
    .join(" "));
}

// Show what there is of a sound until nothing more is on its way, and return the last state.
async function follow(id, current) {
  for (;;) {
    const reply = await fetch(`state/${id}`).catch(() => null);
    if (!reply) throw new Error("The server does not answer: is it still running?");
    if (!reply.ok) throw new Error((await reply.text()).trim());
    const state = await reply.json();
    if (!current()) return null;
    if (state.data) result.show(state.data);
    if (!["waiting", "working"].includes(state.state)) return state;
    if (state.state === "waiting") {
      say(state.ahead ? `Waiting, ${state.ahead} before this one …` : "Starting …", 0);
    } else {
      // In tens: a screen reader says each of them.
      say(`${state.doing}, ${10 * Math.floor(10 * state.share)} %`, state.share);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

// --- start ---

for (const { name, asked, chosen } of app.methods) {
  const box = element("input", { type: "checkbox", value: name, checked: chosen });
  box.asked = asked;
  $("methods").append(element("label", { className: "name" }, box, name,
    ...(asked ? [] : [element("span", { className: "soft" }, "(own decision only)")])));
}
const option = (select, value, text) => select.append(element("option", { value }, text));
option($("class"), "", "its own decision");
app.labels.forEach((name) => option($("class"), name, plain(name)));
$("known").textContent = app.labels.map(plain).join(", ");
option($("example"), "", "choose …");
app.examples.forEach(({ name, url }) => option($("example"), url, name));
$("ask").addEventListener("submit", (event) => { event.preventDefault(); explain(); });
$("file").addEventListener("change", () => {
  const [file] = $("file").files;
  if (file) take(file, file.name);
});
$("example").addEventListener("change", () => attempt(async () => {
  const { value, selectedOptions } = $("example");
  if (!value) return;
  const reply = await fetch(value);
  await take(await reply.blob(), selectedOptions[0].textContent);
}));
$("record").addEventListener("click", record);
$("clear").addEventListener("click", () => attempt(async () => {
  await send(`removals/${sound}`, "{}", "application/json");
  result.clear();
  choose(null);
  say("It is deleted.");
}));
// The sound of the address, or an example: there is something to hear at once.
const first = location.hash.slice(1) || app.first;
if (first) {
  attempt(async (current) => {
    const reply = await fetch(`state/${encodeURIComponent(first)}`);
    if (!current()) return;
    if (!reply.ok) {
      choose(null);
      if (first !== app.first) throw new Error((await reply.text()).trim());
      return; // it was deleted since
    }
    sound = first;
    if (first !== app.first) choose(first);
    await follow(sound, current);
    if (current()) say("");
  });
}
for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    $("ask").classList.toggle("over", name === "dragover");
    const file = name === "drop" && event.dataTransfer.files[0];
    if (file) take(file, file.name);
  });
}
