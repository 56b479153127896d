// SPDX-License-Identifier: Apache-2.0
// The vocabulary as suggestions below the prompt: a listbox that arrow keys walk (ARIA combobox).

const MOST = 9;
const USUAL = ["pleural effusion", "cardiomegaly", "pneumothorax", "consolidation"];

/** Prompts for every finding, the usual ones first. */
export function prompts(caps) {
  const names = [...USUAL, ...Object.keys(caps.findings).filter((n) => !USUAL.includes(n))];
  const found = [];
  for (const name of names.filter((n) => caps.findings[n])) {
    const sided = caps.findings[name].region.some(([, side]) => side === "named");
    const places = sided ? ["left ", "right ", "bilateral "] : [""];
    for (const severity of ["moderate ", "mild ", "severe "]) {
      for (const place of places) found.push({ text: `${severity}${place}${name}`, name });
    }
    found.push({ text: `no ${name}`, name });
  }
  return found;
}

export class Suggestions {
  constructor(input, list, caps) {
    [this.input, this.list] = [input, list];
    this.all = prompts(caps);
    this.unproven = new Set(caps.unproven_findings);
    this.chosen = -1;
    input.addEventListener("input", () => this.open());
    input.addEventListener("focus", () => this.open());
    input.addEventListener("blur", () => this.close());
    input.addEventListener("keydown", (event) => this.key(event));
  }

  matching() {
    const asked = this.input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = this.all.filter(({ text }) => asked.every((word) =>
      text.split(" ").some((part) => part.startsWith(word))));
    if (asked.length) return fits.slice(0, MOST);
    const names = new Set();
    return fits.filter(({ name }) => !names.has(name) && names.add(name)).slice(0, MOST);
  }

  open() {
    const found = this.matching();
    const done = found.length === 1 && found[0].text === this.input.value;
    this.chosen = -1;
    this.list.replaceChildren(...found.map(({ text, name }, index) => {
      const row = document.createElement("li");
      row.id = `suggestion-${index}`;
      row.setAttribute("role", "option");
      row.setAttribute("aria-selected", "false");
      row.dataset.text = text;
      row.textContent = text;
      if (this.unproven.has(name)) {
        const mark = document.createElement("small");
        mark.textContent = "unproven";
        row.append(mark);
      }
      // Not "click": the input would lose the focus first and close the list.
      row.addEventListener("pointerdown", (event) => {
        event.preventDefault();
        this.choose(row);
      });
      return row;
    }));
    this.shown(found.length > 0 && !done);
  }

  key(event) {
    const rows = [...this.list.children];
    if (event.key === "Escape") this.close();
    if (event.key === "Enter" && !this.list.hidden && this.chosen >= 0) {
      event.preventDefault();
      this.choose(rows[this.chosen]);
    } else if (event.key === "Enter") {
      this.close();
    }
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    event.preventDefault();
    if (this.list.hidden) this.open();
    else this.mark((this.chosen + (event.key === "ArrowDown" ? 1 : rows.length)) % rows.length);
  }

  mark(index) {
    this.chosen = index;
    [...this.list.children].forEach((row, at) => {
      row.setAttribute("aria-selected", String(at === index));
      if (at === index) row.scrollIntoView({ block: "nearest" });
    });
    this.input.setAttribute("aria-activedescendant", `suggestion-${index}`);
  }

  choose(row) {
    this.input.value = row.dataset.text;
    this.input.dispatchEvent(new Event("input"));
    this.close();
  }

  close() {
    this.shown(false);
  }

  shown(on) {
    this.list.hidden = !on;
    this.input.setAttribute("aria-expanded", String(on));
    if (!on) this.input.removeAttribute("aria-activedescendant");
  }
}
