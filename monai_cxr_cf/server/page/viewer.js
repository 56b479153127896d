// SPDX-License-Identifier: Apache-2.0
// Pictures in, layers on the screen out: source, counterfactual behind a divider, region, change.

const MOST = 1600; // pixels of the longer side; more than a screen shows
const REGION = [127, 208, 201];
const DENSER = [255, 171, 64];
const LUCENT = [79, 168, 255];
const GAIN = 4; // a change of a quarter of the grey range is fully coloured
const at = (id) => document.getElementById(id);

export class Viewer {
  constructor() {
    this.size = [0, 0];
    this.slider = at("slider");
    this.frame = at("frame");
    this.slider.addEventListener("input", () => this.divide());
    this.frame.addEventListener("pointerdown", (event) => this.drag(event));
    this.frame.addEventListener("pointermove", (event) => event.buttons && this.drag(event));
    at("toggle-region").addEventListener("click", () => this.toggle("region"));
    at("toggle-change").addEventListener("click", () => this.toggle("change"));
    new ResizeObserver(() => this.fit()).observe(at("view"));
    document.addEventListener("keydown", (event) => this.shortcut(event));
  }

  clear() {
    at("view").classList.add("empty");
    this.hide("region", "cf", "change", "divider", "tag-source", "tag-cf", "legend");
    this.has = {};
    this.offered();
  }

  /** The radiograph; everything else goes. */
  source(picture) {
    this.clear();
    const scale = Math.min(1, MOST / Math.max(picture.width, picture.height));
    this.size = [Math.round(picture.width * scale), Math.round(picture.height * scale)];
    this.paint("source", picture);
    at("view").classList.remove("empty");
    this.fit();
  }

  /** White where the edit may act. */
  region(picture) {
    const [width, height] = this.size;
    const pixels = this.values(picture);
    const inside = (x, y) => x >= 0 && y >= 0 && x < width && y < height
      && pixels.data[4 * (y * width + x)] > 127;
    const rim = Math.max(1, Math.round(Math.max(width, height) / 400));
    const out = new ImageData(width, height);
    for (let y = 0; y < height; y += 1) {
      for (let x = 0; x < width; x += 1) {
        if (!inside(x, y)) continue;
        const edge = !(inside(x - rim, y) && inside(x + rim, y)
          && inside(x, y - rim) && inside(x, y + rim));
        out.data.set([...REGION, edge ? 255 : 46], 4 * (y * width + x));
      }
    }
    this.put("region", out);
    this.has = { ...this.has, region: true };
    this.press("region", true);
    this.offered();
  }

  /** The finished edit: counterfactual beside the divider, change in colour on demand. */
  result(cf, change) {
    this.paint("cf", cf);
    const pixels = this.values(change);
    const out = new ImageData(...this.size);
    for (let at4 = 0; at4 < pixels.data.length; at4 += 4) {
      const value = (pixels.data[at4] - 127.5) / 127.5;
      if (Math.abs(value) < 0.008) continue; // rounding of the PNG
      const alpha = Math.min(1, Math.abs(value) * GAIN);
      out.data.set([...(value > 0 ? DENSER : LUCENT), Math.round(235 * alpha)], at4);
    }
    this.put("change", out);
    this.has = { ...this.has, cf: true, change: true };
    for (const id of ["cf", "divider", "tag-source", "tag-cf"]) at(id).hidden = false;
    this.press("change", false);
    this.press("region", false);
    this.offered();
    this.slider.value = 50;
    this.divide();
  }

  divide() {
    const share = Number(this.slider.value);
    at("cf").style.clipPath = `inset(0 0 0 ${share}%)`;
    at("divider").style.left = `${share}%`;
    this.slider.setAttribute("aria-valuetext", `${share} % source`);
    at("tag-source").style.opacity = share > 18 ? 1 : 0;
  }

  drag(event) {
    if (!this.has.cf) return;
    const box = this.frame.getBoundingClientRect();
    this.slider.value = Math.round((100 * (event.clientX - box.left)) / box.width);
    this.divide();
  }

  toggle(name) {
    if (this.has[name]) this.press(name, at(`toggle-${name}`).getAttribute("aria-pressed") !== "true");
  }

  press(name, on) {
    at(`toggle-${name}`).setAttribute("aria-pressed", String(on));
    at(name).hidden = !on;
    if (name === "change") at("legend").hidden = !on;
  }

  shortcut(event) {
    if (event.target.matches("input:not([type=range]), select") || event.ctrlKey || event.metaKey) return;
    if (event.key === "r") this.toggle("region");
    if (event.key === "c") this.toggle("change");
  }

  offered() {
    at("toggle-region").hidden = !this.has.region;
    at("toggle-change").hidden = !this.has.change;
    at("slide").hidden = !this.has.cf;
  }

  hide(...names) {
    for (const name of names) at(name).hidden = true;
  }

  fit() {
    const [width, height] = this.size;
    if (!width) return;
    const box = at("view").getBoundingClientRect();
    const scale = Math.min(box.width / width, Math.max(box.height, 240) / height);
    this.frame.style.width = `${Math.floor(width * scale)}px`;
    this.frame.style.height = `${Math.floor(height * scale)}px`;
  }

  values(picture) {
    const [width, height] = this.size;
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(picture, 0, 0, width, height);
    return context.getImageData(0, 0, width, height);
  }

  paint(id, picture) {
    const canvas = at(id);
    [canvas.width, canvas.height] = this.size;
    canvas.getContext("2d").drawImage(picture, 0, 0, ...this.size);
  }

  put(id, data) {
    const canvas = at(id);
    [canvas.width, canvas.height] = this.size;
    canvas.getContext("2d").putImageData(data, 0, 0);
  }
}
