/* What if: the result follows the answers by itself (htmx), so the button for it steps aside. */

const form = document.getElementById("tryout");

for (const each of form.querySelectorAll("[data-plain]")) each.hidden = true;

// Enter in the scenario's name saves it, as it would in a form of its own.
document.getElementById("label").addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  event.preventDefault();
  document.getElementById("save").click();
});

// Enter in a number would load the whole page anew for what is already on its way.
form.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.target.matches("input")) event.preventDefault();
});

// Coming back to the page, some browsers bring back what was typed: the result must fit it.
// What is complained about must stay to be read.
addEventListener("pageshow", () => {
  if (!document.querySelector(".error-summary")) form.dispatchEvent(new Event("input"));
});
