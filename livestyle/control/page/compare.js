// Before and after: the source beside the painting. Its pictures come only while this is on.

import { Pictures, drawWhole } from "./pictures.js";

export class Compare {
  constructor({ button, canvas, slider, badge, frame }) {
    Object.assign(this, { button, canvas, slider, badge, frame, isOn: false });
    this.pictures = new Pictures("source", (bitmap) => drawWhole(canvas, bitmap));
    button.addEventListener("click", () => this.turn(!this.isOn));
    slider.addEventListener("input", () => this.place());
  }

  turn(isOn) {
    this.isOn = isOn;
    this.button.setAttribute("aria-pressed", String(isOn));
    for (const element of [this.canvas, this.slider, this.badge]) element.hidden = !isOn;
    this.frame.classList.toggle("comparing", isOn);
    this.place();
    this.follow(true);
  }

  follow(isLinked) {
    if (this.isOn && isLinked && !document.hidden) this.pictures.start();
    else this.pictures.stop();
  }

  place() {
    const share = this.slider.value / 10;
    this.frame.style.setProperty("--cut", `${share}%`);
    this.slider.setAttribute("aria-valuetext", `${Math.round(share)} % source`);
  }
}
