/* WeChat Pay on the phone: what waits for the person's password, how it ended, and what the shop was told. */

import * as api from "./api.js";
import { coalesce, fill, h, icon, toast } from "./dom.js";
import { page, pop, push } from "./phone.js";
import { act, now, on, state } from "./state.js";
import { countdown, exact, explain, moment, tryWord } from "./words.js";

let orders = [];
const redraw = new Set();

const yuan = (fen) => `¥${(fen / 100).toFixed(2)}`;
const waiting = () => orders.filter((order) => order.payable && now() < Math.min(order.expires_at, order.prepay_until));

export const loadOrders = coalesce(async () => {
  if (!state.person) return;
  const { id } = state.person;
  try {
    const answer = await api.get(`${api.person(id)}/orders`);
    if (state.person?.id !== id) return;
    orders = answer.orders;
    redraw.forEach((run) => run());
  } catch (error) {
    if (error.name !== "Offline") toast(explain(error), "error");
  }
}, 300);

const STATES = { NOTPAY: ["circle", "待支付"], SUCCESS: ["check", "已支付"], REFUND: ["check", "有退款"], CLOSED: ["block", "已关闭"] };

function stateOf(order) {
  if (order.state === "REFUND") return ["check", order.refunded === order.total ? "已全额退款" : `已退 ${yuan(order.refunded)}`];
  if (order.state === "NOTPAY" && !order.payable) return ["block", "已过期"];
  return STATES[order.state] ?? ["circle", order.state];
}

