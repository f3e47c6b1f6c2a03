"use strict";
// Texts come from users: they are set as text, never as HTML.
const data = JSON.parse(document.getElementById("data").textContent);
const by = (id) => document.getElementById(id);
const rows = data.rows, many = rows.length > 30;
const parts = new Map(rows.map((row) => [row.number, []])); // what shows a trial
const metric = data.metrics[0];
const value = (row) => (row.values.length ? row.values[0] : null);

function make(tag, attributes = {}, text = null) {
  const svg = ["path", "circle", "text", "line"].includes(tag);
  const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag)
                   : document.createElement(tag);
  for (const [name, given] of Object.entries(attributes)) made.setAttribute(name, given);
  if (text !== null) made.textContent = text;
  return made;
}

const written = (given) => typeof given !== "number" ? (given === null ? "" : String(given))
  : Number.isInteger(given) && Math.abs(given) < 1e6 ? String(given)
  : Number(given.toPrecision(5)).toString();

// === axes ===

function niceStep(span, most) {
  const raw = span / most, decade = 10 ** Math.floor(Math.log10(raw));
  return decade * [1, 2, 5, 10].find((step) => decade * step >= raw);
}

function numbers(low, high, log, start, end) {
  if (low === high) [low, high] = log ? [low / 2, high * 2] : [low - 0.5, high + 0.5];
  const to = log ? Math.log10 : (given) => given;
  const at = (given) => start + (end - start) * (to(given) - to(low)) / (to(high) - to(low));
  let ticks = [];
  if (log) {
    const steps = to(high) - to(low) > 2 ? [1] : [1, 2, 5];
    const every = Math.max(1, Math.ceil((to(high) - to(low)) / 8));
    for (let k = Math.floor(to(low)); k <= Math.ceil(to(high)); k += every)
      ticks.push(...steps.map((step) => step * 10 ** k));
  } else {
    const step = niceStep(high - low, 6);
    for (let k = Math.ceil(low / step); k * step <= high; k++) ticks.push(k * step);
  }
  ticks = ticks.filter((tick) => tick >= low * (log ? 0.999 : 1) - 1e-12 && tick <= high * 1.001);
  const label = (tick) => log && (low < 0.005 || tick >= 1e4) ? tick.toExponential(0)
    : String(Number(tick.toPrecision(4)));
  return { at, ticks: ticks.map((tick) => [at(tick), label(tick)]) };
}

function axisOf(values, start, end) {
  const known = values.filter((given) => given !== null && given !== undefined);
  const floats = known.filter((given) => given !== "").map(Number);
  if (known.length && floats.every(Number.isFinite) && !known.some((one) => one === "")) {
    const low = floats.reduce((a, b) => Math.min(a, b)), high = floats.reduce((a, b) => Math.max(a, b));
    const log = low > 0 && high > 10 * low, axis = numbers(low, high, log, start, end);
    const distinct = [...new Set(floats)];
    if (distinct.length <= 6 && !log) axis.ticks = distinct.map((one) => [axis.at(one), written(one)]);
    return { ...axis, log };
  }
  const names = [...new Set(known.map(String))].sort();
  const at = (given) => start + (end - start) * (names.indexOf(String(given)) + 0.5) / names.length;
  const room = Math.max(1, Math.ceil(names.length * 14 / Math.abs(end - start)));
  const shown = names.filter((_, k) => k % room === 0);
  return { at, ticks: shown.map((name) => [at(name), name.length > 16 ? name.slice(0, 15) + "…" : name]) };
}

function frame(svg, x, y, xName, yName, box) {
  svg.replaceChildren();
  svg.classList.toggle("many", many);
  for (const [at, label] of y.ticks) {
    svg.append(make("line", { class: "grid", x1: box.left, x2: box.right, y1: at, y2: at }));
    svg.append(make("text", { x: box.left - 6, y: at + 4, "text-anchor": "end" }, label));
  }
  for (const [at, label] of x.ticks) {
    svg.append(make("line", { class: "grid", x1: at, x2: at, y1: box.top, y2: box.bottom }));
    svg.append(make("text", { x: at, y: box.bottom + 16, "text-anchor": "middle" }, label));
  }
  svg.append(make("text", { class: "name", x: (box.left + box.right) / 2, y: box.bottom + 34,
    "text-anchor": "middle" }, xName));
  svg.append(make("text", { class: "name", x: box.left, y: box.top - 8 }, yName));
}

