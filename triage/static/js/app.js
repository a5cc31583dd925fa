/* What pages do better with a script: all of it works without one. */
"use strict";

const root = document.documentElement;
root.classList.add("has-js");
const wide = matchMedia("(min-width: 1280px)");

/* --- Menus, messages, copying --- */

document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details[data-menu][open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
  const dismiss = event.target.closest("[data-dismiss]");
  if (dismiss) dismiss.parentElement.remove();
  const copy = event.target.closest("[data-copy]");
  if (copy) copyFrom(copy);
  if (event.target.closest("[data-shortcuts-open]")) openShortcuts();
  if (event.target.closest("[data-preview-close]")) closePreview();
});

// What is cut says the whole of itself to whoever points at it.
document.addEventListener("pointerover", (event) => {
  const cut = event.target.closest(".cut, .title");
  if (cut && !cut.title && (cut.scrollWidth > cut.clientWidth || cut.scrollHeight > cut.clientHeight + 1)) cut.title = cut.textContent.trim();
});

async function copyFrom(button) {
  const source = document.getElementById(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(source.textContent.trim());
  } catch {
    // Without HTTPS there is no clipboard: the text is selected, and the person presses the keys.
    getSelection().selectAllChildren(source);
    return;
  }
  button.classList.add("done");
  const label = button.getAttribute("aria-label");
  button.setAttribute("aria-label", button.dataset.copied);
  setTimeout(() => { button.classList.remove("done"); button.setAttribute("aria-label", label); }, 1600);
}

function expireToasts() {
  for (const toast of document.querySelectorAll(".toast:not(.error):not([data-timed])")) {
    toast.dataset.timed = "";
    // Time enough to take back what was done.
    setTimeout(() => toast.remove(), toast.dataset.act ? 30000 : 8000);
  }
}
expireToasts();
document.addEventListener("htmx:afterSettle", expireToasts);

/* --- The preview beside the queue --- */

const previewPane = () => document.getElementById("preview");
const rows = () => [...document.querySelectorAll("[data-row]")];
const current = () => document.activeElement?.closest("[data-row]") ?? document.querySelector("[data-row][aria-current]");

function mark(row) {
  for (const other of document.querySelectorAll("[data-row][aria-current]")) other.removeAttribute("aria-current");
  row?.setAttribute("aria-current", "true");
}

async function preview(row) {
  const pane = previewPane();
  if (!pane || !row) return false;
  const link = row.querySelector("[data-row-link]");
  mark(row);
  const address = new URL(location.href);
  address.searchParams.set("selected", row.dataset.row);
  history.replaceState(history.state, "", address);
  await htmx.ajax("GET", link.href, { target: "#preview", swap: "innerHTML", headers: { "X-Preview": address.pathname + address.search } });
  return true;
}

function closePreview() {
  const pane = previewPane();
  if (!pane) return;
  const row = document.querySelector("[data-row][aria-current]");
  pane.replaceChildren();
  mark(null);
  const address = new URL(location.href);
  address.searchParams.delete("selected");
  history.replaceState(history.state, "", address);
  row?.querySelector("[data-row-link]").focus();
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-row-link]");
  const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
  // A click shows it beside the list; a second click, or Enter (detail is 0), opens it.
  if (!link || !plain || !wide.matches || event.detail === 0 || !previewPane()) return;
  const row = link.closest("[data-row]");
  if (row.hasAttribute("aria-current")) return;
  event.preventDefault();
  preview(row);
});

/* --- Choosing rows, and what is done to them --- */

const picks = () => [...document.querySelectorAll("[data-pick]")];
const selection = () => document.getElementById("selection");

function showPicked() {
  const form = selection();
  if (!form) return;
  const all = picks();
  const picked = all.filter((box) => box.checked);
  for (const box of all) box.closest("[data-row]").classList.toggle("chosen", box.checked);
  const whole = form.querySelector("[data-all]").checked;
  form.classList.toggle("on", picked.length > 0 || whole);
  form.querySelector("[data-picked]").textContent = whole ? "" : picked.length;
  const every = form.querySelector("[data-pick-all]");
  every.checked = picked.length === all.length;
  every.indeterminate = picked.length > 0 && picked.length < all.length;
}

