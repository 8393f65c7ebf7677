/* The left column: who there is, how the chosen person stands to the account, codes to scan, another phone. */

import * as api from "./api.js";
import { coalesce, copy, fill, h, icon, patch, toast } from "./dom.js";
import { account, act, choosePerson, emit, loadPerson, now, on, state } from "./state.js";
import { SCENES, WINDOWS, colour, count, countdown, exact, explain, initial, mask, moment, parts, tail } from "./words.js";

const ROW = 52;
const PAGE = 100;
const AHEAD = 6;

let pages = new Map(); // number of the page → people
let total = null;
let filter = { q: "", followers: false };
let box;
let sheet; // holds the rows, as high as all of them
let amount;
let empty;

/** State towards an account: mark, word, css class. */
export function standing(relation) {
  if (relation?.blocked) return ["block", "已拉黑", "bad"];
  if (relation?.subscribed) return ["check", "已关注", "ok"];
  return ["circle", "未关注", "off"];
}

export const avatar = (name, className = "") =>
  h("span", { class: `avatar ${className}`, style: { background: colour(name) }, "aria-hidden": "true" }, initial(name));

export const pill = (relation) => {
  const [mark, word, kind] = standing(relation);
  return h("span", { class: `pill ${kind}` }, icon(mark), word);
};

// --- the list: only the visible rows exist, pages of 100 are fetched when scrolled to -------------------------------

function rowsInView() {
  const first = Math.max(0, Math.floor(box.scrollTop / ROW) - AHEAD);
  return [first, Math.min(total ?? 0, Math.ceil((box.scrollTop + box.clientHeight) / ROW) + AHEAD)];
}

const at = (index) => pages.get(Math.floor(index / PAGE))?.[index % PAGE];

function draw() {
  const [first, end] = rowsInView();
  const rows = [];
  for (let index = first; index < end; index += 1) {
    const view = at(index);
    if (view) rows.push({ index, view, chosen: view.id === state.person?.id, relation: view.accounts[state.appid] });
  }
  sheet.style.setProperty("height", `${(total ?? 0) * ROW}px`);
  patch(sheet, rows, {
    key: (row) => row.view.id,
    signature: (row) => JSON.stringify([row.index, row.chosen, row.view.nickname, row.view.phone, standing(row.relation), row.relation?.unread, row.view.ignores, total]),
    make: drawRow,
  });
  const chosen = rows.find((row) => row.chosen);
  if (chosen) box.setAttribute("aria-activedescendant", `person-${chosen.view.id}`);
  else box.removeAttribute("aria-activedescendant");
}

function drawRow({ index, view, chosen, relation }) {
  const [mark, word, kind] = standing(relation);
  return h(
    "div",
    {
      class: `person ${chosen ? "chosen" : ""}`,
      id: `person-${view.id}`,
      role: "option",
      "aria-selected": String(chosen),
      "aria-setsize": total,
      "aria-posinset": index + 1,
      testid: "person-row",
      "data-person": view.id,
      style: { top: `${index * ROW}px` },
      on: { click: () => choose(view) },
    },
    avatar(view.nickname),
    h("span", { class: "who" }, h("b", { title: view.nickname }, view.nickname), h("small", {}, mask(view.phone), view.ignores ? " · 不看消息" : "")),
    relation?.unread > 0 && !chosen ? h("span", { class: "unread", "aria-label": `${relation.unread} 条未读` }, relation.unread > 99 ? "99+" : relation.unread) : "",
    h("span", { class: `mark ${kind}`, testid: "person-state" }, icon(mark), word),
  );
}

async function fetchPage(number) {
  const values = { limit: PAGE, offset: number * PAGE, q: filter.q, appid: filter.followers ? state.appid : "" };
  const asked = JSON.stringify(values);
  const answer = await api.get("/people", values);
  const still = { limit: PAGE, offset: number * PAGE, q: filter.q, appid: filter.followers ? state.appid : "" };
  if (JSON.stringify(still) !== asked) return;
  pages.set(number, answer.people);
  total = answer.total;
}

