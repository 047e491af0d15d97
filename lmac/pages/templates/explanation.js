// One recording and its explanations: what the classifier heard, a player for all sounds, and a
// card for each explanation. The page of explain.py and the app show it from the same data
// (lmac.pages.explanation_page).
const STEP_S = 1;
const LONG_S = 10; // seconds, from which on the spectrogram can be widened

// Names of classes as people write them.
function plain(name) {
  return name.replaceAll("_", " ");
}

function fileLink(name, url, title = "") {
  const of = title ? `, ${title}` : "";
  return element("a", { href: url, download: name, attributes: { "aria-label": `${name}${of}` } },
    name);
}

class Result {
  // place: element; ask(class name), if given, is offered beside each class; paint(painting), if
  // given, promises what the server says of a mask that is painted.
  constructor(place, ask = null, paint = null) {
    this.place = place;
    this.ask = ask;
    this.paint = paint;
    this.data = null;
    this.player = new Player(() => this.refresh(), (sound, at) => this.move(at));
    document.addEventListener("keydown", (event) => this.key(event));
  }

  // Once more for the same recording: what is new is added.
  show(data) {
    if (!this.data || this.data.spectrogram !== data.spectrogram) this.start(data);
    if (this.drawn && data.drawn) this.drawn.replaceChildren(fileLink("timeline.png", data.drawn));
    for (const explanation of data.explanations) {
      const key = JSON.stringify([explanation.method, explanation.asked]);
      const card = this.cards.find((other) => other.key === key) || this.add(explanation, key);
      if (card.downloads.childElementCount !== explanation.files.length) {
        card.downloads.replaceChildren("Files: ", ...explanation.files.map(({ name, url }) =>
          fileLink(name, url, card.title)));
      }
    }
    this.refresh();
  }

  // As before the first recording.
  clear() {
    this.player.pause();
    this.player.sound = null;
    this.player.release(null);
    this.data = this.selected = this.painter = null;
    this.cards = [];
    this.place.replaceChildren();
  }

  start(data) {
    this.clear();
    this.data = data;
    this.selected = this.drawn = this.timelineCursor = null;
    this.heading = this.classes();
    this.bar = this.transport();
    this.list = element("div", { id: "cards" });
    this.painter = this.paint && data.paintable ? new Painter(this, this.paint) : null;
    this.place.replaceChildren(this.heading, this.bar, this.list,
      ...(this.painter ? [this.painter.element] : []));
  }

  // --- what the classifier heard ---

  classes() {
    const { name, seconds, top } = this.data;
    const list = element("ol", { className: "classes" });
    for (const { name: label, p } of top) {
      const bar = element("span", { className: "bar", ariaHidden: "true" }, element("span", {}));
      bar.firstChild.style.width = `${100 * p}%`;
      const line = element("li", {}, element("span", { className: "name" }, plain(label)), bar,
        element("span", { className: "number" }, p.toFixed(3)));
      if (this.ask) {
        const button = element("button", {
          type: "button", attributes: { "aria-label": `Explain ${plain(label)}` },
        }, "Explain");
        button.addEventListener("click", () => this.ask(label));
        line.append(button);
      }
      list.append(line);
    }
    const section = element("section", { className: "heard" },
      element("h2", { className: "name" }, `${name}: ${plain(top[0].name)}, p = ${top[0].p.toFixed(3)}`),
      element("p", { className: "soft" }, `${seconds.toFixed(1)} s. The most probable classes` +
        (this.data.windows.length > 1 ? `, mean over ${this.data.windows.filter((w) => w.votes).length} windows:` : ":")),
      list);
    if (this.data.windows.length > 1) section.append(this.timeline());
    return section;
  }

  timeline() {
    const { windows, edges, seconds, rows } = this.data;
    const names = element("div", { className: "names", ariaHidden: "true" });
    const cells = element("div", { className: "cells", role: "img",
      ariaLabel: "Probabilities over time; as text below" });
    rows.forEach((name, number) => {
      names.append(element("div", { title: plain(name) }, plain(name)));
      const row = element("div", { className: "row" });
      windows.forEach((window, i) => {
        const cell = element("span", { className: window.votes ? "" : "quiet" });
        cell.style.left = `${100 * edges[i] / seconds}%`;
        cell.style.width = `${100 * (edges[i + 1] - edges[i]) / seconds}%`;
        if (window.votes) cell.style.opacity = window.p[number];
        row.append(cell);
      });
      cells.append(row);
    });
    this.timelineCursor = element("div", { className: "cursor", hidden: true });
    cells.append(this.timelineCursor);
    cells.addEventListener("click", (event) => {
      const box = cells.getBoundingClientRect();
      this.seek(seconds * (event.clientX - box.left) / box.width);
    });
    this.drawn = element("p", { className: "downloads" });
    const text = element("details", {}, element("summary", {}, "The windows as text"),
      element("ul", { tabIndex: 0, attributes: { role: "list", "aria-label": "Windows" } },
        ...this.data.timeline.map((line) => element("li", {}, line))));
    return element("figure", { className: "timeline" },
      element("figcaption", {}, `Over time, ${rows.length} classes, each that ` +
        "is the decision somewhere among them: the darker, the more probable; hatched is next to " +
        "silent and does not vote. A click goes there."),
      element("div", { className: "rows" }, names, cells), text, this.drawn);
  }

