// The review page: what each key does, and each click. The server keeps every answer; nothing here is lost by a reload.
import { watch } from "./news.js";
import { accept, choose, give, load, undo } from "./review/answering.js";
import { enlarge } from "./review/closer.js";
import { speciesAt } from "./review/digits.js";
import { mark } from "./review/groups.js";
import { letGo, move, row, selectGroup, toggle } from "./review/moving.js";
import { groupOf, selected, shownGroups, state } from "./review/state.js";

const $ = (id) => document.getElementById(id);

const KEYS = {
  Enter: accept, e: () => selectGroup(groupOf(state.here)), x: () => give("empty"), u: undo, j: () => move(1), k: () => move(-1),
  ArrowRight: () => move(1), ArrowLeft: () => move(-1), ArrowDown: () => row(1), ArrowUp: () => row(-1),
  " ": () => state.here !== null && toggle(state.here), "?": () => $("keys").showModal(), "/": () => choose(""), Escape: letGo,
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const on = event.target;
  const isPick = on === document.body || on.id === "main" || on.classList?.contains("pick");
  if (!isPick && (on.closest("input, select, textarea") || ["Enter", " "].includes(event.key))) return;
  const letter = /^\p{L}$/u.test(event.key) ? event.key : null;
  const does = KEYS[event.shiftKey && letter ? "" : event.key];
  const species = speciesAt(event.key);
  if (species !== null) {
    event.preventDefault();
    if (species) give(species);
  } else if (does && !(event.repeat && ["Enter", "x", "u"].includes(event.key))) {
    event.preventDefault();
    does();
  } else if (letter) {
    event.preventDefault();
    choose(letter.toLowerCase());
  }
});

$("groups").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.id) toggle(Number(button.dataset.id));
  else if (button.dataset.select) selectGroup(shownGroups()[Number(button.dataset.select)]);
  else if (button.dataset.all) {
    const group = shownGroups()[Number(button.dataset.all)];
    selected.clear();
    group.cards.forEach((card) => selected.add(card.photo_id));
    state.here = group.cards[0].photo_id;
    accept();
  }
});
$("groups").addEventListener("focusin", (event) => {
  const id = Number(event.target.closest(".pick")?.dataset.id);
  if (id && id !== state.here) {
    state.here = id;
    mark(false);
  }
});
$("names").addEventListener("click", (event) => {
  const species = event.target.closest("[data-species]")?.dataset.species;
  if (species) give(species);
});
$("accept").addEventListener("click", accept);
$("nobird").addEventListener("click", () => give("empty"));
$("other").addEventListener("click", () => choose(""));
$("enlarge").addEventListener("click", enlarge);
$("undo").addEventListener("click", undo);
$("help").addEventListener("click", () => $("keys").showModal());

load();
watch();
