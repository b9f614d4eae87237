/* An upload that a lost connection does not undo: tus 1.0. Without this script the form sends the file itself. */

const form = document.getElementById("upload");
const told = document.getElementById("upload-progress");
const PART = 4 * 1024 * 1024;
const LONGEST_WAIT = 30;
const TUS = { "Tus-Resumable": "1.0.0" };

/* A file chosen again after a reload goes on where it was. */
const key = (file) => `upload:${file.name}:${file.size}:${file.lastModified}`;

const wait = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

function tell(words, sent, size) {
  let bar = told.querySelector("progress");
  if (!bar) {
    bar = document.createElement("progress");
    bar.setAttribute("aria-label", "Upload");
    told.replaceChildren(bar, document.createElement("p"));
  }
  bar.max = size;
  bar.value = sent;
  told.querySelector("p").textContent = words;
}

function complain(words) {
  const sentence = document.createElement("p");
  sentence.className = "error-text";
  sentence.textContent = words;
  told.replaceChildren(sentence);
}

class Refused extends Error {}

async function ask(method, url, headers, body) {
  const answer = await fetch(url, { method, headers: { ...TUS, ...headers }, body });
  if (answer.ok) return answer;
  // What the service will refuse again is told; what may pass is tried again.
  if (answer.status < 500 && ![408, 409, 429].includes(answer.status)) {
    const problem = await answer.json().catch(() => ({}));
    throw Object.assign(new Refused(problem.detail || "The upload was refused."), { status: answer.status });
  }
  throw new Error(String(answer.status));
}

async function begin(file) {
  const name = btoa(String.fromCharCode(...new TextEncoder().encode(file.name)));
  const headers = { "Upload-Length": String(file.size), "Upload-Metadata": `filename ${name}` };
  const url = (await ask("POST", "/api/v1/uploads", headers)).headers.get("Location");
  localStorage.setItem(key(file), url);
  return url;
}

async function offsetOf(url, file) {
  try {
    return Number((await ask("HEAD", url)).headers.get("Upload-Offset"));
  } catch (error) {
    if (error.status === 404) localStorage.removeItem(key(file));
    throw error;
  }
}

async function send(file) {
  let url = localStorage.getItem(key(file));
  let offset = null;
  let pause = 1;
  for (;;) {
    try {
      if (!url) [url, offset] = [await begin(file), 0];
      if (offset === null) offset = await offsetOf(url, file);
      if (offset >= file.size) return url;
      tell(`${Math.floor((100 * offset) / file.size)} % sent`, offset, file.size);
      const headers = { "Content-Type": "application/offset+octet-stream", "Upload-Offset": String(offset) };
      const answer = await ask("PATCH", url, headers, file.slice(offset, offset + PART));
      offset = Number(answer.headers.get("Upload-Offset"));
      pause = 1;
    } catch (error) {
      if (error.status === 404 && url) [url, offset] = [null, null];
      else if (error instanceof Refused) throw error;
      else {
        tell("The connection was lost. Going on as soon as it is back …", offset ?? 0, file.size);
        await wait(pause);
        pause = Math.min(2 * pause, LONGEST_WAIT);
        offset = null;
      }
    }
  }
}

form.addEventListener("submit", async (event) => {
  const input = form.elements.file;
  const file = input.files[0];
  if (!file || !file.size) return;
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    const url = await send(file);
    localStorage.removeItem(key(file));
    tell("All of it is here; reading and checking every row …", file.size, file.size);
    const id = document.createElement("input");
    Object.assign(id, { type: "hidden", name: "upload", value: url.split("/").pop() });
    form.append(id);
    input.disabled = true;
    form.submit();
  } catch (error) {
    button.disabled = false;
    complain(error.message);
  }
});

/* Back from the next page: the form is whole again. */
window.addEventListener("pageshow", () => {
  form.querySelector("button").disabled = false;
  form.elements.file.disabled = false;
  form.querySelector("[name=upload]")?.remove();
  told.replaceChildren();
});
