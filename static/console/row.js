// The page of one row: what the phone got, to copy.

import { copy } from "./common.js";

const button = document.getElementById("copy");
const label = button.textContent;
button.hidden = false;
button.addEventListener("click", async () => {
  await copy(document.getElementById("frame").textContent);
  button.textContent = button.dataset.done;
  setTimeout(() => (button.textContent = label), 2_000);
});
