// The species chooser: type, and take one. A name that nobody has used here yet is asked for once more.
import { el } from "./base.js";

const $ = (id) => document.getElementById(id);
const MOST = 8;
const folded = (text) => text.normalize("NFKD").toLowerCase().replace(/[^\p{L}\p{N}]/gu, "");

/** The label that a new name becomes: words in lower case with hyphens. */
const labelOf = (text) => text.trim().toLowerCase().replace(/['’]/g, "").replace(/[\s_]+/g, "-");

/** The label that somebody means who has typed a name to its end: of the species that is spelled so, else a new one. */
export function meant(species, typed) {
  return species.find((one) => one.spellings.some((form) => folded(form) === folded(typed)))?.species ?? labelOf(typed);
}

/** Species that fit what was typed: those that begin so first, used ones before others. */
function matching(species, typed) {
  const wanted = folded(typed);
  if (!wanted && typed.trim()) return []; // signs alone are like no name
  const rank = (one) => {
    const forms = one.spellings.map(folded);
    if (forms.includes(wanted)) return 0;
    if (forms.some((form) => form.startsWith(wanted))) return one.used ? 1 : 3;
    if (one.spellings.some((form) => form.split(/[\s-]+/).some((word) => folded(word).startsWith(wanted)))) return one.used ? 2 : 4;
    return wanted.length > 2 && forms.some((form) => form.includes(wanted)) ? 5 : null;
  };
  return species.map((one) => [rank(one), one]).filter(([place]) => place !== null)
    .sort((a, b) => a[0] - b[0] || b[1].used - a[1].used).slice(0, MOST).map(([, one]) => one);
}

/** Ask for a name. Resolves to {species, isNew}, or to null when it was called off. */
export function openChooser({ species, letter, confirm, title }) {
  const dialog = $("chooser");
  const typed = $("typed");
  let at = 0;
  let choices = [];
  let asking = null;
  $("chooser-title").textContent = title;
  typed.value = confirm ? confirm.species : letter;

  function show() {
    asking = null;
    $("confirm").hidden = true;
    choices = matching(species, typed.value);
    const label = meant(species, typed.value);
    if (label && !choices.some((one) => one.species === label)) {
      choices.push({ species: label, name: `${typed.value.trim()}: a new name`, used: 0, spellings: [] });
    }
    at = 0;
    draw();
  }

  function draw() {
    $("choices").replaceChildren(...choices.map((one, place) =>
      el("li", { role: "option", id: `choice-${place}`, "aria-selected": place === at ? "true" : "false", "data-place": place },
        one.name, one.used || one.spellings.length === 0 ? null : el("span", { class: "soft small" }, " · new here"))));
    if (choices.length) typed.setAttribute("aria-activedescendant", `choice-${at}`);
    else typed.removeAttribute("aria-activedescendant");
    document.getElementById(`choice-${at}`)?.scrollIntoView({ block: "nearest" });
  }

  function confirmed(label, message) {
    asking = label;
    $("confirm").textContent = message;
    $("confirm").hidden = false;
  }

  return new Promise((resolve) => {
    const listening = new AbortController();
    const { signal } = listening;
    const end = (taken) => {
      listening.abort();
      dialog.close();
      resolve(taken);
    };
    const take = () => {
      if (asking) {
        end({ species: asking, isNew: true });
        return;
      }
      const one = choices[at];
      if (!one) return;
      if (one.used) end({ species: one.species, isNew: false });
      else confirmed(one.species, `Nobody has used the name “${one.spellings.length ? one.name : typed.value.trim()}” here yet. Once more if it is right.`);
    };
    typed.addEventListener("input", show, { signal });
    dialog.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.target.id !== "cancel") {
        event.preventDefault();
        if (!event.repeat) take();
      } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        event.preventDefault();
        at = Math.max(0, Math.min(choices.length - 1, at + (event.key === "ArrowDown" ? 1 : -1)));
        asking = null; // what was asked for was another name
        $("confirm").hidden = true;
        draw();
      }
    }, { signal });
    $("choices").addEventListener("click", (event) => {
      const place = event.target.closest("[data-place]")?.dataset.place;
      if (place === undefined) return;
      at = Number(place);
      asking = null;
      draw();
      take();
    }, { signal });
    $("take").addEventListener("click", take, { signal });
    $("cancel").addEventListener("click", () => end(null), { signal });
    dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      end(null);
    }, { signal });
    show();
    if (confirm) confirmed(confirm.species, confirm.message);
    dialog.showModal();
    typed.focus();
    typed.setSelectionRange(typed.value.length, typed.value.length);
  });
}
