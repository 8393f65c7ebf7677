/* The phone in the middle: list of chats, the chat, menu bar and keyboard, ＋ panel; pages that lie over them. */

import * as api from "./api.js";
import { coalesce, fill, h, icon, patch, toast } from "./dom.js";
import { drawEntry, grouped } from "./entries.js";
import { accountCard, openTarget, placePage, photoPage, profilePage, scanPage, voicePage } from "./pages.js";
import { unfollow } from "./people.js";
import { onShares, sharesPage, unopened } from "./shares.js";
import { account, act, chooseAccount, choosePerson, loadChat, loadMenu, now, on, services, state } from "./state.js";
import { ordersPage, payBar } from "./wallet.js";
import { wecomList } from "./wecom.js";
import { colour, exact, initial, moment, parts } from "./words.js";

let screen;
let chats;
let chat;
let log;
let title;
let foot;
let clockLine;
const layers = [];

// --- pages over the chat --------------------------------------------------------------------------------------------

function settleLayers() {
  const top = layers.at(-1)?.element;
  for (const element of [chats, chat, ...layers.map((layer) => layer.element)]) element.inert = Boolean(top) && element !== top;
}

/** Put a page over what is there; the back button and Esc take it away. */
export function push(element, left = () => {}) {
  layers.push({ element, left, focus: document.activeElement });
  screen.append(element);
  settleLayers();
  (element.querySelector("[data-first]") ?? element.querySelector("button, input, [tabindex]"))?.focus({ preventScroll: true });
}

/** Take the top page away; false when there was none. */
export function pop() {
  const layer = layers.pop();
  if (!layer) return false;
  layer.element.remove();
  settleLayers();
  layer.left();
  if (layer.focus?.isConnected) layer.focus.focus({ preventScroll: true });
  return true;
}

function popAll() {
  while (pop());
}

/** A page with a title bar. */
export function page(name, testid, ...inside) {
  return h(
    "section",
    { class: "page", testid, "aria-label": name, role: "dialog" },
    h("header", { class: "bar" }, h("button", { type: "button", class: "round", "aria-label": "返回", testid: "page-back", on: { click: pop } }, icon("back")), h("h2", {}, name), h("span", { class: "round" })),
    h("div", { class: "page-body" }, inside),
  );
}

/** Question from the foot of the screen: `choices` are [word, css class, run]. */
export function ask(name, text, choices, testid = "consent") {
  const sheet = h(
    "div",
    { class: "ask", testid, role: "dialog", "aria-label": name },
    h("div", { class: "ask-box" }, h("h3", {}, name), text ? h("p", {}, text) : "", h("div", { class: "ask-choices" }, choices.map(([word, kind, run, id]) => h("button", { type: "button", class: `flat ${kind}`, testid: id, on: { click: () => { pop(); run(); } } }, word)))),
  );
  push(sheet);
}

// --- list of chats --------------------------------------------------------------------------------------------------

function summary(entry) {
  if (!entry) return "还没有消息";
  const names = { image: "[图片]", voice: "[语音]", video: "[视频]", shortvideo: "[小视频]", location: "[位置]", miniprogrampage: "[小程序]", music: "[音乐]", wxcard: "[卡券]", link: "[链接]" };
  if (entry.kind === "news") return `[图文] ${entry.articles?.[0]?.title ?? ""}`;
  if (entry.kind === "template") return `[${entry.title}]`;
  if (entry.kind === "msgmenu") return entry.head_content ?? "";
  return names[entry.kind] ?? String(entry.content ?? entry.title ?? "").replace(/<[^>]*>/g, "");
}