// The best comes last and so lies on top.
const drawn = rows.slice().sort((a, b) => (a.outcome === "best") - (b.outcome === "best"));

function put(svg, row, tag, attributes) {
  const one = make(tag, { class: `t ${row.outcome}`, "data-n": row.number, ...attributes });
  svg.append(one);
  parts.get(row.number).push(one);
  return one;
}

// === charts ===

const BOX = { left: 62, right: 608, top: 26, bottom: 316 };

function drawCurves() {
  const svg = by("curves"), having = drawn.filter((row) => row.steps.length);
  if (!having.length) {
    svg.append(make("text", { x: 310, y: 180, "text-anchor": "middle" }, "no trial reported its epochs"));
    return;
  }
  const last = having.reduce((most, row) => Math.max(most, row.steps[row.steps.length - 1]), 1);
  const x = numbers(1, last, false, BOX.left, BOX.right), [low, high, log] = data.window;
  const y = numbers(low, high, log, BOX.bottom, BOX.top);
  frame(svg, x, y, "epoch", metric + (log ? " (log scale)" : ""), BOX);
  const clip = (at) => Math.max(BOX.top - 4, Math.min(BOX.bottom + 4, at));
  for (const row of having) {
    const points = row.steps.map((step, k) => [x.at(step), row.curve[k]])
      .filter(([, given]) => given !== null && (!log || given > 0))
      .map(([across, given]) => `${across.toFixed(1)},${clip(y.at(given)).toFixed(1)}`);
    if (points.length > 1) put(svg, row, "path", { d: "M" + points.join("L") });
    else if (points.length) {
      const [cx, cy] = points[0].split(",");
      put(svg, row, "circle", { cx, cy, r: 2.5 });
    }
  }
}

function drawScatter(index) {
  const svg = by("scatter");
  for (const [number, shown] of parts) parts.set(number, shown.filter((one) => !svg.contains(one)));
  const known = rows.map(value).filter((given) => given !== null);
  const y = axisOf(known.length ? known : [0, 1], BOX.bottom - 18, BOX.top + 8);
  const edge = data.maximize ? BOX.bottom : BOX.top;
  const having = drawn.filter((row) => row.params[index] !== null && row.params[index] !== undefined);
  const x = axisOf(having.map((row) => row.params[index]), BOX.left + 8, BOX.right - 8);
  const scale = (axis) => (axis.log ? " (log scale)" : "");
  frame(svg, x, y, data.params[index] + scale(x), metric + scale(y), BOX);
  for (const row of having) {
    const cy = value(row) === null ? edge : y.at(value(row));
    put(svg, row, "circle", { cx: x.at(row.params[index]).toFixed(1), cy: cy.toFixed(1),
      r: row.outcome === "best" ? 7 : many ? 3.5 : 4.5 });
  }
}

