"use strict";
const CANNOT_TELL = "cannot_tell";
const at = (id) => document.getElementById(id);
let state = null;
let waiting = false;

// Everything a model wrote becomes text, never markup.
function element(tag, text, className) {
  const made = document.createElement(tag);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

async function ask(path, body) {
  // One at a time: a held key must not label the response that has not been read yet.
  if (waiting) return;
  waiting = true;
  try {
    const options = body ? { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) } : {};
    const reply = await fetch(path, options);
    const found = await reply.json();
    if (!reply.ok) throw new Error(found.error);
    show(found);
  } catch (error) {
    say(error instanceof TypeError || error instanceof SyntaxError ? "Not saved: evenhand does not answer. Start it again; nothing before this is lost." : `Not saved: ${error.message}`);
  } finally {
    waiting = false;
  }
}

function say(text) {
  at("message").textContent = text;
  at("message").hidden = !text;
}

function label(word) { ask("label", { position: state.position, label: word }); }
function go(step) {
  const to = state.position + step;
  if (to >= 0 && to < state.of) ask(`state?at=${to}`);
}

function show(found) {
  const moved = !state || state.position !== found.position;
  state = found;
  say("");
  at("who").textContent = (state.annotator ? `by ${state.annotator}` : "") + (state.resolve ? " (resolving differences)" : "");
  at("count").textContent = `${state.done} of ${state.of} labelled, this is no. ${state.position + 1}`;
  at("fill").style.width = `${(100 * state.done) / state.of}%`;
  at("bar").setAttribute("aria-valuenow", state.done);
  at("bar").setAttribute("aria-valuemax", state.of);
  at("suites").replaceChildren(...state.suites.map((s) => element("span", `${s.suite} ${s.done} of ${s.of}`, s.suite === state.suite ? "here" : "")));
  at("question").textContent = state.question;
  at("reference").textContent = state.reference;
  at("reference-part").hidden = !state.reference;
  at("response").textContent = state.response.trim() ? state.response : "(empty)";
  at("response").classList.toggle("empty", !state.response.trim());
  at("others").textContent = `Annotators said: ${state.others.map((o) => o.replaceAll("_", " ")).join(", ")}`;
  at("others").hidden = !state.others.length;
  const all = [...state.classes.map((c, n) => [String(n + 1), c]), ["0", { label: CANNOT_TELL, about: "the response or its question leaves it open" }]];
  at("classes").replaceChildren(...all.map(([key, choice]) => button(key, choice)));
  finished();
  if (moved) document.querySelector("main").scrollTop = 0;
}

function button(key, choice) {
  const made = element("button", "");
  made.type = "button";
  made.dataset.label = choice.label;
  made.setAttribute("aria-pressed", String(state.given === choice.label));
  made.append(element("kbd", key), element("span", choice.label.replaceAll("_", " ").replaceAll("-", " "), "name"), element("span", choice.about, "about"));
  made.addEventListener("click", () => label(choice.label));
  return made;
}

function finished() {
  const two = (x) => (x === null ? "?" : x.toFixed(2));
  const lines = state.done === state.of ? ["All responses have a label. You may close this page, and end evenhand with Ctrl-C."] : [];
  for (const a of state.agreement) {
    const name = (who) => who || "(unnamed)";
    lines.push(`${a.suite}: ${name(a.first)} and ${name(a.second)} agree on ${(100 * a.same).toFixed(0)} % of ${a.n}; kappa ${two(a.kappa)} (${two(a.kappa_ci[0])} to ${two(a.kappa_ci[1])}), ${a.open} to resolve.`);
  }
  at("finished").replaceChildren(...lines.map((line) => element("p", line)));
  at("finished").hidden = !lines.length;
}

const KEYS = {
  u: () => ask("undo", {}),
  j: () => go(1), ArrowRight: () => go(1), ArrowDown: () => scrollOr(1),
  k: () => go(-1), ArrowLeft: () => go(-1), ArrowUp: () => scrollOr(-1),
  n: () => ask("state"), 0: () => label(CANNOT_TELL),
};

// Up and down read a long response first.
function scrollOr(step) {
  const main = document.querySelector("main");
  const before = main.scrollTop;
  main.scrollBy(0, 80 * step);
  if (main.scrollTop === before && main.scrollHeight <= main.clientHeight + 1) go(step);
}

document.addEventListener("keydown", (event) => {
  if (!state || event.ctrlKey || event.metaKey || event.altKey || (event.repeat && !event.key.startsWith("Arrow"))) return;
  const chosen = /^[1-9]$/.test(event.key) ? state.classes[Number(event.key) - 1] : null;
  const act = chosen ? () => label(chosen.label) : Object.hasOwn(KEYS, event.key) ? KEYS[event.key] : null;
  if (!act) return;
  event.preventDefault();
  act();
});
for (const [id, key] of [["undo", "u"], ["skip", "j"], ["back", "k"], ["open", "n"]]) at(id).addEventListener("click", KEYS[key]);
ask("state");
