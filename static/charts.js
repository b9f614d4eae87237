/* A figure with a chart: draws the series it is given, keeps caption and spoken summary true, follows the colour scheme. */

const KEPT = 4000; // points a line keeps before it is thinned to its extremes
const SUMMARY_PAUSE = 30000; // a screen reader hears a new summary at most this often
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3], [5, 5]]; // one pattern a line, the same as in the style sheet

export class Chart {
  /* `metrics`: all curves by name; those named beside this one are drawn with it, each with its own dashes. */
  constructor(figure, metrics) {
    this.figure = figure;
    this.metrics = metrics;
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
    for (const { step, value } of metrics[this.key] || []) this.push(step, value);
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

  /* Lines beside the main one, and marked steps, as the server last wrote them under the title. */
  beside() {
    return [...this.figure.querySelectorAll("[data-beside]")].map((each) => each.dataset);
  }

  marks() {
    return [...this.figure.querySelectorAll("[data-mark]")].map((each) => each.dataset);
  }

  data() {
    const lines = [[this.steps, this.values]];
    if (this.smooth) lines.push([this.steps, smoothed(this.values)]);
    for (const { beside } of this.beside()) {
      const points = this.metrics[beside] || [];
      lines.push([points.map(({ step }) => step), points.map(({ value }) => value)]);
    }
    return lines.length === 1 ? lines[0] : joined(lines);
  }

  /* A held-out metric has a value now and then; its line is redrawn with the next words from the server. */
  addBeside(key, step, value) {
    (this.metrics[key] ??= []).push({ step, value });
  }

  draw() {
    const data = this.data();
    if (this.drawn && data.length === this.drawn.series.length) this.drawn.setData(data);
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
    const raw = { label: this.key, stroke, width: this.smooth ? 1 : 2, alpha: this.smooth ? 0.35 : 1, points: lone, spanGaps: true };
    const even = { label: "smoothed", stroke, width: 2, spanGaps: true, points: { show: false } };
    const others = this.beside().map(({ label }, at) => ({
      label, stroke: colour(this.figure, "--fg"), width: 2, dash: DASHES[at + 1], spanGaps: true, points: { show: false },
    }));
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
      series: this.smooth ? [{}, raw, even, ...others] : [{}, raw, ...others],
      hooks: { setCursor: [(drawn) => this.point(drawn)], draw: [(drawn) => this.annotate(drawn, text)] },
    };
  }

  /* A line and a number where a finding is, and the name of each further line at its end. */
  annotate(drawn, ink) {
    const { ctx, bbox } = drawn;
    const pixel = devicePixelRatio;
    ctx.save();
    ctx.font = `${12 * pixel}px ${getComputedStyle(this.figure).fontFamily}`;
    ctx.fillStyle = ctx.strokeStyle = ink;
    ctx.lineWidth = pixel;
    ctx.setLineDash([2 * pixel, 2 * pixel]);
    for (const { mark, sign } of this.marks()) {
      const x = drawn.valToPos(Number(mark), "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      ctx.fillText(sign, x + 3 * pixel, bbox.top + 12 * pixel);
    }
    ctx.textAlign = "right";
    const first = this.smooth ? 3 : 2;
    this.beside().forEach(({ label }, at) => {
      const values = drawn.data[first + at];
      const last = values ? values.findLastIndex((value) => value != null) : -1;
      if (last < 0) return;
      const x = drawn.valToPos(drawn.data[0][last], "x", true), y = drawn.valToPos(values[last], "y", true);
      ctx.fillText(label, x - 2 * pixel, Math.max(bbox.top + 12 * pixel, y - 6 * pixel));
    });
    ctx.restore();
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
    const idx = drawn.cursor.idx;
    const at = idx === null || idx === undefined ? null : this.steps.indexOf(drawn.data[0][idx]);
    const newest = this.values.length - 1;
    this.caption.textContent =
      at === null || at < 0
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

/* Lines with steps of their own on one axis: where a line has no point at a step, there is none (null). */
function joined(lines) {
  const steps = [...new Set(lines.flatMap(([own]) => own))].sort((a, b) => a - b);
  const at = new Map(steps.map((step, index) => [step, index]));
  return [steps, ...lines.map(([own, values]) => {
    const spread = new Array(steps.length).fill(null);
    own.forEach((step, index) => (spread[at.get(step)] = values[index]));
    return spread;
  })];
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
