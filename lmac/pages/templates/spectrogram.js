// A spectrogram with its axes, a mask laid over it, and a cursor; a click on it seeks.
// map: {input, mask, seconds, top, unit, alt}: addresses of two pictures without axes, of which
// the mask is black and opaque where it removes (lmac.explain.figures.write_maps), the length, the
// upper end of the frequency axis and its unit ("Hz" or "mel band"), and what the picture shows;
// marks: how many there are on the time axis at most (8).
class Spectrogram {
  constructor(map, onSeek) {
    this.seconds = map.seconds;
    this.marks = map.marks || 8;
    this.input = element("img", { alt: map.alt, draggable: false, decoding: "async" });
    this.input.src = map.input;
    this.over = element("img", { alt: "", className: "mask", draggable: false, decoding: "async" });
    this.line = element("div", { className: "cursor", hidden: true });
    this.plot = element("div", { className: "plot" }, this.input, this.over, this.line);
    this.ticks = element("div", { className: "seconds", ariaHidden: "true" });
    this.scroll = element("div", { className: "scroll" },
      element("div", { className: "wide" }, this.plot, this.ticks));
    this.wide = this.scroll.firstChild;
    this.element = element("div", { className: "spectrogram" }, hertz(map), this.scroll);
    this.setMask(map.mask);
    this.zoom(1);
    const seek = (event) => {
      const box = this.plot.getBoundingClientRect();
      const share = (event.clientX - box.left) / box.width;
      onSeek(this.seconds * Math.min(1, Math.max(0, share)));
    };
    this.plot.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      // A finger that moves scrolls the page; a mouse that moves drags the cursor.
      if (event.pointerType === "mouse") this.plot.setPointerCapture(event.pointerId);
      seek(event);
    });
    this.plot.addEventListener("pointermove", (event) => {
      if (this.plot.hasPointerCapture(event.pointerId)) seek(event);
    });
  }

  setMask(url) {
    this.over.hidden = !url;
    if (url) this.over.src = url;
  }

  // From 0, the input alone, to 1, what the mask leaves of it.
  setOpacity(opacity) {
    this.over.style.opacity = opacity;
  }

  moveTo(seconds) {
    const share = Math.min(1, seconds / this.seconds);
    this.line.hidden = false;
    this.line.style.left = `${100 * share}%`;
    const at = share * this.wide.offsetWidth - this.scroll.scrollLeft;
    if (this.factor > 1 && (at < 0 || at > this.scroll.clientWidth)) {
      this.scroll.scrollLeft += at - 0.1 * this.scroll.clientWidth;
    }
  }

  // How many times wider than its place; what does not fit is scrolled to.
  zoom(factor) {
    this.factor = factor;
    this.wide.style.width = `${100 * factor}%`;
    if (factor > 1) {
      this.scroll.tabIndex = 0;
      this.scroll.role = "group";
      this.scroll.ariaLabel = "Spectrogram, wider than its place";
    } else {
      for (const name of ["tabindex", "role", "aria-label"]) this.scroll.removeAttribute(name);
    }
    const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600];
    const step = steps.find((s) => this.seconds / s <= this.marks * factor) || 1800;
    const marks = [];
    for (let i = 0; i * step <= this.seconds; i++) {
      const mark = element("span", {}, `${Number((i * step).toFixed(1))}${i ? "" : " s"}`);
      const share = i * step / this.seconds;
      mark.style.left = `${100 * share}%`;
      if (share > 0.97) mark.className = "last";
      marks.push(mark);
    }
    this.ticks.replaceChildren(...marks);
  }
}

function hertz(map) {
  const kilo = map.unit === "Hz";
  const top = kilo ? map.top / 1000 : map.top;
  const step = [0.5, 1, 2, 4, 5, 10, 20, 50, 100].find((s) => top / s <= 5) || 200;
  const axis = element("div", { className: "hertz", ariaHidden: "true" });
  for (let value = 0; value <= top; value += step) {
    const last = value + step > top;
    const mark = element("span", {}, last ? `${value} ${kilo ? "kHz" : "bands"}` : String(value));
    mark.style.bottom = `${100 * value / top}%`;
    axis.append(mark);
  }
  return axis;
}
