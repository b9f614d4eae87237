/* Lists that change by themselves: renewed every five seconds while somebody can see them. */

import { renew } from "./parts.js";

const EVERY = 5000;
const list = document.querySelector("[data-poll]");

if (list) {
  setInterval(() => {
    const reading = document.getSelection()?.toString() || list.contains(document.activeElement) || list.querySelector("input:checked");
    if (!document.hidden && !reading) renew();
  }, EVERY);
}
