"use strict";
// One sound at a time. Sounds of one group (a clip) share their position: switching from one to
// another goes on where the first one was, and the first one is heard until the second one is,
// so that there is no gap. Volume is only ever lowered, so that nothing clips.
// A sound is {url, seconds, gain, group}; its audio element is made when it is first needed.
const FADE_MS = 30;
const PATIENCE_MS = 1500; // for a sound that takes long to start
const APART_S = 0.015; // what is nearer counts as the same position
class Player {
  // onChange(sound, audio): another state; onMove(sound, seconds): at every picture while it plays.
  constructor(onChange, onMove = () => {}) {
    this.onChange = onChange;
    this.onMove = onMove;
    this.sound = null;
    this.volume = 1;
    this.matched = false;
    this.loop = false;
    this.loaded = new Map();
    this.leaving = null; // {audio, done}: what is heard until its successor is
    this.late = 0.02; // seconds a switch takes, as the last one did
  }

  audio(sound) {
    if (this.loaded.has(sound)) return this.loaded.get(sound);
    const audio = document.createElement("audio");
    audio.preload = "auto";
    audio.src = sound.url;
    audio.loop = this.loop;
    for (const name of ["timeupdate", "play", "pause", "seeked", "loadedmetadata"]) {
      audio.addEventListener(name, () => this.changed(sound, audio));
    }
    audio.addEventListener("play", () => this.follow());
    audio.addEventListener("loadedmetadata", () => {
      if (audio.wanted) audio.currentTime = audio.wanted;
    });
    audio.addEventListener("ended", () => {
      if (sound === this.sound) audio.currentTime = 0;
      this.changed(sound, audio);
    });
    audio.addEventListener("error", () => {
      sound.failed = true;
      this.changed(sound, audio);
    });
    document.getElementById("sounds").append(audio);
    this.loaded.set(sound, audio);
    return audio;
  }

  changed(sound, audio) {
    this.onChange(sound, audio);
    if (sound === this.sound) this.onMove(sound, this.position(sound));
  }

  // "timeupdate" comes four times a second; a cursor follows every picture.
  follow() {
    if (this.following) return;
    const step = () => {
      this.following = this.playing ? requestAnimationFrame(step) : 0;
      if (this.sound) this.onMove(this.sound, this.position(this.sound));
    };
    this.following = requestAnimationFrame(step);
  }

  // Load sounds of the current group before they are asked for, so that switching is quick.
  prepare(sounds) {
    sounds.forEach((sound) => this.audio(sound));
  }

  // Browsers allow only so many players: those of a clip that was left are given back.
  release(group) {
    for (const [sound, audio] of this.loaded) {
      if (sound.group === group) continue;
      audio.pause();
      audio.removeAttribute("src");
      audio.load();
      audio.remove();
      this.loaded.delete(sound);
    }
  }

  level(sound) {
    return this.volume * (this.matched ? sound.gain : 1);
  }

  setLevels() {
    this.arrive();
    for (const [sound, audio] of this.loaded) audio.volume = this.level(sound);
  }

  setLoop(loop) {
    this.loop = loop;
    for (const audio of this.loaded.values()) audio.loop = loop;
  }

  get playing() {
    return this.sound !== null && !this.loaded.get(this.sound).paused;
  }

  position(sound) {
    const audio = this.loaded.get(sound);
    if (!audio) return 0;
    return audio.readyState > 0 ? audio.currentTime : audio.wanted || 0;
  }

  // Make it the sound that is heard; it plays if `play`, else it waits at the same position.
  select(sound, play) {
    this.arrive();
    const before = this.sound;
    const old = before && this.loaded.get(before);
    const same = before && before.group === sound.group;
    const at = old && same ? this.position(before) : 0;
    const over = play && same && before !== sound && this.playing;
    if (old && before !== sound && !over) old.pause();
    if (!same) this.release(sound.group);
    const audio = this.audio(sound);
    audio.volume = this.level(sound);
    this.sound = sound;
    if (before !== sound) this.seek(over ? at + this.late : at);
    if (over) this.handOver(old, audio, sound);
    // A sound that cannot be loaded says so by its "error" event.
    if (play) audio.play().catch(() => this.arrive());
    this.changed(sound, audio);
    if (before && before !== sound && same) this.onChange(before, old);
  }

  // `old` is heard until `audio` runs at the same position, then they are cross-faded.
  handOver(old, audio, sound) {
    const from = old.volume;
    let tries = 0;
    let timer = 0;
    const fade = () => {
      const began = performance.now();
      timer = setInterval(() => {
        const share = Math.min(1, (performance.now() - began) / FADE_MS);
        audio.volume = share * this.level(sound);
        old.volume = (1 - share) * from;
        if (share === 1) this.arrive();
      }, 5);
    };
    const align = () => {
      const apart = old.currentTime - audio.currentTime;
      if (old.ended || Math.abs(apart) <= APART_S || tries++ === 3) {
        quiet();
        return fade();
      }
      this.late = Math.min(0.2, Math.max(0, this.late + apart));
      audio.currentTime = Math.min(sound.seconds, old.currentTime + this.late);
    };
    // Once its position has moved on: browsers say so a little early.
    const later = () => { clearTimeout(timer); timer = setTimeout(align, 10); };
    const patience = setTimeout(() => this.arrive(), PATIENCE_MS);
    const quiet = () => {
      clearTimeout(timer);
      clearTimeout(patience);
      for (const name of ["playing", "seeked"]) audio.removeEventListener(name, later);
    };
    audio.volume = 0;
    for (const name of ["playing", "seeked"]) audio.addEventListener(name, later);
    this.leaving = { old, from, audio, sound, stop: () => { quiet(); clearInterval(timer); } };
  }

  // End a switch at once.
  arrive() {
    if (!this.leaving) return;
    const { old, from, audio, sound, stop } = this.leaving;
    this.leaving = null;
    stop();
    old.pause();
    old.volume = from;
    audio.volume = this.level(sound);
  }

  seek(seconds) {
    this.arrive();
    const audio = this.audio(this.sound);
    if (audio.readyState > 0) audio.currentTime = seconds;
    else audio.wanted = seconds; // until its length is known
  }

  toggle(sound) {
    if (this.sound === sound && this.playing) this.pause();
    else this.select(sound, true);
  }

  pause() {
    this.arrive();
    if (this.playing) this.loaded.get(this.sound).pause();
  }
}

// An element with properties, attributes (in `attributes`) and children; text is never markup.
function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  const { attributes = {}, ...rest } = properties;
  Object.assign(made, rest);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function clock(seconds) {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}.` +
    Math.floor((seconds - whole) * 10);
}

// Some phones fix the volume of a page; whoever relies on it has to be told.
function volumeWorks() {
  const probe = document.createElement("audio");
  probe.volume = 0.5;
  return probe.volume === 0.5;
}
