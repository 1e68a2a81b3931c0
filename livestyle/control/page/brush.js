// A mask painted with a finger on the picture: grey levels of a small canvas, sent as they change.

const LONGER = 160; // levels, the longer side of the mask
const SEND_INTERVAL = 120; // ms between masks while a stroke goes on

export class Brush {
  /** `say(text)` tells of what was refused. */
  constructor({ button, bar, canvas, style, size, erase, clear, preview }, link, nameOf, say) {
    Object.assign(this, { button, bar, canvas, style, size, erase, preview, link, nameOf, say });
    Object.assign(this, { isOn: false, isErasing: false, isUsed: false, last: null, timer: 0, busy: false });
    button.addEventListener("click", () => this.turn(!this.isOn));
    erase.addEventListener("click", () => {
      this.isErasing = !this.isErasing;
      erase.setAttribute("aria-pressed", String(this.isErasing));
    });
    clear.addEventListener("click", () => this.clear());
    style.addEventListener("change", () => {
      if (this.isUsed) link.send(`region painted=${style.value}`);
      style.blur();
    });
    canvas.addEventListener("pointerdown", (event) => this.begin(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => this.end());
  }

  turn(isOn) {
    this.isOn = isOn;
    this.button.setAttribute("aria-pressed", String(isOn));
    this.canvas.hidden = !isOn;
    this.bar.hidden = !isOn;
    if (isOn) this.fit();
  }

  /** The mask has the picture's shape. */
  fit() {
    const { width, height } = this.preview;
    const scale = LONGER / Math.max(width, height, 1);
    const size = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
    if (this.canvas.width !== size[0] || this.canvas.height !== size[1]) [this.canvas.width, this.canvas.height] = size;
  }

  show(styles, regions, current) {
    if ([...this.style.options].map((option) => option.value).join("\n") !== styles.join("\n")) {
      const chosen = this.style.value || styles.find((style) => style !== current) || styles[0];
      this.style.replaceChildren(...styles.map((style) => new Option(this.nameOf(style), style)));
      if (styles.includes(chosen)) this.style.value = chosen;
    }
    this.isUsed = regions.some((region) => region.mask === "painted");
  }

  /** Where an event lies on the mask; in full screen the picture has bars around it. */
  place(event) {
    const box = this.canvas.getBoundingClientRect();
    const scale = Math.min(box.width / this.canvas.width, box.height / this.canvas.height);
    return [
      (event.clientX - box.left - (box.width - this.canvas.width * scale) / 2) / scale,
      (event.clientY - box.top - (box.height - this.canvas.height * scale) / 2) / scale,
    ];
  }

  begin(event) {
    event.preventDefault();
    this.canvas.setPointerCapture(event.pointerId);
    this.last = this.place(event);
    this.canvas.classList.add("drawing");
    this.stroke(this.last);
  }

  move(event) {
    if (this.last) this.stroke(this.place(event));
  }

  end() {
    this.last = null;
    this.canvas.classList.remove("drawing");
  }

  stroke(to) {
    const pen = this.canvas.getContext("2d", { willReadFrequently: true });
    pen.globalCompositeOperation = this.isErasing ? "destination-out" : "source-over";
    Object.assign(pen, { lineWidth: Number(this.size.value), lineCap: "round", strokeStyle: "#f0b958" });
    pen.beginPath();
    pen.moveTo(...this.last);
    pen.lineTo(to[0] + 0.01, to[1]);
    pen.stroke();
    this.last = to;
    if (!this.timer) this.timer = setTimeout(() => this.flush(), SEND_INTERVAL);
  }

  clear() {
    this.canvas.getContext("2d").clearRect(0, 0, this.canvas.width, this.canvas.height);
    if (this.isUsed) this.link.send("region painted=off");
    this.flush();
  }

  async flush() {
    this.timer = 0;
    const { width, height } = this.canvas;
    const pixels = this.canvas.getContext("2d", { willReadFrequently: true }).getImageData(0, 0, width, height).data;
    const levels = new Uint8Array(width * height);
    for (let index = 0; index < levels.length; index += 1) levels[index] = pixels[4 * index + 3];
    try {
      const answer = await fetch(`/api/mask?width=${width}&height=${height}`, { method: "POST", body: levels });
      if (!answer.ok) this.say((await answer.json()).error);
      else if (!this.isUsed && levels.some(Boolean)) this.link.send(`region painted=${this.style.value}`);
    } catch {
      this.say("livestyle is not there: the page connects again by itself");
    }
  }
}
