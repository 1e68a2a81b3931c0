// The last minute, drawn: frames a second, and the milliseconds of each stage on top of each other.

const KEPT = 240; // states, four a second
const TOTALS = /^(paint|write |fit$)/; // what holds other stages, or runs beside them
export const COLORS = ["#e0a030", "#5aa9e6", "#7fc97f", "#e76f51", "#b07aa1", "#4fb9af", "#d4a5a5", "#9c9ede", "#c7b15a", "#8d99ae"];

export class Plot {
  constructor(canvas) {
    Object.assign(this, { canvas, samples: [], names: [], last: null });
  }

  colorOf(name) {
    const index = this.names.indexOf(name);
    return index < 0 ? "" : COLORS[index % COLORS.length];
  }

  add(report) {
    const now = performance.now();
    const stages = Object.entries(report.stages_ms ?? {}).filter(([name]) => !TOTALS.test(name));
    for (const [name] of stages) if (!this.names.includes(name)) this.names.push(name);
    if (!this.last) { // nothing to count from yet
      this.last = { now, frames: report.frames_out, fps: report.fps };
      return;
    }
    const fps = now > this.last.now ? ((report.frames_out - this.last.frames) * 1000) / (now - this.last.now) : 0;
    if (now - this.last.now > 900) this.last = { now, frames: report.frames_out, fps };
    this.samples.push({ fps: this.last.fps, stages: Object.fromEntries(stages.map(([name, time]) => [name, time.p50 ?? 0])) });
    if (this.samples.length > KEPT) this.samples.shift();
  }

  draw() {
    const ratio = devicePixelRatio || 1;
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    if (!width) return;
    Object.assign(this.canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
    const pen = this.canvas.getContext("2d");
    const style = getComputedStyle(this.canvas);
    pen.scale(ratio, ratio);
    pen.font = `11px ${style.fontFamily}`;
    const ink = style.color;
    const left = 44;
    this.drawRate(pen, ink, { left, right: width - 2, top: 6, bottom: height * 0.34 });
    this.drawStages(pen, ink, { left, right: width - 2, top: height * 0.46, bottom: height - 6 });
  }

  drawScale(pen, ink, box, most, unit) {
    pen.globalAlpha = 0.85;
    pen.fillStyle = ink;
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    pen.fillText(`${Math.round(most)} ${unit}`, box.left - 6, box.top + 4);
    pen.fillText("0", box.left - 6, box.bottom - 3);
    pen.globalAlpha = 0.25;
    pen.fillRect(box.left, box.bottom, box.right - box.left, 1);
    pen.fillRect(box.left, box.top, box.right - box.left, 1);
    pen.globalAlpha = 1;
  }

  place(box, index) {
    return box.right - ((this.samples.length - 1 - index) / (KEPT - 1)) * (box.right - box.left);
  }

  drawRate(pen, ink, box) {
    const most = Math.max(30, ...this.samples.map((sample) => sample.fps));
    this.drawScale(pen, ink, box, most, "fps");
    pen.strokeStyle = ink;
    pen.lineWidth = 1.5;
    pen.beginPath();
    this.samples.forEach((sample, index) => {
      pen.lineTo(this.place(box, index), box.bottom - (sample.fps / most) * (box.bottom - box.top));
    });
    pen.stroke();
  }

  drawStages(pen, ink, box) {
    const sums = this.samples.map((sample) => Object.values(sample.stages).reduce((sum, time) => sum + time, 0));
    const most = Math.max(10, ...sums);
    this.drawScale(pen, ink, box, most, "ms");
    const below = this.samples.map(() => 0);
    for (const name of this.names) {
      pen.beginPath();
      const edge = (index) => box.bottom - (below[index] / most) * (box.bottom - box.top);
      this.samples.forEach((_, index) => pen.lineTo(this.place(box, index), edge(index)));
      this.samples.forEach((sample, index) => { below[index] += sample.stages[name] ?? 0; });
      for (let index = this.samples.length - 1; index >= 0; index -= 1) pen.lineTo(this.place(box, index), edge(index));
      pen.fillStyle = this.colorOf(name);
      pen.fill();
    }
  }
}