function drawParallel() {
  const svg = by("parallel"), most = 12, names = data.params.slice(0, most);
  const done = drawn.filter((row) => value(row) !== null && row.outcome !== "failed");
  const varied = names.map((_, k) => k).filter((k) => new Set(done.map((row) => row.params[k])).size > 1);
  if (done.length < 2 || !varied.length) return by("parallel-part").remove();
  const top = 34, bottom = 320, left = 70, right = 1190, count = varied.length;
  const places = [...varied, -1].map((k, at) => left + (right - left) * at / count);
  const of = (row, k) => (k < 0 ? value(row) : row.params[k]);
  const axes = [...varied, -1].map((k) => axisOf(done.map((row) => of(row, k)), bottom, top));
  const ranked = done.slice().sort((a, b) => (data.maximize ? -1 : 1) * (value(a) - value(b)));
  const rank = new Map(ranked.map((row, k) => [row.number, k / ranked.length]));
  for (const row of done) {
    const points = [...varied, -1].map((k, at) => [places[at], of(row, k), axes[at]])
      .filter(([, given]) => given !== null && given !== undefined)
      .map(([across, given, axis]) => `${across.toFixed(1)},${axis.at(given).toFixed(1)}`);
    const opacity = row.outcome === "best" ? 1 : (many ? 0.06 : 0.2) + 0.6 * (1 - rank.get(row.number)) ** 4;
    put(svg, row, "path", { d: "M" + points.join("L"), style: `opacity: ${opacity.toFixed(2)}` });
  }
  [...varied, -1].forEach((k, at) => {
    const x = places[at], anchor = at === 0 ? "start" : at === count ? "end" : "middle";
    svg.append(make("line", { class: "grid", x1: x, x2: x, y1: top, y2: bottom }));
    svg.append(make("text", { class: "name", x, y: top - 16, "text-anchor": anchor },
      k < 0 ? metric : data.params[k]));
    for (const [y, label] of axes[at].ticks)
      svg.append(make("text", { x: x + 6, y: y + 4, style: "paint-order: stroke; stroke: white; stroke-width: 3px" }, label));
  });
}

// === tables ===

const columns = [
  ["trial", (row) => row.number],
  ["state", (row) => row.outcome],
  ...data.metrics.map((name, k) => [name, (row) => (k < row.values.length ? row.values[k] : null)]),
  ...data.params.map((name, k) => [name, (row) => row.params[k] ?? null]),
  ["epochs", (row) => (row.steps.length ? row.steps[row.steps.length - 1] : null)],
  ["seconds", (row) => row.seconds],
];

function cell(row, [name, read]) {
  const given = read(row), text = name === "seconds" && given !== null ? given.toFixed(1) : written(given);
  const made = make("td", typeof given === "number" ? { class: "number" } : {});
  if (name !== "trial") {
    made.textContent = text;
    if (text.length > 30) made.title = text;
    return made;
  }
  const label = `${row.outcome === "best" ? "★ " : ""}t${text.padStart(2, "0")}`;
  // MLflow shows pages in a frame that may open nothing
  const link = data.runs && row.run_id && window.top === window;
  made.append(link ? make("a", { href: data.runs.replace("RUN_ID", encodeURIComponent(row.run_id)), target: "_blank",
    rel: "noopener" }, label) : label);
  made.title = row.run_id ? `${row.name}\nrun ${row.run_id}` : row.name;
  return made;
}

const body = by("trials").tBodies[0];
for (const row of rows) {
  const line = make("tr", { class: row.outcome === "best" ? "best" : "", "data-n": row.number });
  line.append(...columns.map((column) => cell(row, column)));
  parts.get(row.number).push(line);
  row.line = line;
}

function sortBy(index, up) {
  const read = columns[index][1];
  const lacks = (given) => given === null || given === "";
  const order = rows.slice().sort((a, b) => {
    const [x, y] = [read(a), read(b)];
    if (lacks(x) || lacks(y)) return lacks(x) - lacks(y); // at the end either way
    const less = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y));
    return (up ? less : -less) || a.number - b.number;
  });
  body.replaceChildren(...order.map((row) => row.line));
  heads.forEach((head) => head.removeAttribute("aria-sort"));
  heads[index].setAttribute("aria-sort", up ? "ascending" : "descending");
}

const heads = columns.map(([name], index) => {
  const head = make("th", { scope: "col" }), button = make("button", { type: "button" }, name);
  button.addEventListener("click", () => sortBy(index, head.getAttribute("aria-sort") !== "ascending"));
  head.append(button);
  return head;
});
by("trials").tHead.rows[0].append(...heads);

