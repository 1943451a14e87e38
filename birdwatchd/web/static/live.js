// What happens while a page is open. A page in the background listens to nothing: there are few places for listeners.

const FIRST_MS = 1200; // the page itself comes first
const AGAIN_MS = 5000;
const FULL_MS = 60000; // all places are taken, or we are logged out

/** Call `handlers.NAME(facts)` for each event of that name, while the page is seen; see /api/events. `lost` when nobody answers. */
export function live(handlers, newestPhoto = null) {
  let source = null, timer = 0, after = newestPhoto, opened = false;

  function open() {
    if (source || document.hidden) return;
    source = new EventSource("/api/events" + (after === null ? "" : `?after=${after}`));
    opened = false;
    source.onopen = () => { opened = true; };
    source.onerror = () => {
      close();
      if (opened) handlers.lost?.();
      later(opened ? AGAIN_MS : FULL_MS);
    };
    heard("photos", (facts) => { after ??= facts.newest_photo; });
    heard("replaced", (facts) => { after = facts.newest_photo; });
    for (const name of Object.keys(handlers)) if (name !== "lost") heard(name, handlers[name]);
  }
  const heard = (name, does) => source.addEventListener(name, (event) => does(JSON.parse(event.data)));
  function close() { source?.close(); source = null; clearTimeout(timer); }
  function later(ms) { clearTimeout(timer); timer = setTimeout(open, ms); }

  document.addEventListener("visibilitychange", () => (document.hidden ? close() : later(0)));
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => { if (event.persisted) later(0); });
  later(FIRST_MS);
}
