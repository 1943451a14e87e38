// From photo to photo, and which are selected.
import { mark } from "./groups.js";
import { say } from "./progress.js";
import { order, photos, selected, state } from "./state.js";

/** So many photos on, or back. */
export function move(step) {
  const ids = order();
  const at = ids.indexOf(state.here);
  state.here = ids[Math.max(0, Math.min(ids.length - 1, at + step))] ?? null;
  mark(true);
}

/** Up and down: the photo in the next row that is nearest by sight. */
export function row(step) {
  const picks = [...document.querySelectorAll(".pick")].map((pick) => ({ id: Number(pick.dataset.id), box: pick.getBoundingClientRect() }));
  const now = picks.find((one) => one.id === state.here);
  if (!now) return;
  const beyond = picks.filter((one) => step * (one.box.top - now.box.top) > 4);
  if (!beyond.length) return;
  const next = Math.min(...beyond.map((one) => Math.abs(one.box.top - now.box.top)));
  const inRow = beyond.filter((one) => Math.abs(Math.abs(one.box.top - now.box.top) - next) < 4);
  state.here = inRow.reduce((best, one) => Math.abs(one.box.left - now.box.left) < Math.abs(best.box.left - now.box.left) ? one : best).id;
  mark(true);
}

/** Select a photo, or let go of it. */
export function toggle(id) {
  if (!selected.delete(id)) selected.add(id);
  state.here = id;
  mark(true);
}

/** Select all photos of a group; if they are selected already, let go of them. */
export function selectGroup(group) {
  const ids = group?.cards.map((card) => card.photo_id) ?? [];
  if (!ids.length) return;
  const all = ids.every((id) => selected.has(id));
  selected.clear();
  if (!all) ids.forEach((id) => selected.add(id));
  if (!ids.includes(state.here)) state.here = ids[0];
  say(all ? "Let go." : `${photos(ids.length)} selected.`);
  mark(true);
}

/** Let go of all. */
export function letGo() {
  selected.clear();
  mark(true);
}
