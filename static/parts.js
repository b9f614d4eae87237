/* Parts of a page that the server writes anew: fetched as the whole page, put in place one by one. */

/* Every element with `data-part` takes over the content of its namesake; what was open or focused stays so. */
export function place(html) {
  const page = new DOMParser().parseFromString(html, "text/html");
  for (const part of document.querySelectorAll("[data-part]")) replace(part, page.getElementById(part.id));
}

function replace(part, fresh) {
  if (!fresh || part.innerHTML === fresh.innerHTML) return;
  const open = new Set([...part.querySelectorAll("details[open]")].map((each) => each.id));
  const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
  part.replaceChildren(...fresh.childNodes);
  for (const each of part.querySelectorAll("details")) if (open.has(each.id)) each.open = true;
  if (focused) document.getElementById(focused)?.focus();
  offerCopies(part);
}

export async function renew(url = location.href) {
  const response = await fetch(url, { headers: { Accept: "text/html" } }).catch(() => null);
  if (!response?.ok || response.redirected) return false;
  place(await response.text());
  return true;
}

function offerCopies(within) {
  if (!navigator.clipboard) return;
  for (const button of within.querySelectorAll("button[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.querySelector(button.dataset.copy).textContent);
      button.textContent = "Copied";
    });
  }
}
