// Plots by Apache ECharts, in the colours of the page, each with its numbers as a table. Drawn on a canvas and with tooltips inside it, so
// that nothing needs a style of its own, which the content policy would not let through.
import { el } from "./base.js";

const ECHARTS = "/static/vendor/echarts/echarts-5.6.0.min.js";

const LIGHT = ["#1b6b45", "#d07a12", "#3a6fd0", "#b0413e", "#7a5cc4", "#2a9d9d", "#8a6d3b", "#c2559a", "#8b938e"];
const DARK = ["#7cc79b", "#f0b25c", "#8ab4ff", "#ff9d8f", "#c0a8ff", "#6fd6d6", "#d2b48c", "#f2a0cf", "#7e8a84"];
const HEAT_LIGHT = ["#e3efe8", "#9fd0b4", "#4f9d74", "#1b6b45", "#0b3a24"];
const HEAT_DARK = ["#1f3a2b", "#2f6a4a", "#4f9d74", "#8fd4ad", "#d9f5e5"];

const dark = matchMedia("(prefers-color-scheme: dark)");
const still = matchMedia("(prefers-reduced-motion: reduce)");
const drawn = new Map();

/** The library, once the page itself is painted: it is a megabyte to read. */
export const ready = new Promise((resolve, reject) => {
  requestAnimationFrame(() => setTimeout(() => {
    document.head.append(Object.assign(document.createElement("script"), {
      src: ECHARTS, onload: resolve, onerror: () => reject(new Error("The plots could not be loaded. Reload the page.")),
    }));
  }));
});
ready.catch(() => {}); // whoever waits for it says so

function colours() {
  const css = getComputedStyle(document.documentElement);
  const value = (name) => css.getPropertyValue(name).trim();
  return {
    text: value("--text"), soft: value("--soft"), line: value("--line"), raised: value("--raised"), sunken: value("--sunken"),
    leaf: value("--leaf"), series: dark.matches ? DARK : LIGHT, heat: dark.matches ? HEAT_DARK : HEAT_LIGHT,
  };
}

/** Draw into the element `id`, again whenever the colours or the width change. `option(colours, width)` is what ECharts wants. */
export function draw(id, option, onClick) {
  const place = document.getElementById(id);
  if (!place) return;
  drawn.get(id)?.chart.dispose();
  const chart = window.echarts.init(place, null, { renderer: "canvas" });
  const show = () => {
    const now = colours();
    chart.setOption({
      animation: false,
      textStyle: { color: now.text, fontFamily: getComputedStyle(document.body).fontFamily },
      tooltip: tooltip(now),
      ...option(now, place.clientWidth),
    }, true);
  };
  show();
  if (onClick) chart.on("click", onClick);
  drawn.get(id)?.watch.disconnect();
  let width = place.clientWidth;
  const watch = new ResizeObserver(() => {
    chart.resize();
    if (place.clientWidth !== width) {
      width = place.clientWidth;
      show();
    }
  });
  watch.observe(place);
  drawn.set(id, { chart, show, watch });
}

dark.addEventListener("change", () => { for (const { show } of drawn.values()) show(); });

function tooltip(now) {
  return {
    renderMode: "richText", confine: true, backgroundColor: now.raised, borderColor: now.line,
    textStyle: { color: now.text, fontSize: 13 }, transitionDuration: still.matches ? 0 : 0.1,
  };
}

/** The numbers as a table: a row for each place in time, a column for each series. */
export function numbers(id, heads, rows) {
  const place = document.querySelector(`[data-numbers="${id}"]`);
  if (!place) return;
  const cell = (one, index) => index === 0
    ? el("th", { scope: "row" }, String(one))
    : el("td", { class: typeof one === "number" ? "number" : "" }, typeof one === "number" ? one.toLocaleString() : String(one));
  place.replaceChildren(el("table", {},
    el("thead", {}, el("tr", {}, ...heads.map((one, index) => el("th", { scope: "col", class: index ? "number" : "" }, one)))),
    el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map(cell))))));
}

