"use strict";
// One sound at a time. Sounds of one group (a clip) share their position: switching from one to
// another goes on where the first one was. Volume is only ever lowered, so that nothing clips.
// A sound is {url, seconds, gain, group}; its audio element is made when it is first needed.
class Player {
  constructor(onChange) {
    this.onChange = onChange;
    this.sound = null;
    this.volume = 1;
    this.matched = false;
    this.loaded = new Map();
  }

  audio(sound) {
    if (this.loaded.has(sound)) return this.loaded.get(sound);
    const audio = document.createElement("audio");
    audio.preload = "auto";
    audio.src = sound.url;
    for (const name of ["timeupdate", "play", "pause", "seeked", "loadedmetadata"]) {
      audio.addEventListener(name, () => this.onChange(sound, audio));
    }
    audio.addEventListener("loadedmetadata", () => {
      if (audio.wanted) audio.currentTime = audio.wanted;
    });
    audio.addEventListener("ended", () => {
      audio.currentTime = 0;
      this.onChange(sound, audio);
    });
    audio.addEventListener("error", () => {
      sound.failed = true;
      this.onChange(sound, audio);
    });
    document.getElementById("sounds").append(audio);
    this.loaded.set(sound, audio);
    return audio;
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
    for (const [sound, audio] of this.loaded) audio.volume = this.level(sound);
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
    const before = this.sound;
    const old = before && this.loaded.get(before);
    const same = before && before.group === sound.group;
    const at = old && same ? this.position(before) : 0;
    if (old && before !== sound) old.pause();
    if (!same) this.release(sound.group);
    const audio = this.audio(sound);
    audio.volume = this.level(sound);
    this.sound = sound;
    if (before !== sound) this.seek(at);
    // A sound that cannot be loaded says so by its "error" event.
    if (play) audio.play().catch(() => {});
    this.onChange(sound, audio);
    if (before && before !== sound && same) this.onChange(before, old);
  }

  seek(seconds) {
    const audio = this.audio(this.sound);
    if (audio.readyState > 0) audio.currentTime = seconds;
    else audio.wanted = seconds; // until its length is known
  }

  toggle(sound) {
    if (this.sound === sound && this.playing) this.loaded.get(sound).pause();
    else this.select(sound, true);
  }

  pause() {
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