let lastPick = null;
document.addEventListener("click", (event) => {
  const box = event.target.closest("[data-pick]");
  if (box && event.shiftKey && lastPick?.isConnected) {
    const all = picks();
    const [from, to] = [all.indexOf(lastPick), all.indexOf(box)].sort((a, b) => a - b);
    for (const between of all.slice(from, to + 1)) between.checked = box.checked;
  }
  if (box) lastPick = box;
  if (event.target.matches("[data-pick-all]")) for (const each of picks()) each.checked = event.target.checked;
  if (event.target.closest("[data-sheet-close]")) event.target.closest("dialog").close();
});
document.addEventListener("change", (event) => { if (event.target.matches("[data-pick], [data-pick-all], [data-all]")) showPicked(); });
// Not at the swap: what stands on the sheet does not listen before it has settled.
document.addEventListener("htmx:afterSettle", (event) => {
  if (event.detail.target.id !== "act-body") return;
  const sheet = document.getElementById("act-sheet");
  if (!sheet.open) sheet.showModal();
  sheet.querySelector("[autofocus], #act .button.main")?.focus();
});
showPicked(); // a browser that goes back remembers the boxes

function pick(row, on) {
  const box = row?.querySelector("[data-pick]");
  if (!box) return;
  box.checked = on ?? !box.checked;
  lastPick = box;
  showPicked();
}

function unpick() {
  const form = selection();
  if (!form?.classList.contains("on")) return false;
  for (const box of picks()) box.checked = false;
  form.querySelector("[data-all]").checked = false;
  showPicked();
  return true;
}

/* What is chosen, or else the row that one stands on. */
function ask(verb) {
  const form = selection();
  if (!form) return;
  stood = current();
  if (!form.classList.contains("on")) pick(stood, true);
  if (form.classList.contains("on")) form.querySelector(`button[value="${verb}"]`).click();
}

/* At once and without a sheet: what is harmless, or can be taken back. */
function quick(verb) {
  const form = document.getElementById("quick");
  if (!form) return;
  if (selection().classList.contains("on")) { ask(verb); return; }
  const box = current()?.querySelector("[data-pick]");
  if (!box) return;
  remember();
  form.elements.verb.value = verb;
  const chosen = document.createElement("input");
  chosen.type = "hidden"; chosen.name = "f"; chosen.value = box.value;
  form.append(chosen);
  form.submit();
}

/* After a form the page is a new one: the focus goes back to the row, or to the one that took its place. */
let stood = null;
function remember() {
  const at = rows().indexOf(current() ?? stood);
  if (at >= 0) sessionStorage.setItem("row", JSON.stringify([location.pathname, at]));
}
addEventListener("submit", (event) => { if (event.target.closest("#preview, #act, .toast")) remember(); });
{
  const [path, at] = JSON.parse(sessionStorage.getItem("row") ?? "[]");
  sessionStorage.removeItem("row");
  if (path === location.pathname) rows()[Math.min(at, rows().length - 1)]?.querySelector("[data-row-link]").focus();
}

/* --- Keys --- */

function openShortcuts() {
  const sheet = document.getElementById("shortcuts");
  if (!sheet.open) sheet.showModal();
}

function step(by) {
  const all = rows();
  if (!all.length) return;
  const at = all.indexOf(current());
  const row = all[at < 0 ? 0 : Math.min(Math.max(at + by, 0), all.length - 1)];
  row.querySelector("[data-row-link]").focus();
  row.scrollIntoView({ block: "nearest" });
  if (wide.matches && document.querySelector("#preview [data-finding]")) preview(row);
}

