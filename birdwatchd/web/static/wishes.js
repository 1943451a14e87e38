// Following a wish until whoever holds the bird folder has fulfilled it.
import { ask, sentences } from "./base.js";

const EVERY_MS = 400;
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** Resolves to the wish when it is done; rejects with the server's sentence when it failed. `told` hears how far it is. */
export async function follow(number, told = () => {}) {
  for (;;) {
    const wish = await ask(`/api/wishes/${number}`);
    if (wish.outcome === "done") return wish;
    if (wish.outcome === "failed") throw new Error(sentences(wish));
    told(wish);
    await pause(EVERY_MS);
  }
}

/** What to say of a wish that is not over. */
export function inWords(wish) {
  if (!wish.running) return "birdwatchd is not running now. It does this as soon as it is started.";
  return wish.what ? `${wish.what[0].toUpperCase()}${wish.what.slice(1)} …` : "On it …";
}
