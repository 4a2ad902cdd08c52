"use strict";
const specs = JSON.parse(document.getElementById("chart-specs").textContent);
const dark = window.matchMedia("(prefers-color-scheme: dark)");

function theme() {
  const ink = getComputedStyle(document.documentElement).getPropertyValue("--ink").trim();
  const line = getComputedStyle(document.documentElement).getPropertyValue("--line").trim();
  return {
    background: "transparent",
    font: "system-ui, sans-serif",
    view: { stroke: line },
    axis: { labelColor: ink, titleColor: ink, gridColor: line, domainColor: line, tickColor: line, labelLimit: 260 },
    legend: { labelColor: ink, titleColor: ink, symbolBaseFillColor: ink, symbolBaseStrokeColor: ink },
    text: { color: ink },
    rule: { color: ink },
  };
}

async function drawIn(place) {
  // ast: expressions are interpreted, so that the page needs no right to compile code.
  const options = { actions: false, renderer: "svg", config: theme(), ast: true };
  await window.embedChart(place, specs[place.id.slice("chart-".length)], options);
}

// What is folded has no width yet: it is drawn when it is opened.
const isFolded = (place) => place.closest("details:not([open])") !== null;

async function draw() {
  for (const place of document.querySelectorAll(".chart")) if (!isFolded(place)) await drawIn(place);
  document.body.dataset.charts = "drawn";
}

for (const fold of document.querySelectorAll("main details")) {
  fold.addEventListener("toggle", () => {
    for (const place of fold.querySelectorAll(".chart")) if (!isFolded(place) && !place.firstChild) drawIn(place);
  });
}

// Printed with the address "...#print" everything is unfolded first.
if (location.hash === "#print") for (const fold of document.querySelectorAll("main details")) fold.open = true;
window.addEventListener("beforeprint", () => {
  for (const fold of document.querySelectorAll("main details.fold")) fold.open = true;
});

draw().catch((error) => {
  document.body.dataset.charts = "failed";
  for (const place of document.querySelectorAll(".chart")) place.textContent = "Chart failed: " + error.message;
});
dark.addEventListener("change", draw);

const contents = document.getElementById("contents");
const links = new Map();
for (const part of document.querySelectorAll("#answer, main > section")) {
  const link = document.createElement("a");
  link.href = "#" + part.id;
  link.textContent = part.id === "answer" ? "The answer" : part.querySelector("h2").textContent;
  contents.append(link);
  links.set(part, link);
}
const inView = new Set();
const watching = new IntersectionObserver((entries) => {
  for (const entry of entries) entry.isIntersecting ? inView.add(entry.target) : inView.delete(entry.target);
  const current = [...links.keys()].find((part) => inView.has(part));
  for (const [part, link] of links) part === current ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current");
}, { rootMargin: "0px 0px -60% 0px" });
for (const part of links.keys()) watching.observe(part);
if (window.matchMedia("(max-width: 860px)").matches) document.getElementById("menu").open = false;

const reveal = document.getElementById("reveal");
if (reveal) reveal.addEventListener("change", () => document.body.classList.toggle("revealed", reveal.checked));
for (const text of document.querySelectorAll(".veiled")) {
  text.addEventListener("click", () => text.classList.add("shown"));
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") text.classList.add("shown");
  });
}

const pick = document.getElementById("pick-memory");
if (pick) pick.addEventListener("change", () => {
  for (const [n, memory] of document.querySelectorAll(".memory").entries()) memory.hidden = n !== pick.selectedIndex;
});

const filters = { suite: document.getElementById("pick-suite"), identity: document.getElementById("pick-identity") };
const STEP = 4;
let most = STEP;
function filter() {
  const examples = [...document.querySelectorAll(".example:not(.transcript)")];
  const chosen = examples.filter((e) => Object.entries(filters).every(([key, pick]) => !pick.value || e.dataset[key] === pick.value));
  for (const example of examples) example.hidden = !chosen.slice(0, most).includes(example);
  document.getElementById("more-examples").hidden = chosen.length <= most;
  document.getElementById("examples-count").textContent = Math.min(most, chosen.length) + " of " + chosen.length;
}
if (filters.suite) {
  for (const [key, pick] of Object.entries(filters)) {
    const values = new Set([...document.querySelectorAll(".example:not(.transcript)")].map((e) => e.dataset[key]));
    for (const value of [...values].sort()) pick.add(new Option(value, value));
    pick.addEventListener("change", () => { most = STEP; filter(); });
  }
  document.getElementById("more-examples").addEventListener("click", () => { most += 2 * STEP; filter(); });
  filter();
}

// Who reads with the ears hears of a table by its name: that of the part it stands in, where it has no caption.
for (const table of document.querySelectorAll("table")) {
  const part = table.closest("details, section");
  const title = part && part.querySelector("summary, h2, h3");
  if (!table.caption && !table.hasAttribute("aria-label") && title) table.setAttribute("aria-label", title.textContent.trim());
}
