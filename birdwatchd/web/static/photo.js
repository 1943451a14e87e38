// Naming one photo: the same answer as on the review page, told to the server and then read back from it.
import { ask, newKey, toast } from "./base.js";
import { meant } from "./chooser.js";

const form = document.getElementById("naming");
const question = document.getElementById("is-new");
const known = [...document.querySelectorAll("#known option")];

/** Give the name that was typed; one that is not in the list is understood as on the review page. */
async function nameAsTyped(text) {
  const said = text.trim().toLowerCase();
  const found = known.find((one) => one.value.toLowerCase() === said || one.dataset.label.toLowerCase() === said);
  if (found) return name(found.dataset.label);
  const { species } = await ask("/api/names");
  const label = meant(species, text);
  return species.some((one) => one.species === label && one.used) ? name(label) : askOnceMore(label);
}

async function name(species, isNew = false) {
  question.hidden = true;
  const photo = { photo_id: Number(form.dataset.photo), seen: form.dataset.seen || null };
  try {
    const answer = await ask("/api/answers", { key: newKey(), species, photos: [photo], new_species: isNew });
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
  question.querySelector("span").textContent = `Nobody has used the name ${species} here yet.`;
  yes.onclick = () => name(species, true);
  question.hidden = false;
  yes.focus();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const { value } = form.elements.species;
  if (value.trim()) nameAsTyped(value).catch((error) => toast(error.message, "bad"));
});
form.querySelector("[data-confirm]")?.addEventListener("click", (event) => name(event.currentTarget.dataset.confirm, true));
