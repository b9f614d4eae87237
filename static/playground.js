/* The playground: both answers as they are written, until they end or somebody stops them. */

const form = document.getElementById("ask");
const stop = document.getElementById("stop");
const go = document.getElementById("go");
const told = document.getElementById("told");
const answers = document.getElementById("answers");
const voices = Object.fromEntries([...document.querySelectorAll(".voice")].map((each) => [each.dataset.side, each]));
const picked = form.elements.namedItem("item"); // `elements.item` is a method
let asking = null;

/* A held-out row is asked as it stands, so its own prompt takes the place of the field. */
function settle() {
  const item = picked?.value ?? "";
  document.getElementById("own").hidden = item !== "";
  for (const each of form.querySelectorAll(".held-out")) each.hidden = each.dataset.item !== item;
}
picked?.addEventListener("change", settle);
settle();

function question() {
  const value = (name) => form.elements.namedItem(name)?.value ?? "";
  const number = (name) => Number(value(name).replace(",", "."));
  const item = value("item");
  return {
    prompt: item === "" ? value("prompt") : "",
    system: item === "" ? value("system") : "",
    item: item === "" ? null : Number(item),
    temperature: number("temperature"),
    max_tokens: number("max_tokens"),
    seed: number("seed"),
  };
}

function clear() {
  answers.hidden = false;
  for (const voice of Object.values(voices)) {
    voice.querySelector("[data-text]").textContent = "";
    voice.querySelector("[data-facts]").textContent = "";
    voice.querySelector("[data-outcome]").hidden = true;
  }
}

function mark(voice, outcome) {
  const place = voice.querySelector("[data-outcome]");
  if (!outcome) return;
  const right = outcome.kind === "score" && outcome.value === 1;
  const kind = outcome.kind === "score" ? (right ? "ok" : "bad") : "idle";
  const words = { score: right ? "right" : `${Number(outcome.value).toFixed(2)} of 1`, abstain: `not scored: ${outcome.why}`, error: `grader failed: ${outcome.why}` };
  const drawn = document.getElementById("marks").content.querySelector(`.${kind}`).cloneNode(true);
  drawn.querySelector("[data-word]").textContent = words[outcome.kind];
  place.replaceChildren(drawn);
  place.hidden = false;
}

const HEAR = {
  waiting: (line) => { told.textContent = line.sentence; },
  asked: () => { told.textContent = "Both are answering."; },
  token: (line) => { voices[line.side].querySelector("[data-text]").append(line.text); },
  answered: (line) => {
    const voice = voices[line.side];
    voice.querySelector("[data-text]").textContent = line.text;
    voice.querySelector("[data-facts]").textContent = `${line.tokens} tokens in ${line.seconds.toFixed(1)} s${line.is_clipped ? ", cut off" : ""}`;
    mark(voice, line.outcome);
  },
  trouble: (line) => { told.textContent = line.sentence; },
  finished: () => { told.textContent = "Both have answered."; },
};

async function hear(body) {
  const decoder = new TextDecoder();
  let rest = "";
  for (const reader = body.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const said = JSON.parse(line);
      HEAR[said.kind]?.(said);
    }
  }
}

async function refusal(response) {
  const problem = await response.json().catch(() => null);
  const what = problem?.problems?.map((each) => (each.where ? `${each.where}: ${each.what}` : each.what)).join(". ");
  return what || problem?.detail || "The service gave no answer. Try again.";
}

async function ask() {
  asking = new AbortController();
  go.disabled = true;
  stop.hidden = false;
  told.textContent = "Asking.";
  clear();
  try {
    const response = await fetch(form.dataset.api, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(question()),
      signal: asking.signal,
    });
    if (response.ok) await hear(response.body);
    else told.textContent = await refusal(response);
  } catch {
    told.textContent = asking.signal.aborted ? "Stopped." : "The connection was lost. Try again.";
  }
  asking = null;
  go.disabled = false;
  stop.hidden = true;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  delete form.dataset.sent;
  if (!asking) ask();
});
stop.addEventListener("click", () => {
  asking?.abort();
  go.focus();
});
