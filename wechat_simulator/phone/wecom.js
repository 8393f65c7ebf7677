/* WeCom: contacts and groups on the person's phone, contact codes, and what staff does on its own phone. */

import * as api from "./api.js";
import { coalesce, fill, h, icon, patch, toast } from "./dom.js";
import { drawEntry, grouped } from "./entries.js";
import { openTarget } from "./pages.js";
import { ask, page, pop, push } from "./phone.js";
import { emit, now, on, state } from "./state.js";
import { colour, count, exact, explain, initial, moment } from "./words.js";

export const CONTACT_CODE = /^https:\/\/work\.weixin\.qq\.com\/ca\//; // what the picture of a contact code says

const known = { corps: [], contacts: [], groups: [] };
const views = new Set(); // open pages that show what is known

const face = (name) => h("span", { class: "avatar square", style: { background: colour(name) }, "aria-hidden": "true" }, initial(name));
const atCorp = (corp) => h("span", { class: "mini-tag" }, `@${corp}`);

export const loadWecom = coalesce(async () => {
  try {
    const { corps } = await api.get("/wecom");
    known.corps = corps;
    const id = state.person?.id;
    if (id && corps.length) {
      const { contacts, groups } = await api.get(`/wecom/people/${encodeURIComponent(id)}`);
      if (state.person?.id !== id) return;
      known.contacts = contacts;
      known.groups = groups;
    }
    emit("wecom");
  } catch (error) {
    if (error.name !== "Offline") toast(explain(error), "error");
  }
}, 300);

async function post(path, body) {
  try {
    return await api.post(path, body);
  } catch (error) {
    toast(explain(error), "error");
    return null;
  } finally {
    loadWecom();
  }
}

const act = (corpid, name, fields) => post(`/wecom/${corpid}/people/${encodeURIComponent(state.person.id)}/act`, { act: name, ...fields });
const staffAct = (corpid, userid, name, fields) => post(`/wecom/${corpid}/staff/${encodeURIComponent(userid)}/act`, { act: name, ...fields });

// --- the person's phone ---------------------------------------------------------------------------------------------

const ENDED = { deleted_by_staff: "对方已删除你", deleted_by_customer: "你已删除对方", moved: "已由同事接替" };

function lastWords(row) {
  if (row.transfer_to) return `将由${row.transfer_to}接替，可拒绝`;
  if (row.status && row.status !== "both") return row.status === "half" ? "等待对方通过" : ENDED[row.status];
  const { last } = row;
  if (!last) return "还没有消息";
  const names = { image: "[图片]", link: "[链接]", miniprogrampage: "[小程序]", video: "[视频]", file: "[文件]" };
  return names[last.kind] ?? last.content ?? "";
}

/** Rows below the list of chats, and the way to add somebody. */
export function wecomList() {
  const rows = h("ul", { class: "chat-rows", testid: "wecom-rows" });
  const box = h("div", { testid: "wecom-list", hidden: true }, h("h4", { class: "settings-title wecom-title" }, h("span", {}, "企业微信"), h("button", { type: "button", class: "inline", testid: "wecom-add", on: { click: addPage } }, "加顾问、进群")), rows);
  on("wecom", () => {
    box.hidden = !known.corps.length;
    const items = [...known.contacts.map((row) => ({ row, id: `u${row.corpid}${row.userid}`, name: row.name })), ...known.groups.map((row) => ({ row, id: row.chat_id, name: row.name }))];
    items.sort((left, right) => (right.row.last?.at ?? 0) - (left.row.last?.at ?? 0));
    patch(rows, items, {
      key: (item) => item.id,
      signature: ({ row }) => JSON.stringify([row.name, row.corp, row.size, row.unread, row.status, row.transfer_to, row.last?.n]),
      make: ({ row, name }) => h("li", {}, h(
        "button",
        { type: "button", class: "chat-row", testid: "wecom-row", "data-name": name, on: { click: () => chatPage(row) } },
        face(name),
        h("span", { class: "who" }, h("b", {}, row.chat_id ? `${name}（${row.size}）` : name, atCorp(row.corp)), h("small", {}, lastWords(row))),
        h("span", { class: "aside" }, row.last ? h("time", { title: exact(row.last.at) }, moment(row.last.at, now())) : "", row.unread > 0 ? h("span", { class: "unread", "aria-label": `${row.unread} 条未读` }, row.unread) : ""),
      )),
    });
  });
  return box;
}