  // --- the player ---

  transport() {
    const { seconds } = this.data;
    const range = (label, value, max, step, changed) => {
      const input = element("input", { type: "range", min: 0, max, step, value });
      input.addEventListener("input", () => changed(Number(input.value)));
      return [input, element("label", {}, label, input)];
    };
    const box = (label, changed) => {
      const input = element("input", { type: "checkbox" });
      input.addEventListener("change", () => changed(input.checked));
      return [input, element("label", {}, input, label)];
    };
    this.play = element("button", { type: "button", className: "main play" });
    this.play.addEventListener("click", () => this.selected && this.player.toggle(this.selected));
    // One large switch for the explanation that was chosen last.
    this.parts = {};
    for (const [name, label] of [["input", "input"], ["explanation", "kept"], ["removed", "removed"]]) {
      const button = element("button", { type: "button" }, label);
      button.addEventListener("click", () => this.choose(this.selected && this.selected.card, name));
      this.parts[name] = button;
    }
    this.position = element("input", {
      type: "range", className: "seek", min: 0, max: seconds, step: 0.01, value: 0,
      attributes: { "aria-label": "Position" },
    });
    this.position.addEventListener("input", () => this.seek(Number(this.position.value)));
    this.time = element("output", {});
    this.what = element("p", { className: "soft name" });
    const [volume, volumeLabel] = range("Volume", 1, 1, 0.01, (value) => {
      this.player.volume = value;
      this.player.setLevels();
    });
    const [match, matchLabel] = box("Match loudness", (on) => {
      this.player.matched = on;
      this.player.setLevels();
      this.refresh();
    });
    const [loop, loopLabel] = box("Loop", (on) => this.player.setLoop(on));
    const [mask, maskLabel] = range("Mask", 0.7, 1, 0.01, () => this.maps());
    mask.id = "opacity";
    const [zoom, zoomLabel] = range("Zoom", 1, Math.max(1, seconds / 5), 0.1, () => this.maps());
    zoom.min = 1;
    zoomLabel.hidden = seconds <= LONG_S;
    Object.assign(this, { volume, match, loop, mask, zoom });
    const line = (...parts) => element("div", { className: "line" }, ...parts);
    this.player.volume = 1;
    this.player.matched = this.player.loop = false;
    return element("section", { id: "player", attributes: { "aria-label": "Player" } },
      line(this.play, element("div", { className: "parts", attributes: { role: "group",
        "aria-label": "What plays" } }, ...Object.values(this.parts)), this.position, this.time),
      line(volumeLabel, matchLabel, loopLabel, maskLabel, zoomLabel), this.what);
  }

  seek(seconds) {
    if (!this.selected) return;
    if (this.player.sound !== this.selected) this.player.select(this.selected, false);
    this.player.seek(Math.min(this.data.seconds, Math.max(0, seconds)));
    this.move(seconds);
  }

  maps() {
    for (const { map } of this.cards) {
      map.setOpacity(this.mask.value);
      map.zoom(Number(this.zoom.value));
    }
  }

  move(at) {
    this.position.value = at;
    this.position.setAttribute("aria-valuetext", `${at.toFixed(1)} of ${this.data.seconds.toFixed(1)} s`);
    this.time.textContent = `${clock(at)} / ${clock(this.data.seconds)}`;
    this.cards.forEach(({ map }) => map.moveTo(at));
    if (this.timelineCursor) {
      this.timelineCursor.hidden = false;
      this.timelineCursor.style.left = `${100 * Math.min(1, at / this.data.seconds)}%`;
    }
  }

