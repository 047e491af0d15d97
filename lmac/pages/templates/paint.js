// Paint a mask of your own on the spectrogram, see what it does to the classifier, and hear it.
// The strokes are kept in seconds and the unit of the frequency axis (lmac.pages.painting); the
// picture here is drawn of them, the mask that is scored is made of them by the server.
const PAINT_WIDTH = 1000;
const PAINT_HEIGHT = 400;
const REMOVED = "#6b7685"; // not black: silence is black, too

class Painter {
  // result: the Result whose sound is painted on; send(painting): a promise of the server's answer.
  constructor(result, send) {
    this.result = result;
    this.send = send;
    this.data = result.data;
    this.strokes = [];
    this.sounds = {};
    this.busy = this.again = false;
    const { seconds, axis } = this.data;
    this.map = new Spectrogram({
      input: this.data.spectrogram, mask: null, seconds, ...axis,
      alt: `Spectrogram of ${this.data.name}, to be painted on`,
    }, () => {});
    this.canvas = element("canvas", { width: PAINT_WIDTH, height: PAINT_HEIGHT,
      attributes: { "aria-hidden": "true" } });
    this.map.over.remove();
    this.map.plot.append(this.canvas);
    this.element = element("details", { className: "explained paint" },
      element("summary", {}, "Paint your own mask, and watch what the classifier makes of it"),
      this.tools(), this.map.element, this.numbers(), this.answer(), this.listen());
    this.element.addEventListener("toggle", () => {
      if (this.element.open && !this.asked) this.changed(true);
    });
    this.pointer();
    this.draw();
  }

  // --- what there is to press ---

  tools() {
    const choice = (name, value, label, checked) => element("label", {},
      element("input", { type: "radio", name, value, checked }), label);
    const group = (legend, ...parts) => element("fieldset", {}, element("legend", {}, legend), ...parts);
    this.size = element("input", { type: "range", min: 1, max: 20, value: 5 });
    this.startSelect = element("select", {});
    this.starts = [];
    this.offer("nothing", "nothing is kept");
    this.offer("everything", "everything is kept");
    this.startSelect.addEventListener("change", () => { this.strokes = []; this.changed(true); });
    this.undo = element("button", { type: "button" }, "Undo");
    this.undo.addEventListener("click", () => { this.strokes.pop(); this.changed(true); });
    this.clear = element("button", { type: "button" }, "Start again");
    this.clear.addEventListener("click", () => { this.strokes = []; this.changed(true); });
    return element("div", { className: "line" },
      group("Tool", choice("tool", "brush", "Brush", true), choice("tool", "rectangle", "Rectangle", false)),
      group("Paint", choice("keep", "keep", "keep", true), choice("keep", "remove", "remove", false)),
      element("label", {}, "Size", this.size), element("label", {}, "Start from", this.startSelect),
      this.undo, this.clear);
  }

