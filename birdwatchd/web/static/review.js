// The review page: what is shown, and what each key does. The server keeps every answer; nothing here is lost by a reload.
import { ask, el, newKey, percent, toast } from "./base.js";
import { openChooser } from "./chooser.js";
import { watch } from "./news.js";

const $ = (id) => document.getElementById(id);
const root = $("review");
const DIGITS = "1234567890";
const KEPT_DIGITS = "birdwatchd-digits";

/** What the server said last. */
let queue = { groups: [], species: [], waiting: 0, left_this_week: null, undo: null };
/** Photos that were answered and that the server may still show: id -> its card and group. */
const answered = new Map();
const selected = new Set();
/** The photo at hand. */
let here = null;
/** Answers on their way; the queue is asked for again when there is none. */
let underWay = 0;
let asked = 0;
let done = Number(sessionStorage.getItem("birdwatchd-answered") ?? 0);
let digits = [];

/** What is shown now; found anew when the queue or what is answered has changed. */
let now = null;
function shown() {
  if (!now) {
    const groups = queue.groups
      .map((group) => ({ ...group, cards: group.cards.filter((card) => !answered.has(card.photo_id)) }))
      .filter((group) => group.cards.length);
    const home = new Map(groups.flatMap((group) => group.cards.map((card) => [card.photo_id, group])));
    const cards = new Map(queue.groups.flatMap((group) => group.cards.map((card) => [card.photo_id, card])));
    now = { groups, order: [...home.keys()], home, cards };
  }
  return now;
}
const changed = () => { now = null; };
const shownGroups = () => shown().groups;
const order = () => shown().order;
const groupOf = (id) => shown().home.get(id);
const cardOf = (id) => shown().cards.get(id);
/** A name that the server has not told yet: words instead of a folder's. */
const readable = (label) => label.charAt(0).toUpperCase() + label.slice(1).replaceAll("-", " ");
const nameOf = (species) => species === "empty" ? "No bird" : queue.species.find((one) => one.species === species)?.name ?? readable(species);
const photos = (count) => count === 1 ? "1 photo" : `${count} photos`;

function say(text, bad = false) {
  $("said").textContent = text;
  $("said").classList.toggle("bad", bad);
}

// -- showing

/** Under a photo: what a model takes it for, else where and when it was taken. */
function line(card) {
  if (card.is_strange) return "new here?";
  if (card.probability !== null) return `${card.guess_name} ${percent(card.probability)}`;
  return [card.camera, card.at.slice(11, 16)].filter(Boolean).join(", ");
}

function picture(card) {
  const about = line(card);
  const pick = el("button", { type: "button", class: "pick", "data-id": card.photo_id, tabindex: "-1" },
    el("img", { src: `/thumbnails/${card.photo_id}`, alt: "", loading: "lazy", decoding: "async", width: 160, height: 160 }),
    el("span", {}, about));
  pick.setAttribute("aria-label", `Photo ${card.photo_id}, ${about}`);
  return el("li", {}, pick);
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

function draw() {
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
    become(made.querySelector(".cards"), group.cards.map((card) => pictures.get(card.photo_id) ?? picture(card)));
    return made;
  });
  become($("groups"), wanted);
  const ids = order();
  for (const id of [...selected]) if (!ids.includes(id)) selected.delete(id);
  if (!ids.includes(here)) here = ids[0] ?? null;
  mark(hadFocus);
  tell(groups);
}

/** Show which photo is at hand, and which are selected. */
function mark(focus) {
  for (const pick of document.querySelectorAll(".pick")) {
    const id = Number(pick.dataset.id);
    const pressed = String(selected.has(id));
    if (pick.getAttribute("aria-pressed") !== pressed) pick.setAttribute("aria-pressed", pressed);
    if (pick.tabIndex !== (id === here ? 0 : -1)) pick.tabIndex = id === here ? 0 : -1;
    pick.classList.toggle("here", id === here);
    if (id === here && focus) {
      root.style.setProperty("--bar", `${$("bar").offsetHeight}px`); // what covers the top, as high as the names make it
      pick.focus({ preventScroll: true });
      pick.scrollIntoView({ block: "nearest" });
    }
  }
  for (const button of document.querySelectorAll("[data-select]")) {
    const all = selected.size > 0 && shownGroups()[Number(button.dataset.select)].cards.every((card) => selected.has(card.photo_id));
    const text = all ? "Let go" : "Select all";
    if (button.textContent !== text) button.textContent = text;
  }
  const suggestion = groupOf(here)?.species ?? null;
  $("accept").disabled = suggestion === null;
  $("accept-name").textContent = suggestion === null ? "no suggestion" : `Yes, ${groupOf(here).name}${selected.size > 1 ? ` (${selected.size})` : ""}`;
  closer();
}

function closer() {
  const card = here === null ? null : cardOf(here);
  $("closer").hidden = !card;
  if (card) $("closer").replaceChildren(...about(card));
}

/** A photo in large, with what is known of it. */
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

