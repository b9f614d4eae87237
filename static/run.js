/* The run page while it is watched: one stream feeds the charts and the progress; words come from the server. */

import { Chart } from "./charts.js";
import { Live } from "./live.js";
import { renew } from "./parts.js";

const CALM = 15000; // samples and checkpoints renew their part at most this often
const AWAY = 30000; // while the tab is hidden, how often we ask whether the run ended
const ENDS = { succeeded: "Finished", failed: "Failed", cancelled: "Cancelled", deleted: "Deleted" };

const run = document.getElementById("run");
const charts = new Map();
const title = run.dataset.title + " - Tuning Fork";
let live = null;

async function start() {
  const view = await read();
  for (const figure of document.querySelectorAll("figure[data-series]")) {
    charts.set(figure.dataset.series, new Chart(figure, view.metrics));
  }
  offerSmoothing();
  if (run.dataset.over === "true") return;
  live = new Live(run.dataset.events, view.last_seq, {
    event: take,
    status: stand,
    worker: () => later(0),
    end: finish,
    lost: () => lost(true),
    back: () => lost(false),
  });
  live.follow();
  offerPause();
  setInterval(tick, 1000);
  setInterval(watchUnseen, AWAY);
}

async function read() {
  const response = await fetch(run.dataset.view, { headers: { Accept: "application/json" } }).catch(() => null);
  return response?.ok ? response.json() : { metrics: {}, last_seq: 0 };
}

function take({ what }) {
  if (what.kind === "metric") measure(what);
  else if (what.kind === "log") note(what.line);
  else if (what.kind !== "progress") later(what.kind === "sample" || what.kind === "checkpoint" ? CALM : 0);
}

function measure({ step, total_steps, values }) {
  const known = new Set(charts.keys());
  for (const [key, chart] of charts) if (key in values) chart.add(step, values[key]);
  const further = Object.keys(values).filter((key) => key.startsWith("held_out/") && !known.has(key));
  for (const key of further) beside(key, step, values[key]);
  later(further.length || !charts.size ? 0 : CALM);
  gauge(step, total_steps, `Step ${step} of ${total_steps}`);
}

/* A metric that is drawn beside others belongs to the curves that all charts share. */
function beside(key, step, value) {
  const [chart] = charts.values();
  if (chart && value !== null) chart.addBeside(key, step, value);
}

/* Progress: the bar and its words. */

let remaining = null;
let words = run.dataset.words; // as the page was last written

function stand(standing) {
  if (standing.words !== words) later(0); // a wish that was granted is no event of the run
  words = standing.words;
  const { phase, step, total_steps, minutes, progress, eta_seconds } = standing;
  if (phase) gauge(phase.done, phase.total, `${capital(phase.name)}: ${phase.done} of ${phase.total}`);
  else if (minutes && total_steps) gauge(progress, 1, `Step ${step}, ${Math.round(100 * progress)} % of ${minutes} minutes`);
  else if (total_steps) gauge(step, total_steps, `Step ${step} of ${total_steps}`);
  remaining = eta_seconds === null ? null : { seconds: eta_seconds, since: Date.now() };
  tick();
}

function gauge(done, total, words) {
  const bar = document.getElementById("bar");
  const step = document.getElementById("step");
  if (bar) {
    bar.max = total || 1;
    bar.value = done;
  }
  if (step) step.textContent = words;
}

function tick() {
  if (!live || live.paused || live.over) return;
  const elapsed = document.getElementById("elapsed");
  if (elapsed?.dataset.seconds) {
    elapsed.dataset.base ??= Date.now() - 1000 * Number(elapsed.dataset.seconds);
    elapsed.textContent = duration((Date.now() - Number(elapsed.dataset.base)) / 1000);
  }
  const eta = document.getElementById("eta");
  if (!eta) return;
  const left = remaining ? remaining.seconds - (Date.now() - remaining.since) / 1000 : 0;
  eta.textContent = left > 1 ? `about ${duration(left)} left` : "";
}

function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const h = Math.floor(whole / 3600), m = Math.floor((whole % 3600) / 60), s = whole % 60;
  if (h) return `${h} h ${m} min`;
  return m ? `${m} min ${s} s` : `${s} s`;
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function note(line) {
  const log = document.getElementById("log");
  if (!log) return;
  log.append(line + "\n");
  log.scrollTop = log.scrollHeight;
}

/* Everything with words in it is written by the server: its parts of the page are fetched and put in place. */

let due = null;
let renewed = 0;

function later(pause) {
  const wait = Math.max(0, renewed + pause - Date.now());
  if (due && due.at <= Date.now() + wait) return;
  clearTimeout(due?.timer);
  due = { at: Date.now() + wait, timer: setTimeout(rewrite, wait) };
}

async function rewrite() {
  due = null;
  renewed = Date.now();
  if (!(await renew())) lost(true);
  for (const chart of charts.values()) if (chart.steps.length) chart.draw();
}

function finish(state) {
  document.title = `${ENDS[state] || "Over"}: ${title}`;
  run.dataset.over = "true";
  document.getElementById("pause").hidden = true;
  lost(false);
  later(0);
}

/* A hidden tab keeps no stream; it asks now and then, so that its title can tell that the run is over. */
async function watchUnseen() {
  if (!document.hidden || live.over) return;
  const { is_over, state } = await read();
  if (is_over) document.title = `${ENDS[state] || "Over"}: ${title}`;
}

function lost(yes) {
  const banner = document.getElementById("lost");
  const since = document.getElementById("lost-since");
  if (yes === !banner.hidden) return;
  banner.hidden = !yes;
  since.textContent = yes ? " at " + new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }) : "";
}

function offerPause() {
  const button = document.getElementById("pause");
  button.hidden = false;
  button.addEventListener("click", () => {
    live.paused = !live.paused;
    button.textContent = live.paused ? "Resume updates" : "Pause updates";
    live.follow();
    if (!live.paused) later(0);
  });
}

function offerSmoothing() {
  const button = document.getElementById("smooth");
  if (!button || !charts.size) return;
  button.hidden = false;
  button.addEventListener("click", () => {
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(on));
    for (const chart of charts.values()) chart.setSmooth(on);
  });
}

start();
