// What every page's script needs: asking the server, and telling the person.

const csrf = document.querySelector('meta[name="csrf"]').content;

/** What went wrong and what helps, as sentences; "" if neither is told. */
export const sentences = ({ error, hint }) => [error, hint].filter(Boolean).map((one) => one.charAt(0).toUpperCase() + one.slice(1)).join(". ");

/** Ask our own API. Resolves to its answer; rejects with an Error whose message is the server's sentence, and `status`. */
export async function ask(path, body) {
  const options = body === undefined ? {} : {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRF-Token": csrf },
    body: JSON.stringify(body),
  };
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw Object.assign(new Error("birdwatchd does not answer. Is it running?"), { status: 0 });
  }
  if (answer.status === 401) {
    location.href = "/login?to=" + encodeURIComponent(location.pathname);
  }
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    throw Object.assign(new Error(sentences(content) || "That did not work."), { status: answer.status, content });
  }
  return content;
}

/** Tell the person something for a few seconds; screen readers say it. */
export function toast(text, kind = "") {
  const line = document.createElement("p");
  line.textContent = text;
  line.className = kind;
  document.querySelector(".toasts").append(line);
  setTimeout(() => line.remove(), 6000);
}

/** What nobody sends twice: an answer that is sent again under the same key is given once. */
export const newKey = () => crypto.getRandomValues(new Uint32Array(4)).join("-");

/** How sure a model is: never 0 or all, no model is that sure. As the server tells it. */
export const percent = (probability) => `${Math.max(1, Math.min(99, Math.round(100 * probability)))}\u00a0%`;

/** How many photos wait, beside Review in the menu. */
export async function countWaiting() {
  const mark = document.querySelector("[data-waiting]");
  if (!mark) return;
  const { waiting } = await ask("/api/queue/count").catch(() => ({ waiting: 0 }));
  mark.textContent = waiting ? (waiting >= 1000 ? "999+" : waiting) : "";
  mark.title = waiting ? `${waiting} photos wait for a name` : "";
}
countWaiting();

/** An element: el("p", {class: "x"}, "text", other). */
export function el(name, attributes = {}, ...content) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...content.filter((one) => one !== null && one !== undefined));
  return made;
}

// On a phone the row of pages is wider than the screen: the one we are on is in view.
document.querySelector(".top [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