function drawRepeats() {
  if (!data.settings.length) return;
  const table = make("table"), line = make("tr");
  const names = ["setting", `mean ${metric}`, "sd", "complete", "tried", "trials"];
  line.append(...names.map((name) => make("th", { scope: "col" }, name)));
  table.append(line);
  for (const one of data.settings) {
    const row = make("tr"), given = [one.name, one.mean, one.sd, one.complete, one.tried, one.trials];
    row.append(...given.map((text) => make("td", {}, written(text))));
    table.append(row);
  }
  const scroll = make("div", { class: "scroll", style: "max-height: 300px; overflow-y: auto" });
  scroll.append(table);
  by("repeats").append(make("h2", {}, "Repeats of one setting: mean and standard deviation"), scroll);
}

// === finding, and seeing a trial everywhere ===

function condition(word) {
  const found = /^([^<>=]+)(<=|>=|<|>|=)(.+)$/.exec(word);
  const column = found && columns.find(([name]) => name === found[1] || name.endsWith(`.${found[1]}`));
  if (!column) return (row) => row.text.includes(word.toLowerCase());
  const [, , sign, wanted] = found, number = Number(wanted);
  return (row) => {
    const given = column[1](row);
    if (sign === "=") return String(given) === wanted || (given !== null && Number(given) === number);
    if (given === null) return false;
    return { "<": given < number, ">": given > number, "<=": given <= number, ">=": given >= number }[sign];
  };
}

const boxes = ["best", "complete", "pruned", "failed"].flatMap((outcome) => {
  const count = rows.filter((row) => row.outcome === outcome).length;
  if (!count) return [];
  const label = make("label", { class: outcome }), box = make("input", { type: "checkbox" });
  box.checked = true;
  box.value = outcome;
  label.append(box, ` ${outcome} (${count})  `);
  by("states").append(label);
  return [box];
});

function filter() {
  const wanted = by("find").value.split(/\s+/).filter(Boolean).map(condition);
  const states = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
  let count = 0;
  for (const row of rows) {
    const shown = states.has(row.outcome) && wanted.every((fits) => fits(row));
    count += shown;
    for (const one of parts.get(row.number)) one.classList.toggle("out", !shown);
  }
  by("count").textContent = `${count.toLocaleString("en")} of ${rows.length.toLocaleString("en")} trials`;
}

let hot = null;
function see(number) {
  if (number === hot) return;
  for (const one of parts.get(hot) ?? []) one.classList.remove("hot");
  for (const one of parts.get(number) ?? []) one.classList.add("hot");
  hot = number;
  const row = number === null ? null : rows.find((one) => one.number === number);
  by("told").textContent = row ? `${row.name}: ${value(row) === null ? "no value" : written(value(row))} (${row.outcome})` : "";
}

const numberAt = (event) => {
  const found = event.target.closest?.("[data-n]");
  return found ? Number(found.dataset.n) : null;
};
document.addEventListener("mouseover", (event) => see(numberAt(event)));
document.addEventListener("click", (event) => {
  if (event.target.closest("svg") && numberAt(event) !== null)
    rows.find((row) => row.number === numberAt(event)).line.scrollIntoView({ block: "center" });
});

for (const row of rows) row.text = `${row.name} ${row.outcome} ${row.params.map(written).join(" ")}`.toLowerCase();
for (const fact of data.facts) by("facts").append(make("p", {}, fact));
by("hint").textContent = data.hint;
drawCurves();
drawParallel();
drawRepeats();
data.params.forEach((name, k) => by("against").append(make("option", { value: k }, name)));
by("against").addEventListener("change", (event) => { drawScatter(Number(event.target.value)); filter(); });
if (data.params.length) {
  by("against").value = Math.max(0, data.params.indexOf("optimizer.lr"));
  drawScatter(Number(by("against").value));
} else by("scatter").parentElement.remove();
by("find").addEventListener("input", filter);
for (const box of boxes) box.addEventListener("change", filter);
sortBy(2, !data.maximize);
filter();
document.documentElement.dataset.ready = "true";