let going = 0;
const detail = (path) => {
  const link = current()?.querySelector("[data-row-link]");
  if (link) location.assign(link.href + path);
};
const keys = {
  j: () => step(1),
  k: () => step(-1),
  J: () => { pick(current(), true); step(1); pick(current(), true); },
  K: () => { pick(current(), true); step(-1); pick(current(), true); },
  x: () => pick(current()),
  a: () => ask("assign"),
  s: () => ask("move"),
  t: () => ask("ticket"),
  1: () => quick("acknowledge"),
  m: () => quick("person"),
  v: () => quick("verify"),
  4: () => ask("except"),
  e: () => detail("/evidence"),
  z: () => document.querySelector("[data-undo]")?.click(),
  o: () => preview(current() ?? rows()[0]),
  "/": () => document.querySelector("[data-search]")?.focus(),
  "?": openShortcuts,
  g: () => { going = Date.now(); },
};

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    const menu = document.querySelector("details[data-menu][open]");
    if (menu) { menu.open = false; menu.querySelector("summary").focus(); return; }
    if (document.activeElement?.matches("[data-search]")) { document.activeElement.blur(); return; }
    if (!document.querySelector("dialog[open]") && unpick()) return;
    if (!document.querySelector("dialog[open]") && document.querySelector("#preview [data-finding]")) closePreview();
    return;
  }
  const typing = event.target.closest?.("input, textarea, select, [contenteditable], dialog[open]");
  if (typing || event.metaKey || event.ctrlKey || event.altKey || document.body.dataset.shortcuts === "off") return;
  if (going && Date.now() - going < 1500) {
    going = 0;
    const place = /^[a-z]$/.test(event.key) && document.querySelector(`[data-place="${event.key}"]`);
    if (place) { event.preventDefault(); place.click(); return; }
  }
  const act = keys[event.key];
  if (act) { event.preventDefault(); act(); }
});

/* --- The palette: every place, finding, asset and team by its name --- */

function openPalette() {
  const palette = document.getElementById("palette");
  if (!palette || palette.open) return;
  palette.showModal();
  const field = palette.querySelector("input");
  field.select();
  if (!palette.querySelector("[role=option]")) field.dispatchEvent(new Event("search"));
}

/* The next option of a list, or the one before, is the chosen one; the field that the list belongs to keeps the focus. */
function choose(by, field = document.getElementById("palette-q"), list = document.getElementById("palette-found")) {
  const options = [...list.querySelectorAll("[role=option]")];
  if (!options.length) return;
  const at = options.findIndex((option) => option.getAttribute("aria-selected") === "true");
  const next = options[at < 0 && by < 0 ? options.length - 1 : (at + by + options.length) % options.length];
  for (const option of options) option.setAttribute("aria-selected", option === next);
  next.scrollIntoView({ block: "nearest" });
  field.setAttribute("aria-activedescendant", next.id);
}

document.addEventListener("keydown", (event) => {
  if ((event.metaKey || event.ctrlKey) && event.key.toLowerCase() === "k") { event.preventDefault(); openPalette(); return; }
  if (!event.target.closest?.("#palette")) return;
  if (event.key === "ArrowDown" || event.key === "ArrowUp") { event.preventDefault(); choose(event.key === "ArrowDown" ? 1 : -1); }
  if (event.key === "Enter") {
    const chosen = document.querySelector('#palette [aria-selected="true"]');
    if (chosen) { event.preventDefault(); chosen.click(); }
  }
});
document.addEventListener("htmx:afterSwap", (event) => { if (event.detail.target.id === "palette-found") choose(1); });
document.addEventListener("click", (event) => {
  if (event.target.closest("[data-palette-open]")) { event.preventDefault(); openPalette(); }
  if (event.target.id === "palette") event.target.close(); // beside the box
});

/* --- The search box says what may follow: arrows choose, Enter or Tab takes it; without a choice Enter searches --- */

const query = document.querySelector("[data-completion]");
const following = document.getElementById("completion");
let asked = 0;

async function suggest() {
  const number = ++asked;
  const at = new URLSearchParams({ q: query.value, at: query.selectionStart });
  const answer = await fetch(`${query.dataset.completion}?${at}`).catch(() => null);
  if (number !== asked || document.activeElement !== query) return;
  following.innerHTML = answer?.ok ? await answer.text() : "";
  offer(following.childElementCount > 0);
}

