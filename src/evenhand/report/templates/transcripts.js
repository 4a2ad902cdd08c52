"use strict";
// The transcript browser. Everything from the study is written with textContent: it cannot become markup.
const PAGE = 25;
const DIFF_WORDS = 400;
const UNANSWERED = new Set(["cut", "empty", "filtered"]);
const place = (id) => document.getElementById(id);

async function unpack() {
  const bytes = Uint8Array.from(atob(place("transcripts-data").textContent.trim()), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

// Words of `text` that a longest common subsequence with `other` does not hold.
function changedWords(text, other) {
  const a = text.split(/(\s+)/), b = other.split(/(\s+)/);
  if (a.length > DIFF_WORDS || b.length > DIFF_WORDS) return a.map((word) => [word, false]);
  const lengths = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      lengths[i][j] = a[i] === b[j] ? lengths[i + 1][j + 1] + 1 : Math.max(lengths[i + 1][j], lengths[i][j + 1]);
  const words = [];
  for (let i = 0, j = 0; i < a.length; ) {
    if (j < b.length && a[i] === b[j]) { words.push([a[i++], false]); j++; }
    else if (j < b.length && lengths[i][j + 1] >= lengths[i + 1][j]) j++;
    else words.push([a[i++], true]);
  }
  // Where little is shared, marks everywhere would say nothing.
  const marked = words.filter(([word, changed]) => changed && word.trim()).length;
  return marked > words.length / 3 ? words.map(([word]) => [word, false]) : words;
}

function folded(title, content) {
  const box = element("details", "thoughts");
  box.append(element("summary", "", title), element("div", "answer soft", content));
  return box;
}

function answer(data, row, other, veiled) {
  const box = element("div");
  const who = element("p", "who", data.identities[data.identity[row]] + " ");
  const score = data.score[row] === null ? "missing" : (100 * data.score[row]).toFixed(0);
  const label = data.labels[data.label[row]];
  who.append(element("span", "tag", `${label}, ${score}`));
  const text = element("div", "answer" + (veiled ? " veiled" : ""));
  if (veiled) text.tabIndex = 0;
  const said = data.texts[data.text[row]];
  const thoughts = data.texts[data.thoughts[row]];
  if (!said) text.append(element("em", "", UNANSWERED.has(label) ? "(no answer)" : "(choices were scored; no text)"));
  else if (other === undefined) text.textContent = said;
  else for (const [word, changed] of changedWords(said, other)) text.append(changed ? element("mark", "", word) : word);
  box.append(who);
  for (const [before, reply] of data.rounds[row] || []) {
    box.append(element("div", "answer" + (veiled ? " veiled" : ""), data.texts[before]));
    box.append(element("p", "reply", "user: " + data.texts[reply]));
  }
  if (thoughts) box.append(folded("what it thought", thoughts));
  box.append(text, element("p", "soft", data.reasons[data.reason[row]]));
  return box;
}

function start(data) {
  const first = new Map(); // item and repeat -> the baseline's row
  const baselines = new Set(data.baselines);
  data.item.forEach((item, row) => {
    const key = item + ":" + data.repeat[row];
    if (baselines.has(data.identity[row]) && !first.has(key)) first.set(key, row);
  });
  const picks = {
    suite: [place("t-suite"), data.suites, (row) => data.items[data.item[row]][0]],
    identity: [place("t-identity"), data.identities, (row) => data.identity[row]],
    label: [place("t-label"), data.labels, (row) => data.label[row]],
  };
  for (const [pick, names] of Object.values(picks)) {
    names.map((name, n) => [name, n]).sort().forEach(([name, n]) => pick.add(new Option(name, n)));
  }
  const search = place("t-search"), unlike = place("t-unlike"), list = place("t-list"), count = place("t-count");
  // A page holds only so much; what is there are whole items, in the order in which they were drawn.
  const beyond = data.left_out ? `; ${data.left_out.toLocaleString("en")} more, to later items, are in the study only` : "";
  let rows = [], page = 0;

  function apply() {
    const wanted = Object.values(picks).map(([pick, , of]) => [pick.value === "" ? null : Number(pick.value), of]);
    const words = search.value.trim().toLowerCase();
    const hit = words && data.texts.map((text) => text.toLowerCase().includes(words));
    const asked = words && data.items.map(([, , question]) => question.toLowerCase().includes(words));
    rows = [];
    for (let row = 0; row < data.item.length; row++) {
      if (wanted.some(([value, of]) => value !== null && of(row) !== value)) continue;
      if (words && !hit[data.text[row]] && !asked[data.item[row]]) continue;
      if (unlike.checked) {
        const base = first.get(data.item[row] + ":" + data.repeat[row]);
        if (base === undefined || base === row || data.score[base] === data.score[row]) continue;
      }
      rows.push(row);
    }
    page = 0;
    show();
  }

  function show() {
    list.replaceChildren();
    for (const row of rows.slice(page * PAGE, (page + 1) * PAGE)) {
      const [suite, group, question] = data.items[data.item[row]];
      const veiled = data.safety[suite];
      const entry = element("article", "example transcript");
      entry.append(element("p", "soft", `${data.suites[suite]} · ${group} · ${data.personalizers[data.how[row]]}`));
      const asked = element("p", "question" + (veiled ? " veiled" : ""), question);
      if (veiled) asked.tabIndex = 0;
      const pair = element("div", "pair");
      const base = first.get(data.item[row] + ":" + data.repeat[row]);
      if (base !== undefined && base !== row) {
        pair.append(answer(data, base, data.texts[data.text[row]], veiled));
        pair.append(answer(data, row, data.texts[data.text[base]], veiled));
      } else pair.append(answer(data, row, undefined, veiled));
      entry.append(asked, pair);
      list.append(entry);
    }
    const pages = Math.max(1, Math.ceil(rows.length / PAGE));
    count.textContent = `${rows.length.toLocaleString("en")} responses, page ${page + 1} of ${pages}${beyond}`;
    place("t-back").disabled = page === 0;
    place("t-next").disabled = page + 1 >= pages;
  }

  function turn(by) {
    page += by;
    show();
    place("transcripts").scrollIntoView();
  }

  for (const [pick] of Object.values(picks)) pick.addEventListener("change", apply);
  unlike.addEventListener("change", apply);
  let timer;
  search.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(apply, 150); });
  place("t-back").addEventListener("click", () => turn(-1));
  place("t-next").addEventListener("click", () => turn(1));
  const uncover = (event) => event.target.closest(".veiled")?.classList.add("shown");
  list.addEventListener("click", uncover);
  list.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") uncover(event); });
  apply();
  document.body.dataset.transcripts = "ready";
}

unpack().then(start).catch((error) => {
  document.body.dataset.transcripts = "failed";
  place("t-count").textContent = "The transcripts cannot be shown: " + error.message;
});