const refresh = coalesce(async () => {
  try {
    if (total === null) await fetchPage(0);
    const [first, end] = rowsInView();
    const wanted = new Set();
    for (let index = first; index < Math.max(end, 1); index += 1) wanted.add(Math.floor(index / PAGE));
    await Promise.all([...wanted].map(fetchPage));
    pages = new Map([...pages].filter(([number]) => wanted.has(number)));
    fill(amount, filter.q || filter.followers ? `找到 ${count(total)} 人` : `共 ${count(total)} 人`);
    empty.hidden = total > 0;
    draw();
  } catch (error) {
    if (error.name !== "Offline") toast(explain(error), "error");
  }
}, 400);

function search() {
  pages = new Map();
  total = null;
  box.scrollTop = 0;
  refresh();
}

function choose(view) {
  choosePerson(view);
  draw();
}

/** ↑ and ↓ from anywhere: the neighbour of the chosen person. */
export function step(by) {
  if (!total) return;
  let index = -1;
  for (const [number, list] of pages) {
    const found = list.findIndex((view) => view.id === state.person?.id);
    if (found >= 0) index = number * PAGE + found;
  }
  const target = index < 0 ? rowsInView()[0] + (box.scrollTop ? AHEAD : 0) : Math.min(total - 1, Math.max(0, index + by));
  const top = target * ROW;
  if (top < box.scrollTop) box.scrollTop = top;
  else if (top + ROW > box.scrollTop + box.clientHeight) box.scrollTop = top + ROW - box.clientHeight;
  const view = at(target);
  if (view) choose(view);
  else refresh();
}

// --- a new person ---------------------------------------------------------------------------------------------------

