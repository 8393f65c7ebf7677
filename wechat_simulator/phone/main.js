/* Start of the page: columns, live updates, keys, theme. */

import { fill, icon } from "./dom.js";
import { listen } from "./live.js";
import { buildPeople, step } from "./people.js";
import { back, buildPhone, focusChat, openScan, scanCode } from "./phone.js";
import { emit, loadAccounts, loadAll, loadChat, loadClock, loadCodes, loadMenu, loadPerson, now, on, state } from "./state.js";
import { loadShares } from "./shares.js";
import { loadOrders } from "./wallet.js";
import { loadWecom } from "./wecom.js";
import { buildWorld } from "./world.js";

const columns = document.getElementById("columns");

// --- tabs of narrow screens -----------------------------------------------------------------------------------------

function show(tab) {
  columns.dataset.tab = tab;
  for (const button of document.querySelectorAll("[role=tab]")) {
    button.setAttribute("aria-selected", String(button.dataset.tab === tab));
  }
}

for (const button of document.querySelectorAll("[role=tab]")) button.addEventListener("click", () => show(button.dataset.tab));
show("phone");

// --- theme ----------------------------------------------------------------------------------------------------------

const theme = document.getElementById("theme");
const nameTheme = () => {
  const dark = document.documentElement.dataset.theme === "dark";
  theme.textContent = dark ? "浅色" : "深色";
  theme.setAttribute("aria-label", dark ? "换成浅色" : "换成深色");
};
theme.addEventListener("click", () => {
  const chosen = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = chosen;
  localStorage.setItem("phone-theme", chosen);
  nameTheme();
});
nameTheme();

// --- live -----------------------------------------------------------------------------------------------------------

const live = document.getElementById("live");
let heard = "";
let ready = false;

async function restart() {
  try {
    await loadAll();
    ready = true;
    if (document.visibilityState === "visible") catchUp();
    fill(live, icon("check"), "实时");
    live.dataset.state = "open";
    emit("people");
    emit("faults");
    emit("push");
  } catch {
    lost();
    setTimeout(restart, 3000);
  }
}

function lost() {
  live.dataset.state = "lost";
  fill(live, icon("warn"), heard ? `连接中断，正在重试，上次更新 ${heard}` : "连不上模拟器，正在重试");
}

const WHAT = {
  conversation: [loadChat, loadPerson],
  person: [loadPerson, loadChat],
  menu: [loadMenu],
  codes: [loadCodes],
  world: [loadAccounts, loadPerson, loadCodes],
  wecom: [loadWecom],
  clock: [loadClock, loadChat, loadMenu, loadPerson, loadCodes, loadOrders],
  pay: [loadOrders],
  share: [loadShares],
};

// While the page is hidden nobody looks, and a campaign makes ten changes a second; while it starts, what it asked for
// may be older than the change.
const missed = new Set();

function changed(kinds) {
  heard = new Date().toLocaleTimeString("zh-CN", { hour12: false });
  if (!ready || document.visibilityState !== "visible") {
    for (const kind of kinds) missed.add(kind);
    return;
  }
  for (const run of new Set(kinds.flatMap((kind) => WHAT[kind] ?? []))) run();
  if (kinds.some((kind) => ["person", "world", "conversation"].includes(kind))) emit("people");
  if (kinds.includes("faults")) emit("faults");
  if (kinds.includes("push") || kinds.includes("conversation")) emit("push");
}

function catchUp() {
  const kinds = [...missed];
  missed.clear();
  if (kinds.length) changed(kinds);
}

let began = false;
let gone = false;

function connection(kind) {
  if (kind === "lost") {
    gone = true;
    lost();
  } else if (kind === "open" && gone && began) {
    gone = false;
    restart(); // it may be another world now
  } else if (kind === "open") {
    changed(Object.keys(WHAT)); // nobody told of what changed before the stream stood
  }
}

// The phone's menu is renewed by time alone (reference: service account 5.4); hearing it when it is due keeps it right.
let asked = 0;
function tick() {
  if (state.clock && state.menu && state.relation?.subscribed && now() >= state.menu.refreshes_at && performance.now() - asked > 2000) {
    asked = performance.now();
    if (JSON.stringify(state.menu.button) !== JSON.stringify(state.menu.newest)) loadMenu();
  }
  emit("tick");
}

// --- keys -----------------------------------------------------------------------------------------------------------

const typing = (target) => target.matches?.("textarea, select, input:not([type=checkbox]):not([type=search])") ?? false;

addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.isComposing || document.querySelector("dialog[open]")) return;
  if ((event.key === "ArrowDown" || event.key === "ArrowUp") && !typing(event.target) && !event.target.closest?.(".log, .sub-menu, .page-body, #world")) {
    event.preventDefault();
    step(event.key === "ArrowDown" ? 1 : -1);
  } else if (event.key === "Escape") {
    back();
  } else if (event.key === "Enter" && event.target === document.body) {
    event.preventDefault();
    focusChat();
  }
});

// --- start ----------------------------------------------------------------------------------------------------------

const shown = (run) => (...given) => {
  show("phone");
  run(...given);
};

buildPeople(document.getElementById("people"), { openScan: shown(openScan), scan: shown(scanCode), focusChat: shown(focusChat) });
buildPhone(document.getElementById("phone"));
buildWorld(document.getElementById("world"));
on("who", () => {
  if (columns.dataset.tab === "people" && began) show("phone");
});
listen(changed, connection);
await restart();
began = true;
setInterval(tick, 250);
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState !== "visible") return;
  catchUp();
  loadClock();
});