const loadChats = coalesce(async () => {
  if (chats.hidden || !state.person) return;
  const { id } = state.person;
  const rows = await Promise.all(services().map(async (item) => {
    try {
      const answer = await api.get(`${api.person(id)}/conversation`, { appid: item.appid, limit: 1 });
      return { item, last: answer.entries.at(-1), relation: answer.relation };
    } catch {
      return { item, last: undefined, relation: {} }; // the banner already says that the connection is gone
    }
  }));
  if (state.person.id !== id) return;
  rows.sort((left, right) => (right.last?.at ?? 0) - (left.last?.at ?? 0));
  patch(chats.querySelector("ul"), rows, {
    key: (row) => row.item.appid,
    signature: (row) => JSON.stringify([row.item.name, row.last?.n, row.relation.unread, row.relation.subscribed, parts(now()).year]),
    make: ({ item, last, relation }) => h("li", {}, h(
      "button",
      { type: "button", class: "chat-row", testid: "chat-row", "data-appid": item.appid, on: { click: () => openChat(item.appid) } },
      h("span", { class: "avatar square", style: { background: colour(item.name) }, "aria-hidden": "true" }, initial(item.name)),
      h("span", { class: "who" }, h("b", {}, item.name), h("small", {}, relation.subscribed || last ? summary(last) : "未关注")),
      h("span", { class: "aside" }, last ? h("time", { title: exact(last.at) }, moment(last.at, now())) : "", relation.unread > 0 ? h("span", { class: "unread", "aria-label": `${relation.unread} 条未读` }, relation.unread) : ""),
    )),
  });
  fill(chats.querySelector(".note"), rows.length ? "" : "模拟的世界里还没有服务号。");
}, 300);

function showChats() {
  popAll();
  chats.hidden = false;
  chat.hidden = true;
  loadChats();
  chats.querySelector("button.chat-row")?.focus({ preventScroll: true });
}

/** Open the chat with an account. */
export function openChat(appid) {
  popAll();
  chats.hidden = true;
  chat.hidden = false;
  chooseAccount(appid);
  enter();
}

let entering;

/** Opening the chat reads everything; passing by with ↑↓ does not. */
function enter() {
  clearTimeout(entering);
  const { person, appid } = state;
  entering = setTimeout(() => {
    const relation = state.person?.accounts[appid];
    if (person?.id !== state.person?.id || appid !== state.appid || chat.hidden) return;
    if (!relation?.subscribed || person.ignores || document.visibilityState !== "visible") return;
    act("enter");
  }, 600);
}

// --- the chat -------------------------------------------------------------------------------------------------------

const actions = {
  open: (target) => openTarget(target),
  say: (item) => act("text", { content: item.content, menu_id: item.id }),
};

const nearEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 120;
let shownFor = "";

async function firstPerson() {
  const { people } = await api.get("/people", { limit: 1 });
  if (people[0]) choosePerson(people[0]);
}

/** An empty chat says whose it is and how it begins. */
function drawIntroduction() {
  const known = account();
  const nobody = !state.person || !known;
  log.lastChild.hidden = !nobody && !(state.relation && !state.entries.length);
  if (log.lastChild.hidden) return;
  if (nobody) {
    fill(
      log.lastChild,
      h("h3", { testid: "nobody" }, state.problem || (known ? "还没有人" : "还没有服务号")),
      h("p", {}, known ? "从左边选一个人，或加一个新人。" : "这个模拟的世界是空的。载入演示数据，或用控制接口描述服务号后，这里会自动出现。"),
      known ? h("button", { type: "button", class: "flat go", testid: "first-person", on: { click: firstPerson } }, "看第一个人的手机") : "",
    );
    return;
  }
  fill(
    log.lastChild,
    h("span", { class: "avatar square big", style: { background: colour(known.name) }, "aria-hidden": "true" }, initial(known.name)),
    h("h3", {}, known.name),
    h("p", {}, state.relation.subscribed ? "已关注，还没有消息。说句话，或点下面的菜单。" : "还没有关注。扫一个码，或点下面的「关注公众号」。"),
  );
}