  // A rectangle by its edges: what the pointer does, for the keyboard.
  numbers() {
    const { seconds, axis } = this.data;
    const field = (label, value, max, step) => {
      const input = element("input", { type: "number", min: 0, max, step, value });
      return [input, element("label", {}, label, input)];
    };
    const round = (value) => Math.round(100 * value) / 100;
    const [from, fromLabel] = field("from (s)", 0, round(seconds), 0.01);
    const [to, toLabel] = field("to (s)", round(seconds), round(seconds), 0.01);
    const [low, lowLabel] = field(`from (${axis.unit})`, 0, axis.top, 1);
    const [high, highLabel] = field(`to (${axis.unit})`, axis.top, axis.top, 1);
    const add = element("button", { type: "submit" }, "Add rectangle");
    const form = element("form", { className: "line" }, fromLabel, toLabel, lowLabel, highLabel, add);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const at = (a, b) => [Number(a.value), Number(b.value)];
      this.strokes.push({ shape: "rectangle", keep: this.keep, from: at(from, low), to: at(to, high) });
      this.changed(true);
    });
    return element("details", {}, element("summary", {}, "A rectangle by numbers"), form);
  }

  answer() {
    this.bars = {};
    const list = element("ul", { className: "bars" });
    for (const [key, label] of [["p", "input"], ["p_in", "kept"], ["p_out", "removed"]]) {
      const bar = element("span", { className: "bar", ariaHidden: "true" }, element("span", {}));
      const number = element("span", { className: "number" });
      this.bars[key] = { bar: bar.firstChild, number };
      list.append(element("li", {}, element("span", {}, label), bar, number));
    }
    this.said = element("p", { attributes: { role: "status" } });
    return element("div", {}, this.said, list);
  }

  listen() {
    this.buttons = element("div", { className: "buttons" });
    this.downloads = element("p", { className: "downloads" });
    return element("div", {}, this.buttons, this.downloads);
  }

  // Something to start from: a name of the server's, or an explanation.
  offer(start, label, mask = null) {
    const picture = mask ? element("img", { src: mask, alt: "" }) : null;
    if (picture) picture.addEventListener("load", () => this.draw());
    this.starts.push({ start, picture });
    this.startSelect.append(element("option", { value: this.starts.length - 1 }, label));
  }

  get start() {
    return this.starts[Number(this.startSelect.value)];
  }

  chosen(name) {
    return this.element.querySelector(`input[name=${name}]:checked`).value;
  }

  get keep() {
    return this.chosen("keep") === "keep";
  }

  // --- the pointer ---

  pointer() {
    const { seconds, axis } = this.data;
    const at = (event) => {
      const box = this.canvas.getBoundingClientRect();
      return [seconds * (event.clientX - box.left) / box.width,
        axis.top * (box.bottom - event.clientY) / box.height];
    };
    this.canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      event.stopPropagation();
      event.preventDefault();
      this.canvas.setPointerCapture(event.pointerId);
      const point = at(event);
      const share = this.size.value / 200;
      this.stroke = this.chosen("tool") === "rectangle"
        ? { shape: "rectangle", keep: this.keep, from: point, to: point }
        : { shape: "brush", keep: this.keep, points: [point],
            radius: [share * seconds * PAINT_HEIGHT / PAINT_WIDTH, share * axis.top] };
      this.strokes.push(this.stroke);
      this.changed(false);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (!this.stroke || !this.canvas.hasPointerCapture(event.pointerId)) return;
      if (this.stroke.shape === "rectangle") this.stroke.to = at(event);
      else this.stroke.points.push(at(event));
      this.changed(false);
    });
    const end = () => {
      if (!this.stroke) return;
      this.stroke = null;
      this.changed(true);
    };
    this.canvas.addEventListener("pointerup", end);
    this.canvas.addEventListener("pointercancel", end);
  }

  // --- the picture: veiled where it is removed ---

  draw() {
    const pen = this.canvas.getContext("2d", { willReadFrequently: true });
    const { seconds, axis } = this.data;
    const point = ([s, unit]) => [PAINT_WIDTH * s / seconds, PAINT_HEIGHT * (1 - unit / axis.top)];
    pen.globalCompositeOperation = "source-over";
    pen.clearRect(0, 0, PAINT_WIDTH, PAINT_HEIGHT);
    pen.fillStyle = pen.strokeStyle = REMOVED;
    const { start, picture } = this.start;
    if (start === "nothing") pen.fillRect(0, 0, PAINT_WIDTH, PAINT_HEIGHT);
    else if (picture && picture.complete) {
      pen.drawImage(picture, 0, 0, PAINT_WIDTH, PAINT_HEIGHT);
      pen.globalCompositeOperation = "source-in";
      pen.fillRect(0, 0, PAINT_WIDTH, PAINT_HEIGHT);
    }
    for (const stroke of this.strokes) {
      pen.globalCompositeOperation = stroke.keep ? "destination-out" : "source-over";
      if (stroke.shape === "rectangle") {
        const [[x0, y0], [x1, y1]] = [point(stroke.from), point(stroke.to)];
        pen.fillRect(Math.min(x0, x1), Math.min(y0, y1), Math.abs(x1 - x0), Math.abs(y1 - y0));
        continue;
      }
      const rx = PAINT_WIDTH * stroke.radius[0] / seconds;
      const ry = PAINT_HEIGHT * stroke.radius[1] / axis.top;
      pen.save();
      pen.scale(rx, ry);
      pen.lineWidth = 2;
      pen.lineCap = pen.lineJoin = "round";
      pen.beginPath();
      stroke.points.map(point).forEach(([x, y], i) =>
        (i ? pen.lineTo(x / rx, y / ry) : pen.moveTo(x / rx, y / ry)));
      if (stroke.points.length === 1) pen.lineTo(...((([x, y]) => [x / rx, y / ry])(point(stroke.points[0]))));
      pen.stroke();
      pen.restore();
    }
    this.undo.disabled = this.clear.disabled = !this.strokes.length;
  }

  // --- what the server says of it ---

  get painting() {
    return { start: this.start.start, strokes: this.strokes, class: this.data.asked || null };
  }

  // Draw, and ask the server: one question at a time, then the last one. `complete`: with sounds.
  async changed(complete) {
    this.draw();
    this.asked = true;
    if (this.busy) {
      this.again = complete ? "complete" : this.again || "part";
      return;
    }
    this.busy = true;
    try {
      this.show(await this.send({ ...this.painting, sounds: complete }));
    } catch (error) {
      this.said.textContent = error.message;
    }
    this.busy = false;
    const { again } = this;
    this.again = false;
    if (again) this.changed(again === "complete");
  }

  show(answer) {
    const name = answer.explained ? plain(answer.explained) : "each window's decision";
    for (const [key, { bar, number }] of Object.entries(this.bars)) {
      bar.style.width = `${100 * answer[key]}%`;
      number.textContent = answer[key].toFixed(2);
    }
    this.said.textContent = `${name}: ${answer.p.toFixed(2)} → ${answer.p_in.toFixed(2)} with ` +
      `what you keep (${(100 * answer.kept).toFixed(0)} % of the map), ` +
      `${answer.p_out.toFixed(2)} with what you remove.`;
    if (answer.sounds) this.offerSounds(answer);
  }

  offerSounds(answer) {
    const { player } = this.result;
    const playing = player.playing && Object.values(this.sounds).find((s) => s === player.sound);
    this.buttons.replaceChildren();
    const made = {};
    const card = { title: "Your mask", sounds: [] };
    for (const [name, label] of [["input", "input"], ["explanation", "kept"], ["removed", "removed"]]) {
      const sound = answer.sounds[name];
      if (!sound) continue;
      Object.assign(sound, { group: this.data, name, card });
      made[name] = sound;
      card.sounds.push(sound);
      const button = element("button", { type: "button", attributes: { "aria-label": `Play ${label}, your mask` } },
        `▶ ${label}`);
      button.addEventListener("click", () => player.toggle(sound));
      this.buttons.append(button);
    }
    this.sounds = made;
    if (playing) player.select(made[playing.name], true);
    const files = answer.files.filter(({ name }) => name !== "input.wav").map(({ name, url }) =>
      fileLink(name, url, "your mask"));
    const text = JSON.stringify(this.painting);
    files.push(fileLink("painting.json", `data:application/json,${encodeURIComponent(text)}`, "your mask"));
    files.push(fileLink("painting.png", this.picture(), "your mask"));
    this.downloads.replaceChildren("Files: ", ...files);
  }

  // The spectrogram under the mask, as a PNG.
  picture() {
    const copy = element("canvas", { width: PAINT_WIDTH, height: PAINT_HEIGHT });
    const pen = copy.getContext("2d");
    if (this.map.input.complete) pen.drawImage(this.map.input, 0, 0, PAINT_WIDTH, PAINT_HEIGHT);
    pen.globalAlpha = 0.8;
    pen.drawImage(this.canvas, 0, 0);
    return copy.toDataURL("image/png");
  }
}
