/* A figure with a chart: draws the series it is given, keeps caption and spoken summary true, follows the colour scheme. */

const KEPT = 4000; // points a line keeps before it is thinned to its extremes
const SUMMARY_PAUSE = 30000; // a screen reader hears a new summary at most this often

export class Chart {
  constructor(figure, history) {
    this.figure = figure;
    this.plot = figure.querySelector(".plot");
    this.caption = figure.querySelector("[data-now]");
    this.unit = figure.dataset.unit || "";
    this.bounds = figure.dataset.bounds ? figure.dataset.bounds.split(" ").map(Number) : null;
    this.key = figure.dataset.series;
    this.steps = [];
    this.values = [];
    this.smooth = false;
    this.spoken = 0;
    this.frame = null;
    for (const { step, value } of history) this.push(step, value);
    this.seen = this.steps.length;
    if (this.steps.length) this.draw();
    new ResizeObserver(() => this.resize()).observe(this.plot);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
  }

  push(step, value) {
    const last = this.steps.length - 1;
    if (last >= 0 && step < this.steps[last]) return;
    if (last >= 0 && step === this.steps[last]) this.values[last] = value;
    else {
      this.steps.push(step);
      this.values.push(value);
    }
    if (this.steps.length > KEPT) this.thin();
  }

  add(step, value) {
    this.push(step, value);
    this.seen += 1;
    this.figure.dataset.points = this.seen;
    if (this.caption) this.caption.textContent = format(value, this.unit);
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.draw();
      this.speak();
    });
  }

  /* Halves the points, keeping of each four neighbours the lowest and the highest. */
  thin() {
    const steps = [], values = [];
    for (let i = 0; i < this.steps.length; i += 4) {
      const group = [i, i + 1, i + 2, i + 3].filter((at) => at < this.steps.length && this.values[at] !== null);
      if (!group.length) continue;
      const low = group.reduce((a, b) => (this.values[b] < this.values[a] ? b : a));
      const high = group.reduce((a, b) => (this.values[b] > this.values[a] ? b : a));
      for (const at of new Set([Math.min(low, high), Math.max(low, high)])) {
        steps.push(this.steps[at]);
        values.push(this.values[at]);
      }
    }
    this.steps = steps;
    this.values = values;
  }

  data() {
    return this.smooth ? [this.steps, this.values, smoothed(this.values)] : [this.steps, this.values];
  }

  draw() {
    if (this.drawn) this.drawn.setData(this.data());
    else this.redraw();
    this.figure.dataset.points = this.seen;
  }

  redraw() {
    if (!this.steps.length || !this.plot.clientWidth) return;
    this.drawn?.destroy();
    this.plot.replaceChildren();
    this.drawn = new uPlot(this.options(), this.data(), this.plot);
  }

  resize() {
    const width = this.plot.clientWidth;
    if (!this.drawn) this.redraw();
    else if (width && Math.abs(width - this.drawn.width) > 1) this.drawn.setSize({ width, height: this.height() });
  }

  height() {
    return this.plot.clientHeight;
  }

  options() {
    const ink = colour(this.figure, "--line"), text = colour(this.figure, "--muted"), grid = colour(this.figure, "--hair");
    const stroke = colour(this.figure, this.figure.dataset.colour || "--fg");
    const font = "12px " + getComputedStyle(this.figure).fontFamily;
    const axis = { stroke: text, font, grid: { stroke: grid, width: 1 }, ticks: { stroke: ink, width: 1, size: 4 } };
    const lone = { show: this.steps.length < 40, size: 5, stroke, fill: stroke };
    const raw = { label: this.key, stroke, width: this.smooth ? 1 : 2, alpha: this.smooth ? 0.35 : 1, points: lone };
    const even = { label: "smoothed", stroke, width: 2, points: { show: false } };
    return {
      width: this.plot.clientWidth,
      height: this.height(),
      padding: [8, 8, 0, 0],
      legend: { show: false },
      cursor: { points: { size: 7 }, drag: { x: false, y: false } },
      scales: { x: { time: false }, y: { range: (_, low, high) => this.range(low, high) } },
      axes: [
        { ...axis, space: 60, size: 28, values: (_, marks) => marks.map((mark) => (Number.isInteger(mark) ? String(mark) : "")) },
        { ...axis, space: 36, size: 52, values: (_, marks) => marks.map((mark) => format(mark, this.unit === "%" ? "%" : "")) },
      ],
      series: this.smooth ? [{}, raw, even] : [{}, raw],
      hooks: { setCursor: [(drawn) => this.point(drawn)] },
    };
  }

  range(low, high) {
    if (this.bounds) return this.bounds;
    if (low === null || high === null) return [0, 1];
    const room = (high - low || Math.abs(high) || 1) * 0.08;
    return [low >= 0 ? Math.max(0, low - room) : low - room, high + room];
  }

  /* The value under the pointer stands in the caption; leaving the chart brings back the newest. */
  point(drawn) {
    if (!this.caption) return;
    const at = drawn.cursor.idx;
    const newest = this.values.length - 1;
    this.caption.textContent =
      at === null || at === undefined
        ? format(this.values[newest], this.unit)
        : `${format(this.values[at], this.unit)} at step ${this.steps[at]}`;
  }

  setSmooth(on) {
    this.smooth = on;
    this.redraw();
  }

  speak() {
    const now = Date.now();
    if (now - this.spoken < SUMMARY_PAUSE) return;
    this.spoken = now;
    const newest = this.values.length - 1;
    const name = `${this.figure.dataset.title}: ${format(this.values[newest], this.unit)} at step ${this.steps[newest]}, ${format(this.values[0], this.unit)} at step ${this.steps[0]}`;
    this.plot.setAttribute("aria-label", name);
  }
}

/* Exponential moving average, weight 0.8 on the past, corrected for its start. */
function smoothed(values) {
  let mean = 0, weight = 0;
  return values.map((value) => {
    if (value === null) return null;
    mean = 0.8 * mean + 0.2 * value;
    weight = 0.8 * weight + 0.2;
    return mean / weight;
  });
}

export function format(value, unit) {
  if (value === null || value === undefined) return "no value";
  if (unit === "%") return `${(100 * value).toFixed(value !== 0 && Math.abs(value) < 0.1 ? 1 : 0)}\u00a0%`;
  const size = Math.abs(value);
  if (size !== 0 && size < 0.001) return value.toExponential(1);
  const digits = size >= 1000 ? 0 : size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3;
  const text = value.toLocaleString("en", { minimumFractionDigits: 0, maximumFractionDigits: digits });
  return unit ? `${text}\u00a0${unit}` : text;
}

/* A token's resolved colour: custom properties come back as written (`light-dark(...)`), a used colour does not. */
function colour(element, token) {
  const probe = document.createElement("span");
  probe.style.color = `var(${token})`;
  element.append(probe);
  const resolved = getComputedStyle(probe).color;
  probe.remove();
  return resolved;
}
