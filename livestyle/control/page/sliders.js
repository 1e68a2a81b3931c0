// Sliders that send commands while they are dragged, and follow the server when they are not.

const SEND_INTERVAL = 40; // ms between commands of a dragged slider
const HOLD = 400; // ms after the last drag during which the server's value does not move the slider

const dragged = new Map(); // slider -> time of its last movement

export const percent = (value) => `${Math.round(value)} %`;

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Move a slider to what the server says, unless the user holds it. `text` is what a screen reader reads. */
export function showSlider(slider, value, text) {
  if (performance.now() - (dragged.get(slider) ?? -Infinity) < HOLD) return;
  slider.value = String(value);
  paintSlider(slider, text);
}

function paintSlider(slider, text) {
  slider.style.setProperty("--value", `${(100 * (slider.value - slider.min)) / (slider.max - slider.min)}%`);
  slider.setAttribute("aria-valuetext", text);
}

/** `commandFor` makes the command line of a value, `say` its text. */
export function bindSlider(slider, output, link, commandFor, say = percent) {
  let timer = 0;
  const flush = () => {
    timer = 0;
    link.send(commandFor(Number(slider.value)));
  };
  slider.addEventListener("input", () => {
    dragged.set(slider, performance.now());
    setText(output, say(Number(slider.value)));
    paintSlider(slider, say(Number(slider.value)));
    if (!timer) timer = setTimeout(flush, SEND_INTERVAL);
  });
  slider.addEventListener("pointerup", () => slider.blur());
}
