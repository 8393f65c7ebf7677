/* What people forward to each other: choosing a friend, and the cards that came. */

import * as api from "./api.js";
import { coalesce, fill, h, icon, toast } from "./dom.js";
import { accountCard, openTarget } from "./pages.js";
import { avatar } from "./people.js";
import { openChat, page, pop, push } from "./phone.js";
import { act, now, on, state } from "./state.js";
import { exact, explain, moment } from "./words.js";

let shares = [];
const redraw = new Set();

export const loadShares = coalesce(async () => {
  if (!state.person) return;
  const { id } = state.person;
  try {
    const answer = await api.get(`${api.person(id)}/shares`);
    if (state.person?.id !== id) return;
    shares = answer.shares;
    redraw.forEach((run) => run());
  } catch (error) {
    if (error.name !== "Offline") toast(explain(error), "error");
  }
}, 300);

on("who", () => {
  shares = [];
  redraw.forEach((run) => run());
  loadShares();
});

/** Forward something: choose who gets it. `fields` of the act, `appid` of whose it is. */
export function sharePage(fields, appid) {
  const list = h("ul", { class: "choice-list", testid: "friends" });
  const note = h("p", { class: "note", role: "status" });
  const field = h("input", { type: "text", testid: "friend-search", placeholder: "搜昵称或手机号", "aria-label": "搜人", autocomplete: "off", "data-first": true, on: { input: () => load() } });
  const load = coalesce(async () => {
    try {
      const { people } = await api.get("/people", { q: field.value.trim(), limit: 50 });
      const others = people.filter((person) => person.id !== state.person.id);
      fill(note, others.length ? "" : "没有找到别人。");
      fill(list, others.map((person) => h("li", {}, h("button", { type: "button", class: "choice", testid: "friend", "data-person": person.id, on: { click: async () => {
        pop();
        if (await act("share", { ...fields, to: person.id }, appid)) toast(`已转发给${person.nickname}`);
      } } }, avatar(person.nickname), h("span", { class: "who" }, h("b", {}, person.nickname))))));
    } catch (error) {
      if (error.name !== "Offline") toast(explain(error), "error");
    }
  }, 300);
  load();
  push(page("转发给朋友", "share-page", h("div", { class: "paste" }, field), note, list));
}

const KINDS = { miniprogram: ["app", "小程序"], web: ["page", "网页"], card: ["phone", "公众号名片"] };

async function open(row) {
  const answer = await act("open_shared", { n: row.n }, row.appid);
  loadShares();
  if (!answer) return;
  if (answer.open) openTarget(answer.open);
  else if (answer.followed) openChat(row.appid);
  else accountCard(answer.card, () => act("open_shared", { n: row.n, follow: true }, row.appid));
}

/** What came from others, newest first. */
export function sharesPage() {
  const list = h("ul", { class: "choice-list", testid: "shares" });
  const note = h("p", { class: "note" });
  const draw = () => {
    fill(note, shares.length ? "" : "还没有人转发东西过来。");
    fill(list, shares.map((row) => {
      const [mark, word] = KINDS[row.kind];
      return h("li", {}, h("button", { type: "button", class: "choice", testid: "share-row", "data-kind": row.kind, on: { click: () => open(row) } },
        icon(mark),
        h("span", { class: "who" }, h("b", {}, row.title || row.name), h("small", {}, `${row.from_name}转发 · ${word} · ${row.name}`)),
        h("span", { class: "aside" }, h("time", { title: exact(row.at) }, moment(row.at, now())), row.opened_at ? "" : h("span", { class: "unread", "aria-label": "没打开过" }, "新"))));
    }));
  };
  redraw.add(draw);
  draw();
  push(page("朋友转发", "shares-page", note, list), () => redraw.delete(draw));
}

/** How many were not opened yet. */
export const unopened = () => shares.filter((row) => !row.opened_at).length;

/** Called again whenever something came. */
export const onShares = (run) => redraw.add(run);
