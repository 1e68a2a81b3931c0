// The blend pad: three to six styles at the corners of a polygon, and a point that is dragged among them.
//
// Shares are Wachspress coordinates: they sum to 1, are a plain blend of two along an edge, and the point is the mean of
// the corners weighted by them, so that it can be found again from any shares.

const FEWEST = 3;
const MOST = 6;
const LEAST = 0.002; // share of a style that is still among those chosen
const STEP = 0.06; // of the pad's radius, an arrow key
const SEND_INTERVAL = 40; // ms
const HOLD = 400; // ms after the last drag during which the server's shares do not move the point

const REACH = 1.5; // of the pad's half, in which the corners' circle has about 1

const corner = (index, count) => {
  const radius = count === 4 ? 1.4 : 1.1; // a square fills the pad better by its corners
  const angle = ((index + 0.5) / count) * 2 * Math.PI - Math.PI / 2 - (count % 2 ? Math.PI / count : 0);
  return [radius * Math.cos(angle), radius * Math.sin(angle)];
};

const area = (a, b, c) => (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1]);

/** Shares of the corners at a point, which is first brought inside. */
export function sharesAt(point, corners) {
  const count = corners.length;
  const inside = bringInside(point, corners);
  const weights = corners.map((at, index) => {
    const [before, after] = [corners[(index + count - 1) % count], corners[(index + 1) % count]];
    return area(before, at, after) / (area(inside, before, at) * area(inside, at, after));
  });
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => Math.max(LEAST, weight / sum));
}

/** The point, moved towards the middle until it lies inside the polygon, a little off its edges. */
function bringInside(point, corners) {
  let scale = 1;
  corners.forEach((from, index) => {
    const to = corners[(index + 1) % corners.length];
    const middle = area([0, 0], from, to);
    const here = area(point, from, to);
    const least = middle * 0.003;
    if (here < least) scale = Math.min(scale, (middle - least) / (middle - here));
  });
  return [point[0] * scale, point[1] * scale];
}

export class Pad {
  constructor(root, link, nameOf) {
    Object.assign(this, { root, link, nameOf, names: [], corners: [], point: [0, 0], heldAt: -Infinity, timer: 0 });
    root.innerHTML = '<svg viewBox="-1.5 -1.5 3 3" aria-hidden="true"><polygon/></svg><div class="corners" aria-hidden="true"></div><div class="point" tabindex="0" role="slider" aria-label="Blend pad: arrow keys move the blend among its styles" aria-valuemin="0" aria-valuemax="100"></div>';
    [this.svg, this.marks, this.knob] = root.children;
    root.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      root.setPointerCapture(event.pointerId);
      this.drag(event);
    });
    root.addEventListener("pointermove", (event) => {
      if (root.hasPointerCapture(event.pointerId)) this.drag(event);
    });
    this.knob.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[event.key];
      if (!step) return;
      event.preventDefault();
      event.stopPropagation();
      this.move([this.point[0] + step[0], this.point[1] + step[1]]);
    });
  }

  /** Show a mix, if it has as many styles as a pad can hold. */
  show(mix, thumbnails) {
    this.root.hidden = mix.length < FEWEST || mix.length > MOST;
    if (this.root.hidden) return;
    const names = mix.map(([name]) => name);
    if (names.join("\n") !== this.names.join("\n")) this.build(names, thumbnails);
    if (performance.now() - this.heldAt < HOLD) return;
    this.point = [0, 1].map((axis) => mix.reduce((sum, [, weight], index) => sum + weight * this.corners[index][axis], 0));
    this.place(mix.map(([, weight]) => weight));
  }

  build(names, thumbnails) {
    this.names = names;
    const corners = names.map((_, index) => corner(index, names.length));
    const heights = corners.map(([, y]) => y);
    const middle = (Math.min(...heights) + Math.max(...heights)) / 2; // of a triangle: not where its circle's is
    this.corners = corners.map(([x, y]) => [x, y - middle]);
    this.svg.firstElementChild.setAttribute("points", this.corners.map((at) => at.join(",")).join(" "));
    this.marks.replaceChildren(...names.map((name, index) => {
      const mark = document.createElement("span");
      mark.className = "corner";
      if (thumbnails.includes(name)) {
        mark.append(Object.assign(document.createElement("img"), { src: `/thumbnails/${encodeURIComponent(name)}`, alt: "" }));
      }
      mark.append(Object.assign(document.createElement("b"), { textContent: this.nameOf(name) }));
      this.put(mark, this.corners[index]);
      return mark;
    }));
  }

  put(element, [x, y]) {
    element.style.setProperty("left", `${((x + REACH) / (2 * REACH)) * 100}%`);
    element.style.setProperty("top", `${((y + REACH) / (2 * REACH)) * 100}%`);
  }

  place(shares) {
    this.put(this.knob, this.point);
    const text = this.names.map((name, index) => `${this.nameOf(name)} ${Math.round(shares[index] * 100)} %`).join(", ");
    this.knob.setAttribute("aria-valuetext", text);
    this.knob.setAttribute("aria-valuenow", String(Math.round(shares[0] * 100)));
  }

  drag(event) {
    const box = this.root.getBoundingClientRect();
    const at = (from, length) => (from / length) * 2 * REACH - REACH;
    this.move([at(event.clientX - box.left, box.width), at(event.clientY - box.top, box.height)]);
  }

  move(point) {
    this.heldAt = performance.now();
    this.point = bringInside(point, this.corners);
    const shares = sharesAt(this.point, this.corners);
    this.place(shares);
    if (this.timer) return;
    this.timer = setTimeout(() => {
      this.timer = 0;
      const now = sharesAt(this.point, this.corners);
      this.link.send(`style ${this.names.map((name, index) => `${name}:${now[index].toFixed(4)}`).join(",")}`);
    }, SEND_INTERVAL);
  }
}
