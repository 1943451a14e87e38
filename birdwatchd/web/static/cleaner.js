// The cleaner: each click is an answer, sent and saved at once; nothing is kept here that a reload could lose.
import { ask, el, newKey } from "./base.js";
import { openChooser } from "./chooser.js";

const which = document.getElementById("which");
which?.addEventListener("change", () => which.submit());

document.getElementById("main").addEventListener("click", (event) => {
  const button = event.target.closest("button[data-do]");
  if (button && button.getAttribute("aria-disabled") !== "true") choose(button.closest("[data-photo]"), button.dataset.do);
});

async function choose(card, what) {
  const { label, name, likely, likelyName } = card.dataset;
  if (what === "keep") await answer(card, label, `Kept: ${name}`);
  if (what === "likely") await answer(card, likely, `It is ${likelyName}`);
  if (what === "aside") await answer(card, null, "Set aside: it waits in Review, and nobody learns from it");
  if (what === "undo") await undo(card);
  if (what === "other") await other(card);
}

async function other(card, confirm = null) {
  const species = await names(card);
  if (!species) return;
  const taken = await openChooser({ species, letter: "", confirm, title: "Which bird is it?" });
  card.querySelector('[data-do="other"]')?.focus();
  if (!taken) return;
  const known = species.find((one) => one.species === taken.species);
  await answer(card, taken.species, `It is ${known?.name ?? taken.species}`, taken.isNew);
}

let loaded = null;
async function names(card) {
  try {
    loaded ??= (await ask("/api/names")).species;
  } catch (error) {
    say(card, error.message, true);
  }
  return loaded;
}

async function answer(card, species, words, isNew = false) {
  busy(card, true);
  try {
    const seen = card.dataset.seen || null;
    const photos = [{ photo_id: Number(card.dataset.photo), seen }];
    const { request_id: number } = await ask("/api/answers", { key: newKey(), species, new_species: isNew, photos });
    card.dataset.request = number;
    card.dataset.before = seen ?? "";
    card.dataset.seen = species ?? "";
    card.classList.add("done");
    say(card, words);
    offerUndo(card);
    toNext(card);
  } catch (error) {
    if (error.content?.is_new) {
      busy(card, false);
      await other(card, { species, message: error.message });
      return;
    }
    say(card, error.message, true);
  }
  busy(card, false);
}

async function undo(card) {
  busy(card, true);
  try {
    await ask("/api/undo", { key: newKey(), request_id: Number(card.dataset.request) });
    card.dataset.seen = card.dataset.before;
    card.classList.remove("done");
    say(card, "");
    card.querySelector('[data-do="undo"]').remove();
    card.querySelector('[data-do="keep"]').focus();
  } catch (error) {
    say(card, error.message, true);
  }
  busy(card, false);
}

function offerUndo(card) {
  card.querySelector('[data-do="undo"]')?.remove();
  card.querySelector(".row").append(el("button", { type: "button", "data-do": "undo" }, "Undo"));
}

/** On to the next photo that nobody has looked at: a whole list is done with Enter and Tab. */
function toNext(card) {
  let next = card.nextElementSibling;
  while (next?.classList.contains("done")) next = next.nextElementSibling;
  next?.querySelector('[data-do="keep"]')?.focus();
}

function busy(card, is) {
  for (const button of card.querySelectorAll("button")) button.setAttribute("aria-disabled", is);
}

function say(card, text, bad = false) {
  const said = card.querySelector(".said");
  said.textContent = text;
  said.classList.toggle("bad", bad);
}
