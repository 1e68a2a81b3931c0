// A blend of any number of styles: one slider for each, and cards that add and remove.

import { bindSlider, percent, setText, showSlider } from "./sliders.js";

const LEAST = 1; // percent; a style leaves the blend by its card, not by its slider

const commandOf = (mix) => `style ${mix.map(([name, weight]) => `${name}:${weight.toFixed(4)}`).join(",")}`;

/** The command that adds a style with an equal share, or takes it out; "" when it is the only one. */
export function toggleStyle(mix, style) {
  const rest = mix.filter(([name]) => name !== style);
  if (!rest.length) return "";
  if (rest.length < mix.length) return commandOf(rest);
  return commandOf([...rest, [style, 1 / rest.length]]);
}

/** The command that gives a style `share` percent and leaves the others in their proportions. */
export function shareCommand(mix, style, share) {
  const others = mix.filter(([name]) => name !== style).reduce((sum, [, weight]) => sum + weight, 0);
  const left = (100 - share) / others;
  return commandOf(mix.map(([name, weight]) => [name, name === style ? share : weight * left]));
}

export class Mixer {
  constructor(list, link, nameOf) {
    Object.assign(this, { list, link, nameOf, mix: [], rows: new Map() });
  }

  show(mix) {
    this.mix = mix;
    const names = mix.map(([name]) => name);
    for (const name of names) if (!this.rows.has(name)) this.rows.set(name, this.make(name));
    for (const name of [...this.rows.keys()]) if (!names.includes(name)) this.rows.delete(name);
    const rows = names.map((name) => this.rows.get(name));
    const isNew = rows.length !== this.list.children.length || rows.some((row, index) => row !== this.list.children[index]);
    if (isNew) this.list.replaceChildren(...rows);
    for (const [name, weight] of mix) {
      const slider = this.rows.get(name).querySelector("input");
      slider.disabled = mix.length < 2;
      showSlider(slider, Math.round(weight * 100), percent(weight * 100));
      setText(this.rows.get(name).querySelector("output"), percent(Number(slider.value)));
    }
  }

  make(name) {
    const row = document.createElement("div");
    row.className = "slider";
    const id = `mix-${name}`;
    const line = Object.assign(document.createElement("div"), { className: "line" });
    const label = Object.assign(document.createElement("label"), { htmlFor: id, textContent: this.nameOf(name) });
    const output = Object.assign(document.createElement("output"), { htmlFor: id });
    const slider = Object.assign(document.createElement("input"), { type: "range", id, min: LEAST, max: 100 - LEAST });
    line.append(label, output);
    row.append(line, slider);
    bindSlider(slider, output, this.link, (share) => shareCommand(this.mix, name, share));
    return row;
  }
}