function rows(pairs) {
  return h("dl", { class: "address" }, pairs.filter(([, value]) => value).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

const KINDS = { sent: "送出", again: "重复送出", probe: "签名探测", changed: "改过内容的通知", lost: "途中丢失" };

function tryLine(row, index) {
  const [kind] = row.kind.split(":");
  const word = KINDS[row.kind] ?? (kind === "forged" ? "伪造签名的通知" : "打不开的通知");
  const end = row.kind === "lost" ? "商户没有收到" : tryWord(row.outcome);
  return h("li", {}, `${index + 1}. ${word}：${end}`, h("small", { title: exact(row.at) }, ` ${moment(row.at, now())}`));
}

const ENDS = { acknowledged: "商户已收下", failed: "一直没有送到，不再送", no_url: "没有通知地址", waiting: "还没有送到，会再送" };

/** One order: pay it, decline it, or see how it ended. */
function orderPage(number, mchid) {
  const body = h("div", { class: "pay-page" });
  let told = [];
  const find = () => orders.find((order) => order.out_trade_no === number && order.mchid === mchid);

  async function load() {
    try {
      const order = find();
      const keys = [number, ...(order?.refunds ?? []).map((refund) => refund.out_refund_no)];
      const answers = await Promise.all(keys.map((key) => api.get("/pay/notifications", { mchid, key })));
      told = answers.flatMap((answer) => answer.notifications);
      draw();
    } catch (error) {
      if (error.name !== "Offline") toast(explain(error), "error");
    }
  }

  async function answer(fields) {
    for (const button of body.querySelectorAll("button")) button.disabled = true;
    const done = await act("pay", { mchid, out_trade_no: number, ...fields }, find().appid);
    if (done && fields.accept === false) {
      pop();
      toast("没有支付，订单还在等");
    }
    await loadOrders();
    load();
  }

  function draw() {
    const order = find();
    if (!order) return;
    const [mark, word] = stateOf(order);
    fill(
      body,
      h("div", { class: "pay-head" }, h("p", {}, order.merchant), h("strong", { class: "pay-sum", testid: "pay-sum" }, yuan(order.payer_total)), h("p", { class: "pay-state", testid: "pay-state" }, icon(mark), word)),
      rows([
        ["商品", order.description],
        ["商户单号", order.out_trade_no],
        ["交易单号", order.transaction_id],
        ["下单时间", moment(order.created_at, now())],
        ["支付时间", order.paid_at ? moment(order.paid_at, now()) : ""],
        ["优惠", order.total > order.payer_total ? `已减 ${yuan(order.total - order.payer_total)}` : ""],
        ["还能支付", order.payable ? countdown(Math.min(order.expires_at, order.prepay_until) - now()) : ""],
      ]),
      order.payable
        ? h("div", { class: "form" },
            h("button", { type: "button", class: "flat go wide", testid: "pay-yes", "data-first": true, on: { click: () => answer({}) } }, `支付 ${yuan(order.payer_total)}`),
            h("button", { type: "button", class: "flat wide", testid: "pay-no", on: { click: () => answer({ accept: false }) } }, "不付"))
        : "",
      order.refunds.length ? h("h3", {}, "退款") : "",
      order.refunds.map((refund) => rows([["金额", yuan(refund.refund)], ["退款单号", refund.out_refund_no], ["状态", { PROCESSING: "退款中", SUCCESS: "已退回", ABNORMAL: "退款异常", CLOSED: "退款关闭" }[refund.status]]])),
      told.length ? h("h3", {}, "给商户的通知") : "",
      told.map((note) => h("div", { class: "pay-note", testid: "pay-note" },
        h("b", {}, `${note.summary}：${ENDS[note.outcome] ?? note.outcome}${note.late && !note.tries.length ? "（迟到）" : ""}`),
        note.problem ? h("p", { class: "alarm", testid: "pay-problem" }, icon("warn"), "商户收下了假通知") : "",
        h("ol", {}, note.tries.map(tryLine)))),
    );
  }

  redraw.add(load);
  draw();
  load();
  const timer = setInterval(() => { if (find()?.payable) { const focus = document.activeElement?.dataset.testid; draw(); if (focus) body.querySelector(`[data-testid=${focus}]`)?.focus(); } }, 1000);
  push(page("微信支付", "pay-page", body), () => {
    redraw.delete(load);
    clearInterval(timer);
  });
}

/** Everything this person ordered, newest first. */
export function ordersPage() {
  const list = h("ul", { class: "choice-list", testid: "orders" });
  const note = h("p", { class: "note" });
  const draw = () => {
    fill(note, orders.length ? "" : "还没有订单。商户下单后，这里等着支付。");
    fill(list, orders.map((order) => {
      const [mark, word] = stateOf(order);
      return h("li", {}, h("button", { type: "button", class: "choice", testid: "order-row", "data-number": order.out_trade_no, on: { click: () => orderPage(order.out_trade_no, order.mchid) } },
        icon(mark),
        h("span", { class: "who" }, h("b", {}, order.description), h("small", {}, `${order.merchant} · ${word}`)),
        h("span", { class: "aside" }, h("b", {}, yuan(order.payer_total)), h("time", { title: exact(order.created_at) }, moment(order.created_at, now())))));
    }));
  };
  redraw.add(draw);
  draw();
  push(page("订单", "orders-page", note, list), () => redraw.delete(draw));
}

/** A line above the screen while an order waits, wherever the person is on the phone. */
export function payBar() {
  const bar = h("div", { class: "pay-bar", testid: "pay-bar", role: "status", hidden: true });
  let sign = "";
  const draw = () => {
    const open = waiting();
    const next = JSON.stringify(open.map((order) => [order.mchid, order.out_trade_no, order.payer_total]));
    if (next === sign) return;
    sign = next;
    bar.hidden = !open.length;
    const [order] = open;
    if (!order) return;
    const more = open.length > 1 ? `，还有 ${open.length - 1} 笔` : "";
    fill(bar, h("span", { class: "grow" }, `待支付 ${yuan(order.payer_total)} · ${order.merchant}${more}`), h("button", { type: "button", class: "flat go", testid: "pay-open", on: { click: () => orderPage(order.out_trade_no, order.mchid) } }, "去支付"));
  };
  redraw.add(draw);
  on("who", () => {
    orders = [];
    draw();
    loadOrders();
  });
  on("tick", draw);
  return bar;
}
