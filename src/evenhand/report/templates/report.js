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

async function draw() {
  for (const [name, spec] of Object.entries(specs)) {
    const place = document.getElementById("chart-" + name);
    // ast: expressions are interpreted, so that the page needs no right to compile code.
    const options = { actions: false, renderer: "svg", config: theme(), ast: true };
    await window.embedChart(place, spec, options);
  }
  document.body.dataset.charts = "drawn";
}

draw().catch((error) => {
  document.body.dataset.charts = "failed";
  for (const place of document.querySelectorAll(".chart")) place.textContent = "Chart failed: " + error.message;
});
dark.addEventListener("change", draw);

const contents = document.getElementById("contents");
for (const [number, heading] of document.querySelectorAll("main h2").entries()) {
  heading.id ||= "part-" + number;
  const link = document.createElement("a");
  link.href = "#" + heading.id;
  link.textContent = heading.textContent;
  contents.append(link);
}

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
function filter() {
  for (const example of document.querySelectorAll(".example:not(.transcript)")) {
    example.hidden = Object.entries(filters).some(([key, pick]) => pick.value && example.dataset[key] !== pick.value);
  }
}
if (filters.suite) {
  for (const [key, pick] of Object.entries(filters)) {
    const values = new Set([...document.querySelectorAll(".example:not(.transcript)")].map((e) => e.dataset[key]));
    for (const value of [...values].sort()) pick.add(new Option(value, value));
    pick.addEventListener("change", filter);
  }
}
