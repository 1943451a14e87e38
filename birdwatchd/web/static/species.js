// The plots of a species page.
import { ask, toast } from "./base.js";
import { calendar, draw, numbers, ready, visits } from "./plots.js";

const { period, species } = document.getElementById("species").dataset;

function sureness(parts) {
  const labels = parts.map((_, n) => `${n * 10}–${n * 10 + 10} %`);
  draw("sure", (now) => ({
    grid: { left: 8, right: 18, top: 12, bottom: 8, containLabel: true },
    xAxis: { type: "category", data: labels, axisTick: { show: false }, axisLine: { lineStyle: { color: now.line } },
      axisLabel: { color: now.soft, hideOverlap: true } },
    yAxis: { type: "value", minInterval: 1, splitLine: { lineStyle: { color: now.line } }, axisLabel: { color: now.soft } },
    series: [{ type: "bar", data: parts, itemStyle: { color: now.leaf }, barCategoryGap: "18%" }],
  }));
  numbers("sure", ["Probability", "Photos"], labels.map((label, n) => [label, parts[n]]));
}

async function show() {
  const told = await ask(`/api/species/${encodeURIComponent(species)}?period=${period}`);
  await ready;
  visits(told, period);
  sureness(told.sureness);
}

const failed = (error) => toast(error.message, "bad");
show().catch(failed);
Promise.all([ask(`/api/garden/year?species=${encodeURIComponent(species)}`), ready]).then(([year]) => calendar("year", year)).catch(failed);
