// The wall: every style on the live picture. Tiles are cut from one sheet, which comes only while the wall is open.

import { Pictures } from "./pictures.js";

const COLUMNS = 4; // tiles side by side on a sheet
const GRIDS = [[6, 4], [5, 3], [6, 3], [4, 2]]; // columns beside the panel, and how many of them the live picture takes; the flattest first

/** The grid whose last row has the fewest empty cells. */
function chooseGrid(count) {
  const empty = ([columns, span]) => {
    const cells = count + span * span;
    return columns * Math.max(span, Math.ceil(cells / columns)) - cells;
  };
  return GRIDS.reduce((best, grid) => (empty(grid) < empty(best) ? grid : best));
}

export class Wall {
  /** `choose(event, style)` hears taps. */
  constructor({ button, view, list }, choose, nameOf) {
    Object.assign(this, { button, view, list, choose, nameOf, styles: [], isOpen: false });
    this.sheets = new Pictures("wall", (sheet) => this.draw(sheet));
    button.addEventListener("click", () => this.open(!this.isOpen));
  }

  open(isOpen) {
    this.isOpen = isOpen;
    this.button.setAttribute("aria-pressed", String(isOpen));
    this.list.hidden = !isOpen;
    document.body.classList.toggle("walled", isOpen);
    this.follow(true);
  }

  /** Pictures come while the wall is open and somebody sees the page. */
  follow(isLinked) {
    if (this.isOpen && isLinked && !document.hidden) this.sheets.start();
    else this.sheets.stop();
  }

  show(styles, mix) {
    if (styles.join("\n") !== this.styles.join("\n")) {
      this.styles = styles;
      const [columns, span] = chooseGrid(styles.length);
      this.view.style.setProperty("--columns", String(columns));
      this.view.style.setProperty("--span", String(span));
      this.list.replaceChildren(...styles.map((style) => this.make(style)));
    }
    const weights = new Map(mix);
    for (const tile of this.list.children) {
      const weight = weights.get(tile.dataset.tile) ?? 0;
      tile.setAttribute("aria-pressed", weight > 0.999 ? "true" : weight > 0 ? "mixed" : "false");
    }
  }

  make(style) {
    const tile = Object.assign(document.createElement("button"), { type: "button", className: "tile" });
    tile.dataset.tile = style;
    const picture = Object.assign(document.createElement("canvas"), { width: 192, height: 108 });
    picture.setAttribute("aria-hidden", "true");
    const name = Object.assign(document.createElement("span"), { className: "name", textContent: this.nameOf(style) });
    tile.append(picture, name);
    tile.addEventListener("click", (event) => this.choose(event, style));
    return tile;
  }

  draw(sheet) {
    const width = sheet.width / COLUMNS;
    const height = sheet.height / Math.ceil(this.styles.length / COLUMNS);
    if (!Number.isInteger(height)) return; // styles came or went; the next sheet fits again
    [...this.list.children].forEach((tile, index) => {
      const canvas = tile.firstElementChild;
      if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
      const [left, top] = [(index % COLUMNS) * width, Math.floor(index / COLUMNS) * height];
      canvas.getContext("2d", { alpha: false }).drawImage(sheet, left, top, width, height, 0, 0, width, height);
    });
    this.list.classList.add("drawn");
  }
}
