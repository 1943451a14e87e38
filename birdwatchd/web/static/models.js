// The models page: every change is asked for twice, then followed until it is done.
import { ask, toast } from "./base.js";
import { watch } from "./news.js";
import { follow, inWords } from "./wishes.js";

const dialog = document.getElementById("sure");
const main = document.getElementById("main");
let wanted = null; // which button opened the dialog

/** Put what the server says now into the page, without losing the place where somebody is. */
export async function refresh() {
  const answer = await fetch("/models", { headers: { Accept: "text/html" } }).catch(() => null);
  if (!answer?.ok || answer.redirected) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("shelf");
  const focused = document.activeElement?.id;
  document.getElementById("shelf").replaceWith(fresh);
  if (focused) document.getElementById(focused)?.focus();
  wake();
}

function wake() {
  document.querySelectorAll("progress[data-done]").forEach((bar) => { bar.value = Number(bar.dataset.done); });
  const open = document.getElementById("shelf").dataset.wish;
  if (open) watchLearning(Number(open));
}

// -- another model

main.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-model]");
  if (button) {
    wanted = button;
    dialog.querySelector("[data-which]").textContent = button.dataset.model;
    dialog.querySelector("[data-said]").textContent = "";
    for (const one of dialog.querySelectorAll("button")) one.disabled = false;
    dialog.showModal();
  }
  if (event.target.closest("#learn")) learn();
});
dialog.querySelector("[data-no]").addEventListener("click", () => dialog.close());
dialog.addEventListener("close", () => wanted?.focus());
dialog.querySelector("[data-yes]").addEventListener("click", async () => {
  const { model, way } = wanted.dataset;
  const said = dialog.querySelector("[data-said]");
  const yes = dialog.querySelector("[data-yes]");
  const serving = document.getElementById("shelf").dataset.serving;
  yes.disabled = true;
  said.classList.remove("bad");
  said.textContent = "Proving it …";
  try {
    const path = way === "rollback" ? "/api/models/rollback" : `/api/models/${model}/promote`;
    const { wish } = await ask(path, { serving: serving ? Number(serving) : null });
    await follow(wish, (now) => { said.textContent = inWords(now); });
    dialog.close();
    toast(`Model ${model} names your birds now.`);
    await refresh();
    document.getElementById("in-use")?.focus();
  } catch (error) {
    said.textContent = error.message;
    said.classList.add("bad");
    yes.disabled = false;
  }
});

// -- learning

let watched = 0;

async function learn() {
  const button = document.getElementById("learn");
  button.disabled = true;
  try {
    const { wish } = await ask("/api/train", {});
    await watchLearning(wish);
  } catch (error) {
    toast(error.message, "bad");
    button.disabled = false;
  }
}

async function watchLearning(wish) {
  if (watched === wish) return;
  watched = wish;
  try {
    const done = await follow(wish, showProgress);
    toast(done.result.reasons?.[0] ?? "It has learned.");
  } catch (error) {
    toast(error.message, "bad");
  }
  watched = 0;
  await refresh();
}

/** How far the learning is: from a wish that is followed, or from the events. */
export function showProgress({ done, what, running = true }) {
  const place = document.getElementById("progress");
  if (!place) return;
  place.hidden = false;
  const button = document.getElementById("learn");
  if (button) button.disabled = true;
  const bar = place.querySelector("progress");
  if (done === null || done === undefined) bar.removeAttribute("value");
  else bar.value = done;
  place.querySelector("[data-what]").textContent = inWords({ what, running });
}

wake();

watch({
  learning(now) {
    const shelf = document.getElementById("shelf");
    const isOver = now.id === null || now.outcome !== null;
    if (!isOver) showProgress(now);
    const state = `${now.id}:${now.outcome}:${now.report ?? ""}`;
    if (shelf.dataset.learning !== state && isOver && !watched) refresh();
  },
  model({ serving }) {
    if (String(serving ?? "") !== document.getElementById("shelf").dataset.serving && !dialog.open) refresh();
  },
  status({ running }) {
    document.getElementById("asleep").hidden = running;
  },
}, { quiet: ["arrived", "running"] });
