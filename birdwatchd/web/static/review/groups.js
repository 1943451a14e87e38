// The photos in their groups, which of them is at hand, and which are selected.
import { el, percent } from "../base.js";
import { closer } from "./closer.js";
import { tell } from "./progress.js";
import { groupOf, order, photos, selected, shownGroups, state } from "./state.js";

const $ = (id) => document.getElementById(id);

/** Under a photo: what a model takes it for, else where and when it was taken. */
function line(card) {
  if (card.is_strange) return "new here?";
  if (card.probability !== null) return `${card.guess_name} ${percent(card.probability)}`;
  return [card.camera, card.at.slice(11, 16)].filter(Boolean).join(", ");
}

function picture(card) {
  const pick = el("button", { type: "button", class: "pick", "data-id": card.photo_id, tabindex: "-1" },
    el("img", { src: `/thumbnails/${card.photo_id}`, alt: "", loading: "lazy", decoding: "async", width: 160, height: 160 }),
    el("span"));
  return el("li", {}, pick);
}

/** What is told under a photo may be another thing than before. */
function withWords(made, card) {
  const pick = made.querySelector(".pick"), words = made.querySelector("span"), text = line(card);
  if (words.textContent !== text) words.textContent = text;
  const label = `Photo ${card.photo_id}, ${text}`;
  if (pick.getAttribute("aria-label") !== label) pick.setAttribute("aria-label", label);
  return made;
}

function heading(group) {
  if (group.audit) return "A check: birdwatchd was sure of these";
  if (group.is_strange) return "New here?";
  if (group.species === null) return "Like nothing that you have named";
  return group.is_new ? `These look alike: perhaps ${group.name}` : `Probably ${group.name}`;
}

function section() {
  return el("section", { class: "group" },
    el("header", {}, el("h2"), el("span", { class: "soft" }), el("div", { class: "row" },
      el("button", { type: "button", "data-select": "" }, "Select all"),
      el("button", { type: "button", class: "primary", "data-all": "" }))),
    el("ul", { class: "cards" }));
}

/** Make a list of children the wanted one; what is there already is not touched, so that nothing flickers and little is painted. */
function become(parent, wanted) {
  const stay = new Set(wanted);
  for (const child of [...parent.children]) if (!stay.has(child)) child.remove();
  if (wanted.some((child, place) => parent.children[place] !== child)) parent.replaceChildren(...wanted);
}

/** Show what there is now. */
export function draw() {
  const pictures = new Map([...document.querySelectorAll(".pick")].map((pick) => [Number(pick.dataset.id), pick.parentElement]));
  const sections = new Map([...$("groups").children].map((one) => [one.dataset.key, one]));
  const hadFocus = document.activeElement?.classList?.contains("pick") || document.activeElement === document.body;
  const groups = shownGroups();
  const wanted = groups.map((group, number) => {
    const key = `${group.audit}/${group.species}/${groups.slice(0, number).filter((one) => one.species === group.species && one.audit === group.audit).length}`;
    const made = sections.get(key) ?? section();
    made.dataset.key = key;
    const title = made.querySelector("h2");
    title.id = `group-${number}`;
    title.textContent = heading(group);
    made.setAttribute("aria-labelledby", title.id);
    made.querySelector(".soft").textContent = photos(group.cards.length) + (group.is_strange ? ", like no bird that birdwatchd knows" : "");
    made.querySelector("[data-select]").dataset.select = number;
    const all = made.querySelector("[data-all]");
    all.dataset.all = number;
    all.hidden = group.species === null;
    all.textContent = group.cards.length > 1 ? `All ${group.cards.length} are ${group.name}` : `It is ${group.name}`;
    become(made.querySelector(".cards"), group.cards.map((card) => withWords(pictures.get(card.photo_id) ?? picture(card), card)));
    return made;
  });
  become($("groups"), wanted);
  const ids = order();
  for (const id of [...selected]) if (!ids.includes(id)) selected.delete(id);
  if (!ids.includes(state.here)) state.here = ids[0] ?? null;
  mark(hadFocus);
  tell(groups);
}

/** Show which photo is at hand, and which are selected. */
export function mark(focus) {
  for (const pick of document.querySelectorAll(".pick")) {
    const id = Number(pick.dataset.id);
    const pressed = String(selected.has(id));
    if (pick.getAttribute("aria-pressed") !== pressed) pick.setAttribute("aria-pressed", pressed);
    if (pick.tabIndex !== (id === state.here ? 0 : -1)) pick.tabIndex = id === state.here ? 0 : -1;
    pick.classList.toggle("here", id === state.here);
    if (id === state.here && focus) {
      $("review").style.setProperty("--bar", `${$("bar").offsetHeight}px`); // what covers the top, as high as the names make it
      pick.focus({ preventScroll: true });
      pick.scrollIntoView({ block: "nearest" });
    }
  }
  for (const button of document.querySelectorAll("[data-select]")) {
    const all = selected.size > 0 && shownGroups()[Number(button.dataset.select)].cards.every((card) => selected.has(card.photo_id));
    const text = all ? "Let go" : "Select all";
    if (button.textContent !== text) button.textContent = text;
  }
  const suggestion = groupOf(state.here)?.species ?? null;
  $("accept").disabled = suggestion === null;
  $("accept-name").textContent = suggestion === null ? "no suggestion" : `Yes, ${groupOf(state.here).name}${selected.size > 1 ? ` (${selected.size})` : ""}`;
  closer();
}
