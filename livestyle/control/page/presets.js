// Presets: a button that takes each one up, a field that saves this moment under a name, and × twice to delete one.

const ARMED = 4000; // ms in which the second press on × deletes

export class Presets {
  /** `say(text, kind)` tells what happened; `giveBackKeys(event)` lets go of what was clicked with the mouse. */
  constructor({ open, form, name, save, list }, say, giveBackKeys) {
    Object.assign(this, { open, form, name, saveButton: save, list, say, giveBackKeys, names: [], timer: 0, armed: null });
    open.addEventListener("click", () => this.unfold(form.hidden));
    name.addEventListener("input", () => this.check());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.save(name.value.trim());
    });
    form.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.unfold(false);
    });
  }

  show(names = []) {
    if (names.join("\n") === this.names.join("\n")) return;
    const position = [...this.list.querySelectorAll("button")].indexOf(document.activeElement);
    this.disarm();
    this.names = names;
    this.list.replaceChildren(...names.map((name) => this.make(name)));
    this.list.hidden = !names.length;
    this.check();
    if (position >= 0) (this.list.querySelectorAll("button")[position] ?? this.open).focus(); // the keyboard stays here
  }

  make(name) {
    const recall = Object.assign(document.createElement("button"), { type: "button", className: "preset", textContent: name });
    recall.dataset.preset = name;
    recall.title = "Take this preset up";
    recall.addEventListener("click", (event) => {
      this.giveBackKeys(event);
      this.order(`preset ${name}`);
    });
    const remove = Object.assign(document.createElement("button"), { type: "button", className: "forget" });
    remove.dataset.forget = name;
    remove.addEventListener("click", (event) => this.forget(event, name));
    remove.addEventListener("blur", () => this.disarm());
    label(remove, name, false);
    const item = document.createElement("li");
    item.append(recall, remove);
    return item;
  }

  /** The first press asks, the second one deletes. */
  async forget(event, name) {
    const button = event.currentTarget;
    const isSecond = this.armed === button; // before it loses the focus, which disarms it
    this.giveBackKeys(event);
    if (!isSecond) {
      this.disarm();
      this.armed = button;
      this.timer = setTimeout(() => this.disarm(), ARMED);
      label(button, name, true);
      this.say(`Press again to delete the preset ${name}`, "info");
      return;
    }
    this.disarm();
    if (await this.order(`delete-preset ${name}`)) this.say(`Deleted the preset ${name}`, "info");
  }

  disarm() {
    clearTimeout(this.timer);
    if (this.armed) label(this.armed, this.armed.dataset.forget, false);
    this.armed = null;
  }

  unfold(isOpen) {
    this.form.hidden = !isOpen;
    this.open.setAttribute("aria-expanded", String(isOpen));
    this.name.removeAttribute("aria-invalid");
    (isOpen ? this.name : this.open).focus();
  }

  check() {
    this.name.removeAttribute("aria-invalid");
    this.saveButton.textContent = this.names.includes(this.name.value.trim()) ? "Replace" : "Save";
  }

  /** The server knows which names there can be; the field stays open with what was typed until it took one. */
  async save(name) {
    if (!name) this.say("give the preset a name");
    if (!name || !(await this.order(`save-preset ${name}`))) {
      this.name.setAttribute("aria-invalid", "true");
      return;
    }
    this.say(`Saved the preset ${name}`, "info");
    this.name.value = "";
    this.unfold(false);
  }

  /** True when the server did it. */
  async order(command) {
    try {
      const answer = await fetch("/api/command", { method: "POST", body: JSON.stringify({ command }) });
      if (!answer.ok) this.say((await answer.json()).error);
      return answer.ok;
    } catch {
      this.say("livestyle is not there: the page connects again by itself");
      return false;
    }
  }
}

function label(button, name, isArmed) {
  button.textContent = isArmed ? "Delete?" : "×";
  button.classList.toggle("armed", isArmed);
  button.title = isArmed ? "Press again to delete" : "Delete this preset";
  button.setAttribute("aria-label", isArmed ? `Press again to delete the preset ${name}` : `Delete the preset ${name}`);
}