function drawChat() {
  const key = `${state.person?.id}|${state.appid}`;
  const other = key !== shownFor;
  const stay = !other && !nearEnd();
  const year = state.clock ? parts(now()).year : 0;
  patch(log.firstChild, grouped(state.entries), {
    key: (row) => `${key}|${row.n}`,
    signature: (row) => (row.time === undefined ? "" : String(year)) + (account()?.name ?? ""),
    make: (row) => drawEntry(row, actions),
  });
  shownFor = key;
  drawIntroduction();
  if (!stay) log.scrollTop = log.scrollHeight;
  const typing = state.relation?.typing;
  fill(title, typing ? "对方正在输入…" : (account()?.name ?? "没有服务号"));
  title.dataset.typing = String(Boolean(typing));
  if (typing) setTimeout(loadChat, 3000); // its end is not announced
  drawFoot();
}

// --- foot: follow, menu bar, keyboard, ＋ panel ----------------------------------------------------------------------

let keyboard = null; // null: the menu when there is one
let panel = false;
let opened = -1; // which sub-menu is open
let footSign = "";
const draft = new Map();
const draftKey = () => `${state.person?.id}|${state.appid}`;

function drawFoot(force = false) {
  const buttons = state.menu?.button ?? [];
  const sign = JSON.stringify([draftKey(), state.relation?.subscribed, buttons, keyboard, panel, opened]);
  if (sign === footSign && !force) return;
  footSign = sign;
  if (!state.person || !state.relation) {
    fill(foot);
    return;
  }
  if (!state.relation.subscribed) {
    fill(foot, h("div", { class: "follow-bar" }, h("span", {}, "关注后才能发消息、点菜单"), h("button", { type: "button", class: "flat go", testid: "follow", on: { click: () => act("follow") } }, "关注公众号")));
    return;
  }
  const byKeyboard = keyboard ?? buttons.length === 0;
  fill(foot, byKeyboard ? drawKeyboard(buttons) : drawMenu(buttons), panel && byKeyboard ? drawPanel() : "");
}

function drawMenu(buttons) {
  return h(
    "div",
    { class: "menu-bar", testid: "menu-bar" },
    h("button", { type: "button", class: "round", "aria-label": "切到键盘", testid: "keyboard-toggle", on: { click: () => { keyboard = true; opened = -1; drawFoot(); foot.querySelector("textarea")?.focus(); } } }, icon("keyboard")),
    buttons.map((button, index) => {
      const subs = button.sub_button ?? [];
      return h(
        "span",
        { class: "menu-slot" },
        opened === index
          ? h("div", { class: "sub-menu", role: "menu", testid: "sub-menu" }, subs.map((sub, at) => h("button", { type: "button", role: "menuitem", testid: "menu-item", on: { click: () => tap([index, at], sub) } }, sub.name)))
          : "",
        h(
          "button",
          {
            type: "button",
            testid: "menu-button",
            "aria-haspopup": subs.length ? "menu" : undefined,
            "aria-expanded": subs.length ? String(opened === index) : undefined,
            on: {
              click: (event) => {
                event.stopPropagation();
                if (subs.length) {
                  opened = opened === index ? -1 : index;
                  drawFoot();
                  foot.querySelector(".sub-menu button")?.focus();
                } else tap([index], button);
              },
            },
          },
          subs.length ? icon("menu") : "",
          button.name,
        ),
      );
    }),
  );
}

async function tap(path, button) {
  opened = -1;
  drawFoot();
  const send = async (fields = {}) => {
    const answer = await act("tap", { path, ...fields });
    if (answer?.open) openTarget(answer.open);
    if (!answer) loadMenu();
  };
  if (button.type?.startsWith("scancode")) scanPage(button.name, (code, text) => send({ scan_result: code?.url ?? text }), { anything: true });
  else if (button.type?.startsWith("pic_")) photoPage(button.name, () => send({ pictures: 1 }));
  else if (button.type === "location_select") placePage(button.name, (where) => send(where));
  else await send();
}