/** The two plots of a period: by hour of the day, and by day; by month for a year. */
export function visits(told, period) {
  const byMonth = period === "year";
  stacked("hours", told.hours, { word: "Hour" });
  stacked("days", told.days, {
    word: byMonth ? "Month" : "Day",
    label: byMonth ? monthLabel : dayLabel,
    onClick: byMonth ? undefined : (day) => { location.href = `/days/${day}`; },
  });
}

/** Visits stacked by species over hours, days or months. */
function stacked(id, plot, { word, label = (place) => place, onClick }) {
  const series = plot.series.map((one) => ({ name: one.name, data: one.visits }));
  const hasOthers = plot.others.some((one) => one > 0);
  if (hasOthers) series.push({ name: "Others", data: plot.others });
  const places = plot.places.map(label);
  draw(id, (now, width) => {
    const columns = width < 420 ? 2 : 4;
    const rows = series.length > 1 ? Math.ceil(series.length / columns) : 0;
    return {
      color: hasOthers ? [...now.series.slice(0, plot.series.length), now.series.at(-1)] : now.series,
      grid: { left: 8, right: 8, top: 12, bottom: rows > 3 ? 34 : 8 + rows * 24, containLabel: true },
      legend: series.length > 1
        ? { type: rows > 3 ? "scroll" : "plain", bottom: 0, left: 0, right: 0, itemWidth: 12, itemHeight: 12, itemGap: 10,
            pageIconColor: now.leaf, pageTextStyle: { color: now.soft }, textStyle: { color: now.text, fontSize: 12 } }
        : { show: false },
      tooltip: { ...tooltip(now), trigger: "axis", axisPointer: { type: "shadow" }, formatter: (points) => {
        const some = points.filter((one) => one.value > 0);
        const all = some.reduce((sum, one) => sum + one.value, 0);
        return [`${points[0].axisValueLabel}: ${all} ${all === 1 ? "visit" : "visits"}`, ...some.map((one) => `${one.seriesName}  ${one.value}`)].join("\n");
      } },
      xAxis: { type: "category", data: places, axisTick: { show: false }, axisLine: { lineStyle: { color: now.line } },
        axisLabel: { color: now.soft, fontSize: 12, hideOverlap: true } },
      yAxis: { type: "value", minInterval: 1, splitLine: { lineStyle: { color: now.line } }, axisLabel: { color: now.soft, fontSize: 12 } },
      series: series.map((one) => ({ ...one, type: "bar", stack: "visits", barCategoryGap: "18%", cursor: onClick ? "pointer" : "default",
        itemStyle: { borderColor: now.raised, borderWidth: 0.5 } })),
    };
  }, onClick && ((point) => onClick(plot.places[point.dataIndex])));
  const heads = [word, "All", ...series.map((one) => one.name)];
  numbers(id, heads, places.map((place, n) => [place, series.reduce((sum, one) => sum + one.data[n], 0), ...series.map((one) => one.data[n])]));
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** 2026-05 as May 26, 2026-05-01 as 1 May. */
const monthLabel = (month) => `${MONTHS[Number(month.slice(5, 7)) - 1]} ${month.slice(2, 4)}`;
const dayLabel = (day) => `${Number(day.slice(8, 10))} ${MONTHS[Number(day.slice(5, 7)) - 1]}`;

/** Visits by day over a year, a square for each day; on a narrow screen the year is in two halves. */
export function calendar(id, year) {
  const most = Math.max(1, ...year.days.map(([, visits]) => visits));
  draw(id, (now, width) => {
    const middle = new Date(`${year.first}T12:00:00Z`);
    middle.setUTCMonth(middle.getUTCMonth() + 6);
    const half = middle.toISOString().slice(0, 10);
    middle.setUTCDate(middle.getUTCDate() - 1);
    const ranges = width < 620 ? [[year.first, middle.toISOString().slice(0, 10)], [half, year.last]] : [[year.first, year.last]];
    const size = Math.max(6, Math.min(20, Math.floor((width - 50) / (ranges.length === 2 ? 27.5 : 53.5))));
    const height = 7 * size + 30;
    document.getElementById(id).style.height = `${ranges.length * height + 40}px`;
    drawn.get(id)?.chart.resize();
    return {
      visualMap: { min: 0, max: most, calculable: false, orient: "horizontal", left: 40, bottom: 0, itemWidth: 12, itemHeight: 90,
        text: [String(most), "0"], textStyle: { color: now.soft }, inRange: { color: now.heat } },
      tooltip: { ...tooltip(now), formatter: ({ value }) => `${dayLabel(value[0])}: ${value[1]} ${value[1] === 1 ? "visit" : "visits"}` },
      calendar: ranges.map((range, n) => ({
        range, top: 22 + n * height, left: 40, cellSize: [size, size], splitLine: { lineStyle: { color: now.line, width: 1.5 } },
        itemStyle: { color: now.sunken, borderColor: now.raised, borderWidth: 2 }, yearLabel: { show: false },
        dayLabel: { firstDay: 1, color: now.soft, fontSize: 11, nameMap: ["", "Mon", "", "Wed", "", "Fri", ""] },
        monthLabel: { color: now.soft, fontSize: 11, nameMap: MONTHS },
      })),
      series: ranges.map((range, n) => ({ type: "heatmap", coordinateSystem: "calendar", calendarIndex: n, cursor: "pointer",
        data: year.days.filter(([day]) => range[0] <= day && day <= range[1]) })),
    };
  }, (point) => { location.href = `/days/${point.value[0]}`; });
  numbers(id, ["Day", "Visits"], year.days.map(([day, visits]) => [day, visits]));
}

/** Shares with their 95 % interval, one line for each species. */
export function intervals(id, rows) {
  const percent = (share) => Math.round(share * 1000) / 10;
  const place = document.getElementById(id);
  if (!place) return;
  const told = [...rows].sort((one, other) => other.n - one.n).slice(0, 20);
  place.style.height = `${60 + told.length * 30}px`;
  draw(id, (now, width) => ({
    grid: { left: 8, right: 24, top: 8, bottom: 8, containLabel: true },
    tooltip: { ...tooltip(now), trigger: "item", formatter: ({ dataIndex }) => {
      const one = told[dataIndex];
      return `${one.name}: ${one.right} of ${one.n} right\n${percent(one.low)} to ${percent(one.high)} %`;
    } },
    xAxis: { type: "value", min: 0, max: 100, axisLabel: { color: now.soft, formatter: "{value} %", hideOverlap: true },
      splitLine: { lineStyle: { color: now.line } } },
    yAxis: { type: "category", inverse: true, data: told.map((one) => one.name), axisTick: { show: false },
      axisLine: { lineStyle: { color: now.line } }, axisLabel: { color: now.text, width: Math.min(190, width / 2.6), overflow: "truncate" } },
    series: [
      { type: "custom", data: told.map((one, n) => [percent(one.low), percent(one.high), n]), encode: { x: [0, 1], y: 2 },
        renderItem: (_, api) => {
          const from = api.coord([api.value(0), api.value(2)]);
          const to = api.coord([api.value(1), api.value(2)]);
          return { type: "rect", shape: { x: from[0], y: from[1] - 4, width: Math.max(2, to[0] - from[0]), height: 8, r: 4 },
            style: { fill: now.leaf, opacity: 0.35 } };
        } },
      { type: "scatter", symbolSize: 11, itemStyle: { color: now.leaf }, data: told.map((one, n) => [percent(one.right / one.n), n]) },
    ],
  }));
  numbers(id, ["Filed as", "Looked at", "Right", "At least %", "At most %"],
    [...rows].map((one) => [one.name, one.n, one.right, percent(one.low), percent(one.high)]));
}