  refresh() {
    if (!this.data) return;
    if (this.player.sound) this.selected = this.player.sound;
    const playing = this.player.playing;
    this.play.disabled = this.position.disabled = !this.selected;
    for (const [name, button] of Object.entries(this.parts)) {
      const there = this.selected && this.selected.card.sounds.some((s) => s.name === name);
      button.disabled = !there;
      button.setAttribute("aria-pressed", Boolean(there && this.selected.name === name));
    }
    this.play.textContent = playing ? "❚❚ Pause" : "▶ Play";
    for (const card of this.cards) {
      card.article.classList.toggle("sounding", card.sounds.includes(this.selected));
      for (const sound of card.sounds) {
        const on = sound === this.selected;
        sound.button.setAttribute("aria-pressed", on);
        sound.mark.textContent = on && playing ? "❚❚ " : "▶ ";
        sound.levelText.textContent = sound.level === null ? "silent"
          : `${(sound.level + (this.player.matched ? 20 * Math.log10(sound.gain) : 0)).toFixed(0)} dB`
            .replace("-", "−");
      }
    }
    const { selected } = this;
    this.what.textContent = !selected ? "" : selected.failed
      ? `Cannot load ${selected.url}: are the files still beside this page?`
      : `${selected.card.title}: ${selected.name}` +
        (volumeWorks() ? "" : ". This device fixes the volume of pages.");
    if (!this.player.sound) this.move(0);
  }

  // --- a card for each explanation ---

  add(explanation, key) {
    const of = explanation.explained ? plain(explanation.explained) : "each window's decision";
    const title = `${explanation.method} for ${of}`;
    const card = { key, title, sounds: [] };
    const buttons = element("div", { className: "buttons" });
    for (const name of ["input", "explanation", "removed"]) {
      const sound = explanation.sounds[name];
      if (!sound) continue;
      Object.assign(sound, { group: this.data, name, card });
      sound.mark = element("span", {});
      sound.levelText = element("span", { className: "level" });
      sound.button = element("button", {
        type: "button", className: name, attributes: { "aria-label": `Play ${name}, ${title}` },
      }, sound.mark, name, sound.levelText);
      sound.button.addEventListener("click", () => this.player.toggle(sound));
      buttons.append(sound.button);
      card.sounds.push(sound);
    }
    if (!card.sounds.length) {
      buttons.append(element("p", { className: "soft" },
        "No audio: explanations in this domain cannot be turned into sound."));
    }
    card.map = new Spectrogram({
      input: this.data.spectrogram, mask: explanation.mask, seconds: this.data.seconds,
      ...this.data.axis,
      alt: `Spectrogram of ${this.data.name}, with the mask of ${title} laid over it`,
    }, (seconds) => {
      if (this.player.sound === null && card.sounds.length) this.selected = card.sounds[1];
      this.seek(seconds);
    });
    card.downloads = element("p", { className: "downloads" });
    const heading = `card-${this.cards.length + 1}`;
    card.article = element("article", {
      className: "explained", attributes: { "aria-labelledby": heading },
    }, element("h2", { id: heading, className: "name" }, title +
        (explanation.asked === null ? "" : " (asked)")),
      element("p", { className: "name words" }, explanation.words),
      element("p", { className: "name soft numbers" }, explanation.sentence), buttons, card.map.element,
      card.downloads);
    this.cards.push(card);
    this.list.append(card.article);
    if (this.painter) {
      const { method, asked } = explanation;
      this.painter.offer({ method, asked }, title, explanation.mask);
    }
    this.maps();
    if (card.sounds.length) {
      if (!this.selected) [this.selected] = card.sounds; // the input
      if (!this.player.playing) this.player.prepare(card.sounds);
    }
    return card;
  }

  // Play a part of an explanation, from where the one before was.
  choose(card, part) {
    const sound = card && card.sounds.find((s) => s.name === part);
    if (sound) this.player.select(sound, true);
  }

  // --- keys ---

  key(event) {
    const on = event.target;
    if (!this.selected || event.ctrlKey || event.metaKey || event.altKey) return;
    // What a control does with a key itself stays its own; space always plays.
    if (on.matches("select, textarea, input[type=text], input[type=file]")) return;
    if (event.key === " " && on.matches("button, input[type=checkbox], summary, a")) return;
    if (event.key.startsWith("Arrow") && on.matches("input, .scroll, ul")) return;
    const { card, name } = this.selected;
    const choose = (of, part) => this.choose(of, part);
    const at = () => (this.player.sound ? this.player.position(this.player.sound) : 0);
    const keys = {
      " ": () => this.player.toggle(this.selected),
      0: () => choose(card, "input"),
      r: () => choose(card, name === "removed" ? "explanation" : "removed"),
      ArrowLeft: () => this.seek(at() - STEP_S),
      ArrowRight: () => this.seek(at() + STEP_S),
      l: () => this.loop.click(),
      m: () => this.match.click(),
    };
    for (let i = 1; i <= 9; i++) {
      keys[i] = () => choose(this.cards[i - 1], name === "removed" ? "removed" : "explanation");
    }
    if (!Object.hasOwn(keys, event.key)) return;
    event.preventDefault();
    keys[event.key]();
  }
}
