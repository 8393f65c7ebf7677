/* What this page knows, how it is loaded, and who is told when it changed. */

import * as api from "./api.js";
import { coalesce, toast } from "./dom.js";
import { explain } from "./words.js";

export const state = {
  accounts: [], // service accounts and mini-programs
  places: [],
  person: null,
  appid: "",
  relation: null,
  entries: [],
  menu: null, // {button, newest, menuid, refreshes_at}
  clock: null,
  codes: [],
  codeTotal: 0,
  problem: "", // why there is nobody to show
};

const listeners = new Map();

/** Call `run` whenever one of the topics changed. */
export function on(topics, run) {
  for (const topic of topics.split(" ")) {
    if (!listeners.has(topic)) listeners.set(topic, []);
    listeners.get(topic).push(run);
  }
}

export function emit(topic) {
  for (const run of listeners.get(topic) ?? []) run();
}

export const services = () => state.accounts.filter((account) => account.kind === "service");
export const account = (appid = state.appid) => state.accounts.find((item) => item.appid === appid);
export const accountName = (appid) => account(appid)?.name ?? appid;

/** The simulated moment now: the clock goes on by itself between two answers. */
export function now() {
  if (!state.clock) return 0;
  return state.clock.now + ((performance.now() - state.clock.heard) / 1000) * state.clock.rate;
}

/** Run a loader; being offline is shown by the banner, everything else is said once. */
function loader(run, pause) {
  return coalesce(async () => {
    try {
      await run();
    } catch (error) {
      if (error.name !== "Offline") toast(explain(error), "error");
    }
  }, pause);
}

export const loadClock = loader(async () => {
  let known;
  let answer;
  let heard;
  do { // what was set meanwhile may be newer than this answer
    known = state.clock;
    const asked = performance.now();
    answer = await api.get("/clock");
    heard = (asked + performance.now()) / 2;
  } while (state.clock !== known);
  setClock(answer, heard);
});

export function setClock(view, heard = performance.now()) {
  if (state.clock && view.real_epoch < state.clock.real_epoch) return; // an answer older than what is known
  state.clock = { ...view, heard };
  emit("clock");
}

export const loadAccounts = loader(async () => {
  state.accounts = (await api.get("/world")).accounts;
  emit("accounts");
  if (!account() && services().length) chooseAccount(services()[0].appid);
}, 500);

export const loadCodes = loader(async () => {
  const { codes, total } = await api.get("/codes", { limit: 500 });
  state.codes = codes;
  state.codeTotal = total;
  emit("codes");
}, 500);

export const loadPerson = loader(async () => {
  if (!state.person) return;
  const { id } = state.person;
  const view = await api.get(api.person(id));
  if (state.person?.id !== id) return;
  state.person = view;
  emit("person");
}, 300);

export const loadChat = loader(async () => {
  if (!state.person || !state.appid) return;
  const { id } = state.person;
  const { appid } = state;
  const since = state.entries.at(-1)?.n ?? 0;
  const answer = await api.get(`${api.person(id)}/conversation`, { appid, since, limit: 300 });
  if (state.person?.id !== id || state.appid !== appid) return;
  const last = state.entries.at(-1)?.n ?? 0;
  state.entries = [...state.entries, ...answer.entries.filter((entry) => entry.n > last)].slice(-1000);
  state.relation = answer.relation;
  emit("chat");
}, 120);

export const loadMenu = loader(async () => {
  if (!state.person || !state.appid) return;
  const { id } = state.person;
  const { appid } = state;
  const menu = await api.get(`${api.person(id)}/menu`, { appid });
  if (state.person?.id !== id || state.appid !== appid) return;
  state.menu = menu;
  emit("menu");
});

function forget() {
  state.entries = [];
  state.relation = null;
  state.menu = null;
}

function address() {
  const url = new URL(location.href);
  if (state.person) url.searchParams.set("person", state.person.id);
  if (state.appid) url.searchParams.set("appid", state.appid);
  history.replaceState(null, "", url);
  document.title = state.person ? `${state.person.nickname} · 模拟手机` : "模拟手机";
}

/** Take another person's phone into the hand. */
export function choosePerson(view) {
  if (state.person?.id === view.id) return;
  state.person = view;
  state.problem = "";
  forget();
  address();
  emit("who");
  emit("person");
  loadChat();
  loadMenu();
}

/** Open the chat with another account. */
export function chooseAccount(appid) {
  if (state.appid !== appid) {
    state.appid = appid;
    forget();
    address();
    loadChat();
    loadMenu();
  }
  emit("who");
}

/** Everything again: at the start, and when the simulator came back (perhaps as another world). */
export async function loadAll() {
  const [world, { places }, clock] = await Promise.all([api.get("/world"), api.get("/places"), api.get("/clock")]);
  state.clock = { ...clock, heard: performance.now() };
  state.accounts = world.accounts;
  state.places = places;
  const wanted = new URL(location.href).searchParams;
  const appid = wanted.get("appid") || state.appid;
  state.appid = services().some((item) => item.appid === appid) ? appid : (services()[0]?.appid ?? "");
  const name = state.person?.id ?? wanted.get("person");
  state.problem = "";
  try {
    if (name) state.person = await api.get(api.person(name));
    else state.person = (await api.get("/people", { limit: 1 })).people[0] ?? null;
  } catch (error) {
    if (error.name === "Offline") throw error;
    state.problem = `没有叫「${name}」的人`;
    state.person = null;
  }
  forget();
  if (state.person) address();
  emit("accounts");
  emit("clock");
  emit("who");
  emit("person");
  loadChat();
  loadMenu();
  loadCodes();
}

/** The person does something. Gives the answer, or null after telling what stood in the way. */
export async function act(name, fields = {}, appid = state.appid) {
  if (!state.person) return null;
  try {
    return await api.post(`${api.person(state.person.id)}/act`, { act: name, appid, ...fields });
  } catch (error) {
    toast(explain(error), "error");
    return null;
  } finally {
    loadChat();
    loadPerson();
  }
}
