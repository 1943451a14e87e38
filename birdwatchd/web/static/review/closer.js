// The photo at hand in large, with what is known of it: beside the others, or over them where the screen is too small for both.
import { el, percent } from "../base.js";
import { cardOf, groupOf, state } from "./state.js";

const $ = (id) => document.getElementById(id);

function about(card) {
  const group = groupOf(card.photo_id);
  const guess = card.probability !== null ? `${card.guess_name}, ${percent(card.probability)}` : group?.name && !group.is_new ? `Looks most like ${group.name}` : "";
  const told = [
    el("img", { src: `/thumbnails/${card.photo_id}`, alt: `Photo ${card.photo_id}`, width: 280, height: 280 }),
    guess ? el("p", {}, el("strong", {}, guess)) : "",
    card.probability === null && card.guess_name ? el("p", { class: "small soft" }, `Without names from you birdwatchd would say: ${card.guess_name}`) : "",
    el("p", { class: "small soft" }, `Why it waits: ${card.reason}`),
    el("p", { class: "small soft" }, [card.camera, card.at.slice(0, 16).replace("T", " ")].filter(Boolean).join(" · ")),
    group?.audit ? "" : el("p", { class: "small" }, el("a", { href: `/photos/${card.photo_id}` }, "All about this photo")), // which tells the guess
  ];
  if (card.alike.length) {
    told.push(el("h2", {}, "You named these"), el("ul", {}, ...card.alike.map((one) =>
      el("li", {}, el("img", { src: `/thumbnails/${one.photo_id}`, alt: "", width: 80, height: 80 }), one.name))));
  }
  return told;
}

/** Show it beside the others. */
export function closer() {
  const card = state.here === null ? null : cardOf(state.here);
  $("closer").hidden = !card;
  if (card) $("closer").replaceChildren(...about(card));
}

/** Show it over them. */
export function enlarge() {
  if (state.here === null) return;
  $("large-photo").replaceChildren(...about(cardOf(state.here)));
  $("large").showModal();
}
