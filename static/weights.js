/* The weights page: points in steps, shares as they are typed, presets and ranks without leaving the page. */

import { place } from "./parts.js";

const page = document.getElementById("weighing");

function ready() {
  for (const each of page.querySelectorAll("[data-step]")) each.hidden = false;
  for (const each of page.querySelectorAll("[data-look]")) each.hidden = true; // the shares follow by themselves
}

const points = () => [...page.querySelectorAll(".points input")].map((input) => [input.name, Number(input.value.trim().replace(",", ".") || NaN)]);

function words(share) {
  const percent = Math.round(share * 100);
  if (percent === 100 && share < 1) return "over 99\u00a0%";
  return percent === 0 && share > 0 ? "under 1\u00a0%" : `${percent}\u00a0%`;
}

function redraw() {
  const given = points();
  const total = given.reduce((sum, [, value]) => sum + value, 0);
  if (!(total > 0) || given.some(([, value]) => value < 0 || value > 100)) return; // told when the form is sent
  let start = 0;
  const said = [];
  for (const [factor, value] of given) {
    const part = page.querySelector(`[data-part-of="${factor}"]`);
    part.setAttribute("x", `${start}%`);
    part.setAttribute("width", `${(100 * value) / total}%`);
    start += (100 * value) / total;
    page.querySelector(`[data-share="${factor}"]`).textContent = words(value / total);
    said.push(`${page.querySelector(`[for="weight-${factor}"]`).textContent} ${words(value / total)}`);
  }
  page.querySelector(".stacked").setAttribute("aria-label", said.join(", "));
}

page.addEventListener("input", redraw);

page.addEventListener("click", (event) => {
  const button = event.target.closest("[data-step]");
  if (!button) return;
  const input = document.getElementById(button.dataset.for);
  const now = Number(input.value.replace(",", ".")) || 0;
  input.value = String(Math.min(100, Math.max(0, now + Number(button.dataset.step))));
  redraw();
});

page.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!("quietly" in form.dataset)) return;
  event.preventDefault();
  const sent = new URLSearchParams(new FormData(form, event.submitter));
  const response = await fetch(location.href, { method: "POST", body: sent }).catch(() => null);
  if (!response?.ok) {
    for (const mark of ["quietly", "sent"]) delete form.dataset[mark];
    return form.requestSubmit(event.submitter); // the plain way tells what is wrong
  }
  place(await response.text());
  ready();
});

ready();