/** Scan a contact code, by its text; what is known here may be older than the code. */
export async function scanContact(text) {
  try {
    known.corps = (await api.get("/wecom")).corps;
  } catch (error) {
    toast(explain(error), "error");
    return;
  }
  for (const corp of known.corps) {
    const way = [...corp.ways, ...corp.join_ways].find((item) => text.endsWith(item.vcode));
    if (way) {
      await addBy(corp, { config_id: way.config_id });
      return;
    }
  }
  if (known.corps.length === 1) await addBy(known.corps[0], { qr_code: text }); // older than those that are listed
  else toast("没有这个联系码。可能已被删除，或由另一个模拟器生成。", "error");
}

async function addBy(corp, fields) {
  const answer = await act(corp.corpid, "add", fields);
  if (!answer) return;
  if (answer.chat_id) chatPage({ corpid: corp.corpid, corp: corp.name, chat_id: answer.chat_id, name: corp.groups.find((item) => item.chat_id === answer.chat_id)?.name ?? "群聊" });
  else chatPage({ corpid: corp.corpid, corp: corp.name, userid: answer.userid, name: staffName(corp, answer.userid) });
}

const staffName = (corp, userid) => corp.staff.find((item) => item.userid === userid)?.name ?? userid;

function addPage() {
  const choice = (testid, name, note, run) => h("li", {}, h("button", { type: "button", class: "choice", testid, "data-name": name, on: { click: () => { pop(); run(); } } }, icon("scan"), h("span", { class: "who" }, h("b", {}, name), h("small", {}, note))));
  const box = h("div", {});
  const draw = () => fill(box, known.corps.flatMap((corp) => [
    h("h4", { class: "settings-title wecom-title" }, corp.name),
    h("ul", { class: "choice-list" },
      corp.ways.map((way) => choice("wecom-way", way.remark || way.state || "联系码", `扫码加 ${way.user.map((userid) => staffName(corp, userid)).join("、") || "部门成员"} · 已加 ${count(way.given)} 人`, () => addBy(corp, { config_id: way.config_id }))),
      corp.join_ways.map((way) => choice("wecom-join", way.state || "群码", "扫码进群", () => addBy(corp, { config_id: way.config_id }))),
      corp.staff.filter((item) => item.contact && !item.left_at).map((item) => choice("wecom-staff", item.name, "搜手机号添加", () => addBy(corp, { userid: item.userid })))),
  ]));
  draw();
  views.add(draw); // new codes while it is open
  push(page("加顾问、进群", "wecom-add-page", box), () => views.delete(draw));
}

function chatPage(row) {
  const log = h("div", { class: "log", role: "log", "aria-live": "polite", "aria-label": "聊天记录", tabindex: 0, testid: "wecom-log" }, h("ol", {}));
  const foot = h("div", { class: "foot" });
  const notice = h("div", { class: "wecom-notice" });
  const where = row.chat_id ? { chat_id: row.chat_id } : { userid: row.userid };
  const id = state.person.id;
  let entries = [];
  const load = coalesce(async () => {
    if (state.person?.id !== id) return;
    try {
      const answer = await api.get(`/wecom/${row.corpid}/people/${encodeURIComponent(id)}/chat`, { ...where, since: entries.at(-1)?.n ?? 0 });
      const fresh = answer.entries.filter((entry) => entry.n > (entries.at(-1)?.n ?? 0));
      entries = [...entries, ...fresh.map((entry) => (entry.from === id ? { ...entry, from: "person" } : entry))];
      const name = (entry) => (row.chat_id ? answer.names[entry.from] ?? entry.from : row.name);
      patch(log.firstChild, grouped(entries), { key: (entry) => entry.n, make: (entry) => drawEntry(entry, { open: openTarget, say: () => {}, name }) });
      drawFoot(answer.relation);
      log.scrollTop = log.scrollHeight;
      if (answer.relation?.unread) act(row.corpid, "enter", where);
    } catch (error) {
      if (error.name !== "Offline") toast(explain(error), "error");
    }
  }, 200);
  let sign = "";
  function drawFoot(relation) {
    const next = JSON.stringify([relation?.status, relation?.transfer_to]);
    if (next === sign) return;
    sign = next;
    const { transfer_to: taker } = relation ?? {};
    fill(notice, taker ? h("div", { class: "follow-bar", testid: "wecom-transfer" }, h("span", {}, `${taker}将接替服务，24 小时内可拒绝`), h("button", { type: "button", class: "flat", testid: "wecom-refuse", on: { click: () => act(row.corpid, "refuse_transfer", {}) } }, "拒绝")) : "");
    if (relation && relation.status !== "both") {
      fill(foot, h("div", { class: "follow-bar" }, h("span", {}, relation.status === "half" ? "等待对方通过" : ENDED[relation.status]), relation.status === "half" ? "" : h("button", { type: "button", class: "flat go", testid: "wecom-again", on: { click: () => act(row.corpid, "add", where) } }, "再加一次")));
      return;
    }
    const field = h("textarea", { rows: 1, "aria-label": "消息", testid: "wecom-composer", on: { keydown: (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      send();
    } } });
    const send = async () => {
      const content = field.value.trim();
      if (!content) return;
      field.value = "";
      if (!(await act(row.corpid, "write", { ...where, content }))) field.value = content;
    };
    fill(foot, h("div", { class: "keyboard-bar" }, field, h("button", { type: "button", class: "flat go send", testid: "wecom-send", on: { click: send } }, "发送")));
  }
  const more = () => (row.chat_id
    ? ask("群聊", row.name, [["退出群聊", "", async () => { if (await act(row.corpid, "leave_group", where)) pop(); }, "wecom-leave"], ["返回", "", () => {}]], "wecom-more")
    : ask(row.name, `@${row.corp}`, [["删除联系人", "", () => act(row.corpid, "delete", where), "wecom-delete"], ["返回", "", () => {}]], "wecom-more"));
  const view = h(
    "section",
    { class: "page chat", testid: "wecom-chat", "aria-label": row.name, role: "dialog" },
    h("header", { class: "bar" },
      h("button", { type: "button", class: "round", "aria-label": "返回", testid: "page-back", on: { click: pop } }, icon("back")),
      h("h2", { testid: "wecom-title" }, row.name, atCorp(row.corp)),
      h("button", { type: "button", class: "round", "aria-label": "更多", testid: "wecom-menu", on: { click: more } }, icon("more"))),
    notice,
    log,
    foot,
  );
  views.add(load);
  push(view, () => views.delete(load));
  load();
}

