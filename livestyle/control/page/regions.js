// Parts of the picture in styles of their own: two lists to choose from, and one button for each part that removes it.

const PARTS = {
  left: "Left half", right: "Right half", top: "Top half", bottom: "Bottom half", circle: "Circle",
  person: "Person", background: "Background", painted: "Painted by hand",
};

const partName = (mask) => PARTS[mask] ?? mask.split("/").pop();

export class Regions {
  constructor({ part, style, add, list }, link, nameOf) {
    Object.assign(this, { part, style, list, link, nameOf, shown: "" });
    add.addEventListener("click", () => link.send(`region ${part.value}=${style.value}`));
    for (const select of [part, style]) select.addEventListener("change", () => select.blur());
  }

  show(masks, styles, regions) {
    fill(this.part, masks, partName);
    fill(this.style, styles, this.nameOf);
    const shown = JSON.stringify(regions);
    if (shown === this.shown) return;
    this.shown = shown;
    this.list.replaceChildren(...regions.map((region) => this.make(region)));
    this.list.hidden = !regions.length;
  }

  make({ mask, mix }) {
    const what = `${partName(mask)}: ${mix.map(([name]) => this.nameOf(name)).join(" + ")}`;
    const chip = Object.assign(document.createElement("button"), { type: "button", className: "part", textContent: what });
    chip.dataset.mask = mask;
    chip.title = "Take this part away";
    chip.setAttribute("aria-label", `Take away ${what}`);
    chip.addEventListener("click", () => this.link.send(`region ${mask}=off`));
    const item = document.createElement("li");
    item.append(chip);
    return item;
  }
}

/** Fill a <select>, keeping its choice, unless it has these options already. */
function fill(select, values, nameOf) {
  if ([...select.options].map((option) => option.value).join("\n") === values.join("\n")) return;
  const chosen = select.value;
  select.replaceChildren(...values.map((value) => new Option(nameOf(value), value)));
  if (values.includes(chosen)) select.value = chosen;
}
