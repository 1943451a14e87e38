// What is said above the photos, and in their place when none is left.
import { el } from "../base.js";
import { answered, photos, state } from "./state.js";

const $ = (id) => document.getElementById(id);

/** The line that tells what a key has done; screen readers say it. */
export function say(text, bad = false) {
  $("said").textContent = text;
  $("said").classList.toggle("bad", bad);
}

/** How far it is. */
export function tell(groups) {
  const left = groups.reduce((sum, group) => sum + group.cards.length, 0);
  const more = Math.max(0, state.queue.waiting - left - answered.size);
  const total = state.done + left;
  $("progress").textContent = left
    ? `${state.done} of ${total} answered; ${groups.length === 1 ? "1 group" : `${groups.length} groups`} left${state.queue.left_this_week !== null ? ", chosen for this week" : more ? `, and ${more} more after these` : ""}`
    : "";
  $("undo").disabled = !state.queue.undo && !answered.size;
  $("bar").hidden = !left;
  $("end").hidden = left > 0;
  if (!left) theEnd();
}

function theEnd() {
  const enough = state.queue.left_this_week === 0;
  $("end").replaceChildren(
    el("img", { src: "/static/icon.svg", alt: "", width: 72, height: 72 }),
    el("h2", {}, state.done ? "Thank you, that was all" : enough ? "Enough for this week" : "Nothing waits for an answer"),
    el("p", {}, state.done ? `You answered ${photos(state.done)}. They move into their folders now, and as soon as you are quiet for a moment birdwatchd learns from your names.`
      : enough ? "You have answered as many photos as you wanted to in a week." : "New photos that birdwatchd is not sure of will show up here."),
    el("p", {}, el("a", { class: "button", href: "/" }, "To the garden")));
}
