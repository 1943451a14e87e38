// One quiet line at the foot of a page: new photos, or what is the matter. The page itself never changes under somebody's hands.
import { countWaiting, el, sentences } from "./base.js";
import { live } from "./live.js";

const state = { lost: false, trouble: "", replaced: false, arrived: 0, running: true };
let line = null;

/** What to say now, and what the button does; the gravest first. */
export function said({ lost, trouble, replaced, arrived, running }) {
  if (lost) return { text: "birdwatchd's page does not answer. It is asked again by itself.", grave: true };
  if (trouble) return { text: trouble, grave: true };
  if (replaced) return { text: "An older log was put back: this page shows what was before.", button: "Load it anew" };
  if (arrived) return { text: arrived === 1 ? "1 new photo" : `${arrived >= 1000 ? "1000 or more" : arrived} new photos`, button: "Show" };
  if (!running) return { text: "birdwatchd is not running: new photos wait in the inbox.", grave: true };
  return null;
}

function show() {
  const now = said(state);
  if (!line) {
    line = el("div", { class: "news", role: "status" });
    document.body.append(line);
  }
  line.hidden = now === null;
  line.classList.toggle("grave", Boolean(now?.grave));
  line.replaceChildren();
  if (!now) return;
  line.append(el("span", {}, now.text));
  if (now.button) {
    const button = el("button", { type: "button" }, now.button);
    button.addEventListener("click", () => location.reload());
    line.append(button);
  }
}

/** Listen as long as the page is seen. `handlers` hear the same events as the line does; `quiet` names states that they show themselves. */
export function watch(handlers = {}, { newestPhoto = null, quiet = [] } = {}) {
  const set = (changes) => {
    for (const [name, value] of Object.entries(changes)) if (!quiet.includes(name)) state[name] = value;
    show();
  };
  const both = {
    photos(facts) { set({ arrived: facts.arrived, lost: false }); if (facts.arrived) countWaiting(); },
    status(facts) { set({ running: facts.running, lost: false }); },
    trouble({ error, hint }) { set({ trouble: sentences({ error, hint }) }); },
    fine() { set({ trouble: "" }); },
    replaced() { set({ replaced: true }); },
    wish() { countWaiting(); },
    lost() { set({ lost: true }); },
    learning() {},
    model() {},
  };
  const merged = {};
  for (const name of Object.keys(both)) {
    merged[name] = (facts) => { both[name](facts); handlers[name]?.(facts); };
  }
  live(merged, newestPhoto);
}