on("wecom", () => views.forEach((run) => run()));
on("who", loadWecom);

// --- staff: in the column of the world ------------------------------------------------------------------------------

const SHOWN = 20;
const STATES = { 0: "未发", 1: "已发", 2: "不是好友", 3: "本月已满" };

function taskRow(corp, task, part) {
  const done = part.status === 2;
  const counts = Object.entries(part.counts).map(([status, number]) => `${STATES[status]} ${count(number)}`).join("，");
  const says = done ? counts : task.cancelled ? "已取消" : `${count(part.count)} ${task.chat_type === "group" ? "个群" : "位客户"}${task.reminded ? ` · 已提醒 ${task.reminded} 次` : ""}`;
  return h(
    "li",
    { class: "wecom-task", testid: "wecom-task", "data-msgid": task.msgid, "data-userid": part.userid },
    h("span", { class: "who" }, h("b", {}, `${part.name}：${task.text || "[附件]"}`), h("small", { title: exact(task.at) }, `${moment(task.at, now())} · ${says}`)),
    done ? h("span", { class: "pill ok" }, icon("check"), "已确认") : task.cancelled ? "" : h("button", { type: "button", class: "button", testid: "wecom-confirm", on: { click: () => staffAct(corp.corpid, part.userid, "confirm_mass", { msgid: task.msgid }) } }, "确认发送"),
  );
}

const waitingRow = (corp, member, customer) => h(
  "li",
  { class: "wecom-task", testid: "wecom-waiting" },
  h("span", { class: "who" }, h("b", {}, `${customer.name} 想加 ${member.name}`), h("small", {}, "等待通过")),
  h("button", { type: "button", class: "button", testid: "wecom-accept", on: { click: () => staffAct(corp.corpid, member.userid, "accept", { external_userid: customer.external_userid }) } }, "通过"),
);

/** What members of staff see in their own client: who waits, what they shall send. */
export function wecomCard() {
  const list = h("ul", { class: "lines scroll", testid: "wecom-tasks" });
  const none = h("p", { class: "hint" });
  const card = h("div", { class: "card", testid: "wecom-card", hidden: true }, h("div", { class: "row" }, h("h2", {}, "企业微信员工"), h("small", { class: "hint" }, "员工手机上要做的事")), none, list);
  on("wecom", () => {
    card.hidden = !known.corps.length;
    const rows = known.corps.flatMap((corp) => [
      ...corp.staff.flatMap((member) => member.waiting.map((customer) => ({ id: `${corp.corpid}|${member.userid}|${customer.external_userid}`, corp, member, customer }))),
      ...corp.tasks.flatMap((task) => task.staff.map((part) => ({ id: `${task.msgid}|${part.userid}`, corp, task, part }))),
    ]).slice(0, SHOWN);
    patch(list, rows, {
      key: (row) => row.id,
      signature: (row) => JSON.stringify([row.customer, row.part, row.task?.cancelled, row.task?.reminded]),
      make: (row) => (row.task ? taskRow(row.corp, row.task, row.part) : waitingRow(row.corp, row.member, row.customer)),
    });
    fill(none, rows.length ? "" : "没有要确认的群发，也没有人等待通过。");
  });
  return card;
}
