// The plots of the garden page.
import { ask, toast } from "./base.js";
import { calendar, intervals, ready, visits } from "./plots.js";

const { period } = document.getElementById("garden").dataset;
const choice = document.getElementById("year-species");

async function show() {
  const garden = await ask(`/api/garden?period=${period}`);
  await ready;
  visits(garden, period);
  intervals("right", garden.accuracy);
}

async function showYear() {
  const year = await ask(`/api/garden/year?species=${encodeURIComponent(choice.value)}`);
  await ready;
  calendar("year", year);
}

const failed = (error) => toast(error.message, "bad");
choice.addEventListener("change", () => showYear().catch(failed));
show().catch(failed);
showYear().catch(failed);