/** Where the screen is too small for both, the photo at hand is shown in large when somebody wants it. */
function enlarge() {
  if (here === null) return;
  $("large-photo").replaceChildren(...about(cardOf(here)));
  $("large").showModal();
}

function tell(groups) {
  const left = groups.reduce((sum, group) => sum + group.cards.length, 0);
  const more = Math.max(0, queue.waiting - left - answered.size);
  const total = done + left;
  $("progress").textContent = left
    ? `${done} of ${total} answered; ${groups.length === 1 ? "1 group" : `${groups.length} groups`} left${queue.left_this_week !== null ? ", chosen for this week" : more ? `, and ${more} more after these` : ""}`
    : "";
  $("undo").disabled = !queue.undo && !answered.size;
  $("bar").hidden = !left;
  $("end").hidden = left > 0;
  if (!left) theEnd();
}

function theEnd() {
  const enough = queue.left_this_week === 0;
  $("end").replaceChildren(
    el("img", { src: "/static/icon.svg", alt: "", width: 72, height: 72 }),
    el("h2", {}, done ? "Thank you, that was all" : enough ? "Enough for this week" : "Nothing waits for an answer"),
    el("p", {}, done ? `You answered ${photos(done)}. They move into their folders now, and as soon as you are quiet for a moment birdwatchd learns from your names.`
      : enough ? "You have answered as many photos as you wanted to in a week." : "New photos that birdwatchd is not sure of will show up here."),
    el("p", {}, el("a", { class: "button", href: "/" }, "To the garden")));
}

// -- species

/** Ten names with digits. Who has one keeps it, also after a reload. */
function giveDigits() {
  const used = queue.species.filter((one) => one.used).map((one) => one.species);
  const known = new Set(used);
  let kept = [];
  try {
    kept = JSON.parse(localStorage.getItem(KEPT_DIGITS) ?? "[]");
  } catch { /* somebody else's words: then all digits are given anew */ }
  digits = (Array.isArray(kept) ? kept : []).filter((one) => known.has(one)).slice(0, 10);
  for (const one of used) if (digits.length < 10 && !digits.includes(one)) digits.push(one);
  localStorage.setItem(KEPT_DIGITS, JSON.stringify(digits));
  $("names").replaceChildren(...digits.map((species, place) =>
    el("button", { type: "button", "data-species": species }, el("kbd", {}, DIGITS[place]), nameOf(species))));
}

// -- asking and answering

async function load() {
  const mine = ++asked;
  root.setAttribute("aria-busy", "true");
  try {
    const found = await ask("/api/queue");
    if (mine !== asked || underWay) return;
    const stay = groupOf(here);
    queue = found;
    answered.clear();
    changed();
    giveDigits();
    keepInView(stay);
    draw();
  } catch (error) {
    say(error.message, true);
  }
  if (mine === asked && !underWay) root.setAttribute("aria-busy", "false");
}

/** Who was at work in a group goes on in it, with its first photo: the odd ones stand there. */
function keepInView(before) {
  if (selected.size) return;
  const together = new Set(before?.cards.map((card) => card.photo_id));
  const same = queue.groups.find((group) => !group.audit && before && (before.species !== null ? group.species === before.species
    : group.cards.some((card) => together.has(card.photo_id))));
  here = (same ?? queue.groups[0])?.cards[0]?.photo_id ?? null;
}