function offer(on) {
  if (!on) asked += 1; // an answer that is on its way is late
  following.hidden = !on;
  query.setAttribute("aria-expanded", on);
  query.removeAttribute("aria-activedescendant");
}

function take(option) {
  const { text, start, end } = option.dataset;
  const whole = /[:<>=]\S*$/.test(query.value.slice(0, start)) || /^is:./.test(text); // a value, not the name of a field
  query.setRangeText(text + (whole && Number(end) === query.value.length ? " " : ""), Number(start), Number(end), "end");
  if (whole) offer(false);
  else suggest();
}

if (query && following) {
  for (const [name, value] of Object.entries({ role: "combobox", "aria-autocomplete": "list", "aria-controls": "completion", "aria-expanded": "false" })) query.setAttribute(name, value);
  query.addEventListener("input", () => { const number = ++asked; setTimeout(() => { if (number === asked) suggest(); }, 120); });
  query.addEventListener("blur", () => offer(false));
  following.addEventListener("mousedown", (event) => event.preventDefault()); // the focus stays in the box
  following.addEventListener("click", (event) => { const option = event.target.closest("[role=option]"); if (option) take(option); });
  // Before what else Escape and the arrows do.
  document.addEventListener("keydown", (event) => {
    if (event.target !== query || event.isComposing) return;
    const chosen = following.querySelector('[aria-selected="true"]');
    if (following.hidden) {
      if (event.key === "ArrowDown") { event.preventDefault(); event.stopPropagation(); suggest(); }
      return;
    }
    if (event.key === "ArrowDown" || event.key === "ArrowUp") choose(event.key === "ArrowDown" ? 1 : -1, query, following);
    else if (event.key === "Escape") offer(false);
    else if ((event.key === "Enter" || event.key === "Tab") && chosen) take(chosen);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }, true);
}

/* --- A file's box says what was chosen --- */

document.addEventListener("change", (event) => {
  const name = event.target.closest(".file")?.querySelector("[data-file-name]");
  if (name) name.textContent = event.target.files[0]?.name ?? name.dataset.none;
});

/* --- The drop zone --- */

for (const zone of document.querySelectorAll("[data-drop]")) {
  const form = zone.closest("form");
  const input = zone.querySelector("input[type=file]");
  let depth = 0;
  const over = (on) => zone.classList.toggle("over", on);
  // The whole page takes the file: a drop beside the zone would otherwise leave the page.
  document.addEventListener("dragenter", (event) => { if (event.dataTransfer.types.includes("Files")) { depth += 1; over(true); } });
  document.addEventListener("dragleave", () => { depth = Math.max(depth - 1, 0); if (!depth) over(false); });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    over(false);
    if (!event.dataTransfer.files.length) return;
    input.files = event.dataTransfer.files;
    send(form);
  });
  input.addEventListener("change", () => { if (input.files.length) send(form); });
  form.addEventListener("submit", (event) => { event.preventDefault(); send(form); });
}

function send(form) {
  const zone = form.querySelector("[data-drop]");
  const meter = zone.querySelector("progress");
  const request = new XMLHttpRequest();
  zone.classList.add("sending");
  zone.querySelector("[data-drop-name]").textContent = form.querySelector("input[type=file]").files[0]?.name ?? "";
  request.upload.addEventListener("progress", (event) => {
    if (event.lengthComputable) { meter.max = event.total; meter.value = event.loaded; }
  });
  request.addEventListener("load", () => {
    if (request.status < 400) { location.assign(request.responseURL); return; }
    const page = new DOMParser().parseFromString(request.responseText, "text/html");
    document.getElementById("main").replaceWith(page.getElementById("main"));
    document.getElementById("main").focus();
  });
  request.addEventListener("error", () => { zone.classList.remove("sending"); zone.classList.add("failed"); });
  request.open("POST", form.action);
  request.send(new FormData(form));
}
