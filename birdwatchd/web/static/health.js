// The health page asks again every few seconds, and draws anew only what has changed.
import { ask, el } from "./base.js";

const EVERY_MS = 4000;
const list = document.getElementById("points");
const verdict = document.getElementById("verdict");
const lost = document.getElementById("lost");
let shown = "";

function draw(health) {
  const now = JSON.stringify(health);
  if (now === shown) return;
  shown = now;
  if (verdict.textContent !== health.verdict) verdict.textContent = health.verdict;
  list.replaceChildren(...health.points.map((point) => el(
    "li", { class: point.advice ? "card needs" : "card" },
    el("h2", {}, point.subject),
    el("p", {}, point.what),
    point.advice && el("p", { class: "advice" }, point.advice),
  )));
}

async function look() {
  if (!document.hidden) {
    try {
      draw(await ask("/api/health"));
      lost.hidden = true;
    } catch {
      lost.hidden = false;
    }
  }
  setTimeout(look, EVERY_MS);
}
setTimeout(look, EVERY_MS);
document.addEventListener("visibilitychange", () => { if (!document.hidden) shown = ""; });
