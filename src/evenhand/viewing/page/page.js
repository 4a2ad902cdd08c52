"use strict";
const AGAIN_MS = 3000;
const cards = new Map();
const chosen = new Set();
const list = document.getElementById("studies");
const side = document.getElementById("side");

const clock = (s) => s >= 5400 ? (s / 3600).toFixed(1) + " h" : s >= 90 ? Math.round(s / 60) + " min" : s + " s";
const points = (x) => x === null ? "?" : x.toFixed(1);

function made(study) {
  const card = document.getElementById("card").content.firstElementChild.cloneNode(true);
  card.querySelector(".report").href = "study/" + study.id + "/";
  card.querySelector(".label").href = "label/" + study.id + "/";
  const pick = card.querySelector(".pick");
  pick.addEventListener("change", () => {
    if (pick.checked) chosen.add(study.id); else chosen.delete(study.id);
    side.disabled = chosen.size < 2;
  });
  list.append(card);
  return card;
}

// Names and messages come from models, servers and users: they reach the page as text alone.
function fill(card, study) {
  const say = (place, text) => { card.querySelector(place).textContent = text; };
  const items = (place, lines) => card.querySelector(place).replaceChildren(...lines.map((line) => {
    const item = document.createElement("li");
    item.textContent = line;
    return item;
  }));
  say(".name", study.name);
  if (study.error) {
    say(".said", study.error);
    return;
  }
  card.className = "card " + (study.found ? "found" : study.known ? "none" : "") + (study.state === "running" ? " running" : "");
  say(".run-state", study.state);
  say(".what", study.model + (study.mitigation ? ", with " + study.mitigation : ""));
  const share = study.planned ? study.answered / study.planned : 0;
  card.querySelector(".fill").style.width = 100 * share + "%";
  card.querySelector(".bar").setAttribute("aria-valuenow", study.answered);
  card.querySelector(".bar").setAttribute("aria-valuemax", study.planned);
  const pace = study.per_minute ? ", " + study.per_minute + " a minute" : "";
  const left = study.left_s ? ", about " + clock(study.left_s) + " left" : "";
  say(".count", study.answered.toLocaleString("en") + " of " + study.planned.toLocaleString("en") + " answered" + pace + left
    + (study.failed ? ", " + study.failed + " failed" : ""));
  say(".said", study.analysing ? "being analysed; " + (study.said ? "before: " + study.said : "a large study takes minutes") : study.said || "");
  items(".bias", Object.entries(study.bias || {}).map(([axis, b]) =>
    axis + ": bias " + points(b.value) + " points so far, " + points(b.low) + " to " + points(b.high)));
  say(".lagging", study.lagging.length ? "Behind: " + study.lagging.map(([who, n]) => who + " (" + n + ")").join(", ") : "");
  items(".failures", study.failures.map(([why, n]) => n + " failed: " + why));
}

async function look() {
  const state = document.getElementById("state");
  try {
    const reply = await fetch("studies");
    if (!reply.ok) throw new Error(await reply.text());
    const told = await reply.json();
    document.getElementById("folder").textContent = told.folder;
    const there = new Set(told.studies.map((study) => study.id));
    for (const [id, card] of cards) if (!there.has(id)) { card.remove(); cards.delete(id); chosen.delete(id); }
    for (const study of told.studies) {
      if (!cards.has(study.id)) cards.set(study.id, made(study));
      fill(cards.get(study.id), study);
    }
    state.textContent = told.studies.length + (told.studies.length === 1 ? " study" : " studies") + ", looked at " + new Date().toLocaleTimeString();
    document.body.dataset.looked = "yes";
  } catch (error) {
    state.textContent = "The server does not answer (" + error.message + "). Start evenhand view again.";
  }
  setTimeout(look, AGAIN_MS);
}

side.addEventListener("click", () => window.open("side?ids=" + [...chosen].join(","), "_blank", "noopener"));
look();