function drawKeyboard(buttons) {
  const field = h("textarea", {
    rows: 1,
    "aria-label": "消息",
    testid: "composer",
    value: draft.get(draftKey()) ?? "",
    on: {
      input: () => {
        draft.set(draftKey(), field.value);
        grow();
      },
      keydown: (event) => {
        if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
          event.preventDefault();
          send();
        }
      },
      focus: () => { if (panel) { panel = false; drawFoot(true); foot.querySelector("textarea")?.focus(); } },
    },
  });
  const sendButton = h("button", { type: "button", class: "flat go send", testid: "send", on: { click: () => send() } }, "发送");
  const plus = h("button", { type: "button", class: "round", "aria-label": "更多", "aria-expanded": String(panel), testid: "plus", on: { click: () => { panel = !panel; drawFoot(); foot.querySelector(".panel button, [data-testid=plus]")?.focus(); } } }, icon("plus"));
  const grow = () => {
    field.style.height = "auto";
    field.style.height = `${Math.min(field.scrollHeight, 108)}px`;
    sendButton.hidden = !field.value.trim();
    plus.hidden = !sendButton.hidden;
  };
  const send = async () => {
    const content = field.value.trim();
    if (!content) return;
    const key = draftKey();
    draft.delete(key);
    field.value = "";
    grow();
    if (!(await act("text", { content })) && key === draftKey() && !field.value) {
      draft.set(key, content); // nothing typed is lost
      field.value = content;
      grow();
    }
  };
  queueMicrotask(grow);
  return h(
    "div",
    { class: "keyboard-bar", testid: "keyboard-bar" },
    buttons.length ? h("button", { type: "button", class: "round", "aria-label": "切到菜单", testid: "menu-toggle", on: { click: () => { keyboard = false; panel = false; drawFoot(); foot.querySelector("button")?.focus(); } } }, icon("menu")) : "",
    field,
    plus,
    sendButton,
  );
}

function drawPanel() {
  const close = () => {
    panel = false;
    drawFoot();
  };
  const items = [
    ["photo", "照片", () => photoPage("照片", (url) => act("image", { url }))],
    ["camera", "拍摄", () => ask("拍摄", "", [["拍照片", "go", () => photoPage("拍照片", (url) => act("image", { url })), "shoot-photo"], ["拍小视频", "", () => act("video", { short: true }), "shoot-video"], ["返回", "", () => {}]], "camera")],
    ["voice", "语音", () => voicePage((fields) => act("voice", fields))],
    ["place", "位置", () => placePage("发送位置", (where) => act("location", where))],
    ["scan", "扫一扫", () => openScan()],
  ];
  return h("div", { class: "panel", testid: "plus-panel" }, items.map(([mark, word, run]) => h("button", { type: "button", testid: `plus-${mark}`, on: { click: () => { close(); run(); } } }, h("span", {}, icon(mark)), word)));
}

// --- scanning -------------------------------------------------------------------------------------------------------

/** Scan a code: to the chat when followed, otherwise the account's card with 关注公众号 first. */
export async function scan(fields, appid = state.appid) {
  const answer = await act("scan", fields, appid);
  if (!answer) return;
  if (answer.problem) {
    toast(`${answer.problem}，扫了没有反应。换一个没过期的码。`, "error");
    return;
  }
  if (answer.followed) {
    openChat(answer.card.appid);
    return;
  }
  popAll();
  accountCard(answer.card);
}

export function openScan() {
  scanPage("扫一扫", (code, text) => {
    if (code) scan({ ticket: code.ticket }, code.appid);
    else if (/^https?:/.test(text)) scan({ url: text });
    else scan({ scene: text });
  });
}

/** Scan a code of the list. */
export const scanCode = (code) => scan({ ticket: code.ticket }, code.appid);

// --- keys -----------------------------------------------------------------------------------------------------------

/** Esc: one step back. */
export function back() {
  if (pop()) return;
  if (opened >= 0 || panel) {
    opened = -1;
    panel = false;
    drawFoot();
  } else if (!chat.hidden) showChats();
}