function chosen() {
  const ids = order();
  return selected.size ? ids.filter((id) => selected.has(id)) : here === null ? [] : [here];
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

async function give(species, newSpecies = false, ids = chosen()) {
  if (!ids.length) return;
  const cards = ids.map(cardOf);
  const at = order().indexOf(ids[0]);
  const group = groupOf(ids[0]);
  for (const card of cards) answered.set(card.photo_id, card);
  changed();
  selected.clear();
  const left = order();
  const together = new Set(group?.cards.map((card) => card.photo_id));
  const rest = shownGroups().find((one) => one.cards.some((card) => together.has(card.photo_id)));
  here = rest ? rest.cards[Math.max(0, Math.min(rest.cards.length - 1, rest.cards.findIndex((card) => left.indexOf(card.photo_id) >= at)))].photo_id : left[0] ?? null;
  done += ids.length;
  say(`${ids.length === 1 ? "It is" : `${photos(ids.length)}:`} ${nameOf(species)}.`);
  underWay += 1;
  root.setAttribute("aria-busy", "true");
  draw();
  try {
    const content = { key: newKey(), species, new_species: newSpecies, photos: cards.map((card) => ({ photo_id: card.photo_id, seen: card.seen })) };
    const mine = { refused: false };
    onTheirWay.push(mine);
    const told = await inTurn(() => ask("/api/answers", content).then((answer) => {
      mine.number = answer.request_id;
      return answer;
    }, (error) => {
      mine.refused = true;
      throw error;
    }).finally(() => {
      if (onTheirWay.includes(mine)) onTheirWay.splice(onTheirWay.indexOf(mine), 1);
    }));
    queue.undo = told;
    for (const [id, guess] of Object.entries(told.told)) toast(`birdwatchd had taken photo ${id} for: ${guess}`);
  } catch (error) {
    for (const id of ids) answered.delete(id);
    changed();
    done -= ids.length;
    if (error.content?.is_new) {
      offer(species, ids, error.message);
    } else {
      say(error.message, true);
    }
    here = ids[0];
    draw();
  }
  sessionStorage.setItem("birdwatchd-answered", done);
  underWay -= 1;
  if (!underWay) load();
}

/** A name that nobody has used here yet: asked for once more. */
function offer(species, ids, message) {
  choose("", { species, message, ids });
}

async function undo() {
  underWay += 1;
  root.setAttribute("aria-busy", "true");
  try {
    const meant = onTheirWay.pop();
    const back = await inTurn(() => (meant?.refused ? null : ask("/api/undo", { key: newKey(), request_id: meant?.number ?? null })));
    if (back) tookBack(back);
  } catch (error) {
    say(error.message, error.status !== 409); // that nothing is left is no failure
  }
  underWay -= 1;
  if (underWay) return;
  const wanted = here;
  await load();
  if (order().includes(wanted)) {
    here = wanted;
    mark(true);
  }
}

function tookBack(back) {
  done = Math.max(0, done - back.photo_ids.length);
  sessionStorage.setItem("birdwatchd-answered", done);
  say(`Taken back: ${photos(back.photo_ids.length)} no longer ${back.name}.`);
  for (const id of back.photo_ids) answered.delete(id);
  changed();
  selected.clear();
  here = back.photo_ids[0];
}

function accept() {
  const species = groupOf(chosen()[0])?.species ?? null;
  if (species === null) {
    say("There is no suggestion here; take a number, or type a name.");
    return;
  }
  const group = groupOf(chosen()[0]);
  if (group.is_new) choose("", { species, message: `Nobody has named a ${group.name} here yet. Once more if it is one.`, ids: chosen() });
  else give(species);
}

function choose(letter, confirm = null) {
  if (!confirm && !chosen().length) return;
  const ids = confirm?.ids ?? chosen();
  openChooser({ species: queue.species, letter, confirm, title: `Name ${ids.length === 1 ? "this photo" : photos(ids.length)}` })
    .then((taken) => {
      if (taken) give(taken.species, taken.isNew, ids);
      else mark(true);
    });
}

// -- moving and selecting

function move(step) {
  const ids = order();
  const at = ids.indexOf(here);
  here = ids[Math.max(0, Math.min(ids.length - 1, at + step))] ?? null;
  mark(true);
}

/** Up and down: the photo in the next row that is nearest by sight. */
function row(step) {
  const picks = [...document.querySelectorAll(".pick")].map((pick) => ({ id: Number(pick.dataset.id), box: pick.getBoundingClientRect() }));
  const now = picks.find((one) => one.id === here);
  if (!now) return;
  const beyond = picks.filter((one) => step * (one.box.top - now.box.top) > 4);
  if (!beyond.length) return;
  const next = Math.min(...beyond.map((one) => Math.abs(one.box.top - now.box.top)));
  const inRow = beyond.filter((one) => Math.abs(Math.abs(one.box.top - now.box.top) - next) < 4);
  here = inRow.reduce((best, one) => Math.abs(one.box.left - now.box.left) < Math.abs(best.box.left - now.box.left) ? one : best).id;
  mark(true);
}

function toggle(id) {
  if (!selected.delete(id)) selected.add(id);
  here = id;
  mark(true);
}

function selectGroup(group) {
  const ids = group?.cards.map((card) => card.photo_id) ?? [];
  if (!ids.length) return;
  const all = ids.every((id) => selected.has(id));
  selected.clear();
  if (!all) ids.forEach((id) => selected.add(id));
  if (!ids.includes(here)) here = ids[0];
  say(all ? "Let go." : `${photos(ids.length)} selected.`);
  mark(true);
}

const KEYS = {
  Enter: accept, e: () => selectGroup(groupOf(here)), x: () => give("empty"), u: undo, j: () => move(1), k: () => move(-1),
  ArrowRight: () => move(1), ArrowLeft: () => move(-1), ArrowDown: () => row(1), ArrowUp: () => row(-1),
  " ": () => here !== null && toggle(here), "?": () => $("keys").showModal(), "/": () => choose(""),
  Escape: () => { selected.clear(); mark(true); },
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const on = event.target;
  const isPick = on === document.body || on.id === "main" || on.classList?.contains("pick");
  if (!isPick && (on.closest("input, select, textarea") || ["Enter", " "].includes(event.key))) return;
  const letter = /^\p{L}$/u.test(event.key) ? event.key : null;
  const does = KEYS[event.shiftKey && letter ? "" : event.key];
  const digit = DIGITS.indexOf(event.key);
  if (event.key.length === 1 && digit >= 0) {
    event.preventDefault();
    if (digits[digit]) give(digits[digit]);
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
    here = group.cards[0].photo_id;
    accept();
  }
});
$("groups").addEventListener("focusin", (event) => {
  const id = Number(event.target.closest(".pick")?.dataset.id);
  if (id && id !== here) {
    here = id;
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
