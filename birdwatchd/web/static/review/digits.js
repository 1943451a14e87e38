// Ten names with digits, in the row above the photos. Who has one keeps it, also after a reload.
import { el } from "../base.js";
import { nameOf, state } from "./state.js";

const DIGITS = "1234567890";
const KEPT = "birdwatchd-digits";

let digits = [];

/** The species whose name has this key; null where the key is no digit, undefined where nobody has it yet. */
export const speciesAt = (key) => key.length === 1 && DIGITS.includes(key) ? digits[DIGITS.indexOf(key)] : null;

/** Give digits to names in use, and show them. */
export function giveDigits() {
  const used = state.queue.species.filter((one) => one.used).map((one) => one.species);
  const known = new Set(used);
  let kept = [];
  try {
    kept = JSON.parse(localStorage.getItem(KEPT) ?? "[]");
  } catch { /* somebody else's words: then all digits are given anew */ }
  digits = (Array.isArray(kept) ? kept : []).filter((one) => known.has(one)).slice(0, 10);
  for (const one of used) if (digits.length < 10 && !digits.includes(one)) digits.push(one);
  localStorage.setItem(KEPT, JSON.stringify(digits));
  document.getElementById("names").replaceChildren(...digits.map((species, place) =>
    el("button", { type: "button", "data-species": species }, el("kbd", {}, DIGITS[place]), nameOf(species))));
}
