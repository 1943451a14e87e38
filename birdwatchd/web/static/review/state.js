// What the review page knows: the queue as the server told it last, and what was answered, selected and is at hand since.

export const state = {
  /** What the server said last. */
  queue: { groups: [], species: [], waiting: 0, left_this_week: null, undo: null },
  /** The photo at hand. */
  here: null,
  /** So many photos were answered since this tab was opened. */
  done: Number(sessionStorage.getItem("birdwatchd-answered") ?? 0),
};
/** Photos that were answered and that the server may still show: id -> its card. */
export const answered = new Map();
export const selected = new Set();

/** What is shown now; found anew when the queue or what is answered has changed. */
let now = null;
function shown() {
  if (!now) {
    const groups = state.queue.groups
      .map((group) => ({ ...group, cards: group.cards.filter((card) => !answered.has(card.photo_id)) }))
      .filter((group) => group.cards.length);
    const home = new Map(groups.flatMap((group) => group.cards.map((card) => [card.photo_id, group])));
    const cards = new Map(state.queue.groups.flatMap((group) => group.cards.map((card) => [card.photo_id, card])));
    now = { groups, order: [...home.keys()], home, cards };
  }
  return now;
}

/** To be called when the queue or what is answered has changed. */
export const changed = () => { now = null; };
export const shownGroups = () => shown().groups;
/** All photos that are shown, by id, as they stand on the page. */
export const order = () => shown().order;
export const groupOf = (id) => shown().home.get(id);
export const cardOf = (id) => shown().cards.get(id);

/** Photos that the next key is about: those selected, else the one at hand. */
export function chosen() {
  if (selected.size) return order().filter((id) => selected.has(id));
  return state.here === null ? [] : [state.here];
}

/** So many more photos are answered, or fewer; kept over a reload. */
export function count(more) {
  state.done = Math.max(0, state.done + more);
  sessionStorage.setItem("birdwatchd-answered", state.done);
}

/** A name that the server has not told yet: words instead of a folder's. */
const readable = (label) => label.charAt(0).toUpperCase() + label.slice(1).replaceAll("-", " ");
export const nameOf = (species) =>
  species === "empty" ? "No bird" : state.queue.species.find((one) => one.species === species)?.name ?? readable(species);
export const photos = (number) => number === 1 ? "1 photo" : `${number} photos`;