/** Into the line where one types. */
export function focusChat() {
  if (chat.hidden) openChat(state.appid);
  if (layers.length) return;
  if (keyboard === null && !foot.querySelector("textarea")) {
    keyboard = true;
    drawFoot();
  }
  (foot.querySelector("textarea") ?? foot.querySelector("button"))?.focus();
}

// --- building -------------------------------------------------------------------------------------------------------

function drawHeading(heading) {
  const list = services();
  fill(
    heading,
    h("h2", { title: state.person?.nickname }, state.person ? `${state.person.nickname}的手机` : "手机"),
    list.length > 1
      ? h("select", { testid: "account", "aria-label": "服务号", on: { change: (event) => openChat(event.target.value) } }, list.map((item) => h("option", { value: item.appid, selected: item.appid === state.appid }, item.name)))
      : h("span", { class: "hint" }, list[0]?.name ?? ""),
  );
}

/** Above the chats: orders of WeChat Pay, and what others forwarded. */
function drawExtras() {
  const news = h("span", { class: "unread", hidden: true });
  onShares(() => {
    news.hidden = !unopened();
    fill(news, unopened());
  });
  const row = (mark, word, id, run, more = "") => h("button", { type: "button", class: "chat-extra", testid: id, on: { click: run } }, icon(mark), h("span", { class: "grow" }, word), more);
  return h("div", { class: "chat-extras" }, row("page", "订单与支付", "chats-orders", ordersPage), row("link", "朋友转发", "chats-shares", sharesPage, news));
}

/** Build the column. */
export function buildPhone(column) {
  const heading = h("div", { class: "heading" });
  clockLine = h("time", { testid: "phone-time" });
  title = h("h2", { testid: "chat-title" });
  log = h("div", { class: "log", role: "log", "aria-live": "polite", "aria-label": "聊天记录", tabindex: 0, testid: "log" }, h("ol", {}), h("div", { class: "introduction", hidden: true }));
  foot = h("div", { class: "foot", testid: "foot" });
  chats = h("section", { class: "page chats", hidden: true, testid: "chats", "aria-label": "聊天列表" }, h("header", { class: "bar" }, h("span", { class: "round" }), h("h2", {}, "聊天"), h("button", { type: "button", class: "round", "aria-label": "扫一扫", testid: "chats-scan", on: { click: openScan } }, icon("scan"))), h("div", { class: "page-body" }, drawExtras(), h("p", { class: "note" }), h("ul", { class: "chat-rows" }), wecomList()));
  chat = h(
    "section",
    { class: "page chat", testid: "chat", "aria-label": "聊天" },
    h("header", { class: "bar" }, h("button", { type: "button", class: "round", "aria-label": "返回聊天列表", testid: "chat-back", on: { click: showChats } }, icon("back")), title, h("button", { type: "button", class: "round", "aria-label": "服务号资料", testid: "chat-more", on: { click: () => profilePage(unfollow) } }, icon("more"))),
    log,
    foot,
  );
  screen = h("div", { class: "screen", testid: "screen" }, chats, chat);
  column.append(heading, h("div", { class: "shell" }, h("div", { class: "status" }, clockLine, h("span", { class: "stamp" }, "模拟器，非微信官方"), icon("battery")), payBar(), screen));
  chat.addEventListener("click", () => {
    if (opened >= 0) {
      opened = -1;
      drawFoot();
    }
  });
  on("who accounts person", () => drawHeading(heading));
  on("chat clock accounts", drawChat);
  on("chat", loadChats);
  on("menu", () => drawFoot());
  on("who", () => {
    keyboard = null;
    panel = false;
    opened = -1;
    popAll();
    drawChat();
    loadChats();
    enter();
  });
  on("tick", () => {
    const text = state.clock ? parts(now()).minute : "";
    if (clockLine.textContent !== text) clockLine.textContent = text;
  });
  new ResizeObserver(() => { if (nearEnd()) log.scrollTop = log.scrollHeight; }).observe(log);
}
