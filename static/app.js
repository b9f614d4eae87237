// What a page can do better with JavaScript. Every page works without it.

const login = document.querySelector("#login");
const token = new URLSearchParams(location.hash.slice(1)).get("token");
if (login && token) {
  // The token came in the fragment, which browsers never send; it must not stay in the history either.
  history.replaceState(null, "", location.pathname + location.search);
  login.elements.token.value = token;
  login.requestSubmit();
}

for (const button of document.querySelectorAll("[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => window.print());
}

for (const button of document.querySelectorAll("[data-copy]")) {
  const source = document.querySelector(button.dataset.copy);
  if (!source || !navigator.clipboard) continue;
  button.hidden = false;
  const words = button.textContent;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = words; }, 2000);
  });
}

// A second click on a submit button sends nothing twice.
for (const form of document.querySelectorAll("form[method=post]")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) return event.preventDefault();
    form.dataset.sent = "yes";
  });
}
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

document.querySelector(".error-summary")?.focus();
