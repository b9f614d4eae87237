/* The launch form: choosing another method, model, dataset or tuning brings the settings that fit it, without leaving the page. */

import { place } from "./parts.js";

const form = document.getElementById("launch");
const DECIDES = new Set(["plan", "model", "dataset", "tuning", "hub_id"]);

form.addEventListener("change", async (event) => {
  if (!DECIDES.has(event.target.name)) return;
  const typed = new FormData(form);
  typed.set("action", "refresh");
  const response = await fetch(form.getAttribute("action"), { method: "POST", body: new URLSearchParams(typed) }).catch(() => null);
  if (!response?.ok) return; // the server settles it when the form is sent
  const html = await response.text();
  place(html);
  const settled = new DOMParser().parseFromString(html, "text/html").querySelector("[name=settled_for]");
  form.elements.settled_for.value = settled.value;
});