function askNewPerson() {
  const name = h("input", { type: "text", maxlength: 40, required: true, testid: "new-nickname", placeholder: "例如 林小满" });
  const phone = h("input", { type: "tel", maxlength: 11, pattern: "1[0-9]{10}", testid: "new-phone", placeholder: "可留空，自动生成" });
  const dialog = h(
    "dialog",
    { class: "dialog", testid: "new-dialog", "aria-label": "新人" },
    h(
      "form",
      {
        method: "dialog",
        on: {
          submit: async (event) => {
            event.preventDefault();
            try {
              const body = { nickname: name.value.trim() };
              if (phone.value) body.phone = phone.value;
              const view = await api.post("/people", body);
              dialog.close();
              choosePerson(view);
              toast(`${view.nickname}有了一台手机`);
              refresh();
            } catch (error) {
              toast(explain(error), "error");
            }
          },
        },
      },
      h("h2", {}, "新人"),
      h("label", { class: "field" }, "昵称", name),
      h("label", { class: "field" }, "手机号", phone),
      h("div", { class: "row end" }, h("button", { type: "button", class: "button", on: { click: () => dialog.close() } }, "返回"), h("button", { class: "button primary", testid: "new-save" }, "加这个人")),
    ),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

// --- the chosen person ----------------------------------------------------------------------------------------------

function askPhone() {
  const field = h("input", { type: "tel", maxlength: 11, pattern: "1[0-9]{10}", required: true, testid: "phone-number", placeholder: "11 位手机号" });
  const dialog = h(
    "dialog",
    { class: "dialog", "aria-label": "换手机号" },
    h(
      "form",
      {
        method: "dialog",
        on: {
          submit: async (event) => {
            event.preventDefault();
            if (await act("change_phone", { phone: field.value })) {
              dialog.close();
              toast("手机号已换");
            }
          },
        },
      },
      h("h2", {}, `换手机号：${state.person.nickname}`),
      h("p", { class: "hint" }, `现在是 ${mask(state.person.phone)}。小程序下次取手机号时得到新的号码。`),
      h("label", { class: "field" }, "新手机号", field),
      h("div", { class: "row end" }, h("button", { type: "button", class: "button", on: { click: () => dialog.close() } }, "返回"), h("button", { class: "button primary" }, "换手机号")),
    ),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

/** One-button question before something that cannot be taken back. */
export function confirmAct(title, text, verb, run) {
  const dialog = h(
    "dialog",
    { class: "dialog", "aria-label": title },
    h("h2", {}, title),
    h("p", { class: "hint" }, text),
    h(
      "div",
      { class: "row end" },
      h("button", { class: "button", autofocus: true, on: { click: () => dialog.close() } }, "返回"),
      h("button", { class: "button danger", testid: "confirm", on: { click: () => { dialog.close(); run(); } } }, verb),
    ),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

export function unfollow() {
  const name = account()?.name;
  confirmAct(`取消关注「${name}」？`, `${state.person.nickname}不再收到它的消息；标签、备注和可回复时限会清掉。以后可以再次关注。`, "取消关注", async () => {
    if (await act("unfollow")) toast("已取消关注");
  });
}

const windowsLine = h("dd", { testid: "windows" });

function drawWindows() {
  const open = (state.relation?.windows ?? []).filter((item) => item.until > now());
  const text = open.map((item) => h("span", { class: "nowrap" }, `${WINDOWS[item.trigger] ?? item.trigger} ${item.left} 条 ${countdown(item.until - now())}`));
  fill(windowsLine, text.length ? text : "没有，等其发言或点菜单");
}

function menuLine() {
  const { menu } = state;
  if (!menu || !state.relation?.subscribed) return "--";
  const what = menu.menuid ? `个性化菜单 ${tail(menu.menuid)}` : menu.newest.length ? "默认菜单" : "没有菜单";
  if (JSON.stringify(menu.button) === JSON.stringify(menu.newest)) return what;
  return [what, h("span", { class: "note" }, icon("warn"), `有更新，${parts(menu.refreshes_at).minute}:${parts(menu.refreshes_at).second} 到手机`)];
}

let drawn = "";

function drawCard(card) {
  const { person: one, relation } = state;
  const sign = JSON.stringify([one, { ...relation, windows: 0, unread: 0, typing: 0 }, state.menu, account()?.tags, state.places.length]);
  if (sign === drawn) {
    drawWindows();
    return;
  }
  drawn = sign; // an unchanged card keeps its elements: its list of places may be open
  if (!one) {
    fill(card);
    return;
  }
  const known = account();
  const tags = (relation?.tags ?? []).map((id) => known?.tags.find((tag) => tag.id === id)?.name ?? String(id));
  const place = h(
    "select",
    { testid: "place", "aria-label": "位置", on: { change: async (event) => { if (await act("move", { place: event.target.value })) toast("已到那里"); } } },
    one.location ? "" : h("option", { value: "" }, "未设"),
    state.places.map((item) => h("option", { value: item.id, selected: item.id === one.location }, item.name)),
  );
  const follows = relation?.subscribed;
  const facts = [
    ["位置", place],
    ...(follows
      ? [
          ["关注", h("span", { title: exact(relation.subscribe_time) }, `${moment(relation.subscribe_time, now())}，${SCENES[relation.scene] ?? "其他"}`)],
          ...(tags.length ? [["标签", tags.join("、")]] : []),
          ["菜单", menuLine()],
          ["可收客服", windowsLine],
        ]
      : []),
    ["编号", relation?.openid ? h("button", { type: "button", class: "link", title: relation.openid, testid: "copy-openid", on: { click: () => copy(relation.openid) } }, `OpenID ${tail(relation.openid)} 复制`) : "--"],
  ];
  const acts = [
    follows ? ["取消关注", "unfollow", unfollow] : ["关注", "follow", async () => { if (await act("follow")) emit("chat"); }],
    relation?.blocked
      ? ["恢复接收", "unblock", () => act("unblock")]
      : ["拉黑", "block", async () => { if (await act("block")) toast("拉黑后发给此人的消息会以「用户拒收」结束"); }, !follows],
    ["换手机号", "change-phone", askPhone],
    ["撤回授权", "withdraw", async () => { if (await act("withdraw")) toast("已撤回授权，事件已推给服务号"); }, !follows],
    [one.ignores ? "开始看消息" : "不看消息", "ignore", async () => { if (await act("ignore", { value: !one.ignores })) loadPerson(); }],
  ];
  fill(
    card,
    h("div", { class: "row" }, avatar(one.nickname), h("div", { class: "who" }, h("h2", { class: "name", title: one.nickname }, one.nickname), h("small", {}, mask(one.phone))), pill(relation)),
    relation?.blacklisted ? h("p", { class: "note" }, icon("warn"), "被服务号拉进黑名单") : "",
    h("dl", { class: "facts" }, facts.map(([name, value]) => [h("dt", {}, name), value === windowsLine ? value : h("dd", {}, value)])),
    h("div", { class: "acts" }, acts.map(([word, id, run, off]) => h("button", { type: "button", class: "button small", testid: `act-${id}`, disabled: Boolean(off), title: off ? "先关注" : undefined, on: { click: run } }, word))),
  );
  drawWindows();
}

// --- codes and another phone ----------------------------------------------------------------------------------------

const SHOWN_CODES = 4;

function drawCodes(area, openScan, scan) {
  const own = state.codes.filter((code) => code.appid === state.appid && !code.expired);
  const named = [...own.filter((code) => code.name), ...own.filter((code) => !code.name)].slice(0, SHOWN_CODES);
  fill(
    area,
    h("div", { class: "row" }, h("h2", {}, "扫一扫"), h("button", { type: "button", class: "link push", testid: "scan-all", on: { click: openScan } }, `全部码 ${count(state.codeTotal)}`)),
    named.length
      ? h("ul", { class: "codes" }, named.map((code) => h("li", {}, h("button", { type: "button", class: "code", testid: "quick-code", "data-scene": code.scene, on: { click: () => scan(code) } }, icon("scan"), h("span", {}, code.name || code.scene)))))
      : h("p", { class: "hint" }, `「${account()?.name ?? "服务号"}」还没有生成渠道码。可以粘贴码的链接来扫。`),
  );
}

function another() {
  let next = null;
  for (const list of pages.values()) {
    const index = list.findIndex((view) => view.id === state.person?.id);
    if (index >= 0) next = list[index + 1] ?? list[0];
  }
  return `./?${new URLSearchParams({ person: (next ?? state.person)?.id ?? "", appid: state.appid })}`;
}

/** Build the column. `openScan()` shows the scanner on the phone; `scan(code)` scans at once. */
export function buildPeople(column, { openScan, scan, focusChat }) {
  let wait;
  const field = h("input", {
    type: "search",
    placeholder: "搜昵称、手机号",
    "aria-label": "搜人",
    testid: "person-search",
    on: {
      input: () => {
        clearTimeout(wait);
        wait = setTimeout(() => {
          filter = { ...filter, q: field.value.trim() };
          search();
        }, 150);
      },
      keydown: (event) => {
        if (event.key === "Enter" && at(0)) choose(at(0));
        if (event.key === "Escape" && field.value) {
          field.value = "";
          filter = { ...filter, q: "" };
          search();
          event.stopPropagation();
        }
      },
    },
  });
  const only = h("input", {
    type: "checkbox",
    testid: "only-followers",
    on: { change: () => { filter = { ...filter, followers: only.checked }; search(); } },
  });
  amount = h("span", { class: "hint", testid: "people-total" });
  sheet = h("div", { class: "rows", role: "presentation" });
  empty = h("p", { class: "hint center", hidden: true, testid: "people-empty" }, "没有符合条件的人。");
  box = h("div", { class: "list", role: "listbox", tabindex: 0, "aria-label": "人", testid: "person-list", on: { keydown: (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    focusChat();
  } } }, sheet, empty);
  box.addEventListener("scroll", () => {
    draw();
    const [first, end] = rowsInView();
    for (let index = first; index < end; index += 1) {
      if (!at(index)) {
        refresh();
        break;
      }
    }
  }, { passive: true });
  new ResizeObserver(draw).observe(box);
  const card = h("div", { class: "card", testid: "person-card" });
  const codes = h("div", { class: "card", testid: "quick-codes" });
  const opener = h("a", { class: "button wide", target: "_blank", href: "./", testid: "another-phone", on: { click: (event) => {
    event.preventDefault();
    if (!window.open(another(), "_blank", "popup,width=430,height=900")) location.assign(another());
  } } }, icon("phone"), "再开一台手机");
  opener.addEventListener("pointerenter", () => opener.setAttribute("href", another()));
  column.append(
    h("div", { class: "card people-list" },
      h("div", { class: "row" }, h("div", { class: "searchbox" }, icon("search"), field), h("button", { type: "button", class: "button", testid: "person-new", on: { click: askNewPerson } }, icon("plus"), "新人")),
      h("div", { class: "row" }, h("label", { class: "check" }, only, "只看已关注"), h("span", { class: "push" }), amount),
      box),
    card,
    codes,
    opener,
  );
  on("person chat menu accounts", () => drawCard(card));
  on("codes accounts who", () => drawCodes(codes, openScan, scan));
  on("who", () => (filter.followers ? search() : draw()));
  on("tick", drawWindows);
  on("people", refresh);
  refresh();
}
