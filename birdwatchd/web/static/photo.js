// Naming one photo: the same answer as on the review page, told to the server and then read back from it.
import { ask, toast } from "./base.js";

const form = document.getElementById("naming");
const question = document.getElementById("is-new");
const known = [...document.querySelectorAll("#known option")];
const key = () => (crypto.randomUUID ? crypto.randomUUID() : `${Date.now()}-${Math.random().toString(36).slice(2)}-0`);

function meant(text) {
  const said = text.trim().toLowerCase();
  const found = known.find((one) => one.value.toLowerCase() === said || one.dataset.label.toLowerCase() === said);
  return { species: found ? found.dataset.label : text.trim(), isNew: !found };
}

async function name(species, isNew) {
  question.hidden = true;
  const photo = { photo_id: Number(form.dataset.photo), seen: form.dataset.seen || null };
  try {
    const answer = await ask("/api/answers", { key: key(), species, photos: [photo], new_species: isNew });
    form.dataset.seen = answer.species;
    toast(`Named ${answer.name}. The file moves within a second or so.`);
    setTimeout(() => location.reload(), 1500);
  } catch (error) {
    toast(error.message, "bad");
  }
}

/** A name that nobody has used here yet may be a slip of the fingers. */
function askOnceMore(species) {
  const yes = question.querySelector("button");
  question.querySelector("span").textContent = `Nobody has named a ${species} here yet.`;
  yes.onclick = () => name(species, true);
  question.hidden = false;
  yes.focus();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const { species, isNew } = meant(form.elements.species.value);
  if (!species) return;
  if (isNew) askOnceMore(species);
  else name(species, false);
});
form.querySelector("[data-confirm]")?.addEventListener("click", (event) => name(event.currentTarget.dataset.confirm, true));
