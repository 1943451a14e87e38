// Names are given and taken back. Every answer is sent at once, and the page goes on without waiting for it.
import { ask, newKey, toast } from "../base.js";
import { openChooser } from "../chooser.js";
import { giveDigits } from "./digits.js";
import { draw, mark } from "./groups.js";
import { say } from "./progress.js";
import { answered, cardOf, changed, chosen, count, groupOf, nameOf, order, photos, selected, shownGroups, state } from "./state.js";

const root = document.getElementById("review");

/** Answers, and answers taken back, on their way; the queue is asked for again when there is none. */
let underWay = 0;
let asked = 0;

const busy = (is) => root.setAttribute("aria-busy", String(is));

/** Ask for the queue, and show it. */
export async function load() {
  const mine = ++asked;
  busy(true);
  try {
    const found = await ask("/api/queue");
    if (mine !== asked || underWay) return;
    const before = groupOf(state.here);
    state.queue = found;
    answered.clear();
    changed();
    giveDigits();
    keepInView(before);
    draw();
  } catch (error) {
    say(error.message, true);
  }
  if (mine === asked && !underWay) busy(false);
}

const idsOf = (group) => new Set(group?.cards.map((card) => card.photo_id));
/** The first of some groups that has photos of another one, as it was before. */
const sameGroup = (groups, ids) => groups.find((group) => group.cards.some((card) => ids.has(card.photo_id)));

/** Who was at work in a group goes on in it, with its first photo: the odd ones stand there. */
function keepInView(before) {
  if (selected.size) return;
  const groups = state.queue.groups.filter((group) => !group.audit);
  const same = !before ? null : before.species === null ? sameGroup(groups, idsOf(before)) : groups.find((group) => group.species === before.species);
  state.here = (same ?? state.queue.groups[0])?.cards[0]?.photo_id ?? null;
}

/** What changes something is sent one after another, in the order of the keys: undo means the answer before it, also one on its way. */
let turn = Promise.resolve();
function inTurn(what) {
  const mine = turn.then(what);
  turn = mine.catch(() => {});
  return mine;
}

/** Answers that the server has not taken yet, the latest last. */
const onTheirWay = [];

/** Send an answer when its turn comes. Who takes it back meanwhile has to know its number, and whether it was refused. */
async function send(content) {
  const mine = { refused: false, number: null };
  onTheirWay.push(mine);
  try {
    const told = await inTurn(() => ask("/api/answers", content).then((answer) => {
      mine.number = answer.request_id;
      return answer;
    }, (error) => {
      mine.refused = true;
      throw error;
    }));
    return told;
  } finally {
    if (onTheirWay.includes(mine)) onTheirWay.splice(onTheirWay.indexOf(mine), 1);
  }
}

/** Name photos, and go on to the next ones of their group. */
export async function give(species, newSpecies = false, ids = chosen()) {
  if (!ids.length) return;
  const cards = ids.map(cardOf);
  leave(ids, cards);
  count(ids.length);
  say(`${ids.length === 1 ? "It is" : `${photos(ids.length)}:`} ${nameOf(species)}.`);
  underWay += 1;
  busy(true);
  draw();
  try {
    const seen = cards.map((card) => ({ photo_id: card.photo_id, seen: card.seen }));
    const told = await send({ key: newKey(), species, new_species: newSpecies, photos: seen });
    state.queue.undo = told;
    for (const [id, guess] of Object.entries(told.told)) toast(`birdwatchd had taken photo ${id} for: ${guess}`);
  } catch (error) {
    for (const id of ids) answered.delete(id);
    changed();
    count(-ids.length);
    if (error.content?.is_new) choose("", { species, message: error.message, ids }); // nobody has used it here yet
    else say(error.message, true);
    state.here = ids[0];
    draw();
  }
  underWay -= 1;
  if (!underWay) load();
}

/** These photos are answered; the one at hand is the next of their group, else the first of all. */
function leave(ids, cards) {
  const at = order().indexOf(ids[0]);
  const together = idsOf(groupOf(ids[0]));
  for (const card of cards) answered.set(card.photo_id, card);
  changed();
  selected.clear();
  const left = order();
  const rest = sameGroup(shownGroups(), together)?.cards;
  const next = rest && Math.max(0, Math.min(rest.length - 1, rest.findIndex((card) => left.indexOf(card.photo_id) >= at)));
  state.here = rest ? rest[next].photo_id : left[0] ?? null;
}

/** Take back the last answer of this browser: one that is still on its way, else the one that the server knows of. */
export async function undo() {
  underWay += 1;
  busy(true);
  try {
    const meant = onTheirWay.pop();
    const back = await inTurn(() => (meant?.refused ? null : ask("/api/undo", { key: newKey(), request_id: meant?.number ?? null })));
    if (back) tookBack(back);
  } catch (error) {
    say(error.message, error.status !== 409); // that nothing is left is no failure
  }
  underWay -= 1;
  if (underWay) return;
  const wanted = state.here;
  await load();
  if (order().includes(wanted)) {
    state.here = wanted;
    mark(true);
  }
}

function tookBack(back) {
  count(-back.photo_ids.length);
  say(`Taken back: ${photos(back.photo_ids.length)} no longer ${back.name}.`);
  for (const id of back.photo_ids) answered.delete(id);
  changed();
  selected.clear();
  state.here = back.photo_ids[0];
}

/** Yes, it is what is suggested. */
export function accept() {
  const group = groupOf(chosen()[0]);
  const species = group?.species ?? null;
  if (species === null) say("There is no suggestion here; take a number, or type a name.");
  else if (group.is_new) choose("", { species, message: `Nobody has named a ${group.name} here yet. Once more if it is one.`, ids: chosen() });
  else give(species);
}

/** Type a name, or confirm one. */
export function choose(letter, confirm = null) {
  const ids = confirm?.ids ?? chosen();
  if (!ids.length) return;
  openChooser({ species: state.queue.species, letter, confirm, title: `Name ${ids.length === 1 ? "this photo" : photos(ids.length)}` })
    .then((taken) => {
      if (taken) give(taken.species, taken.isNew, ids);
      else mark(true);
    });
}
