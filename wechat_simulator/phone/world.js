/* The right column: clock, faults, what this person really received, the pushes, and 对账. */

import * as api from "./api.js";
import { coalesce, fill, h, icon, patch, toast } from "./dom.js";
import { compare, readReport } from "./report.js";
import { account, accountName, now, on, services, setClock, state } from "./state.js";
import { wecomCard } from "./wecom.js";
import { APIS, DUE, OUTCOMES, PUSHES, SENT_KINDS, count, exact, explain, faultWord, fromField, full, parts, second, sentState, tail, toField, tryWord } from "./words.js";

const DAY = 86400;

async function tell(run) {
  try {
    return await run();
  } catch (error) {
    toast(explain(error), "error");
    return null;
  }
}

const mark = (kind) => icon({ ok: "check", bad: "warn", warn: "warn", wait: "circle" }[kind]);

// --- clock ----------------------------------------------------------------------------------------------------------

const RATES = [[1, "×1"], [60, "×60"], [3600, "×3600"]];
const STEPS = [[60, "＋1 分"], [3600, "＋1 时"], [DAY, "＋1 天"], [30 * DAY, "＋30 天"]];

function kinds(due) {
  return Object.entries(due.kinds).map(([kind, number]) => `${DUE[kind] ?? kind} ${count(number)}`).join("，");
}

function dueText(item) {
  const { payload } = item;
  const detail = typeof payload === "object" && payload ? [payload.appid ? accountName(payload.appid) : "", payload.name || payload.scene || "", payload.person === state.person?.id ? state.person.nickname : (payload.person ?? "")].filter(Boolean).join(" · ") : "";
  return [h("time", { title: exact(item.at) }, second(item.at, now())), DUE[item.kind] ?? item.kind, detail ? h("small", {}, detail) : ""];
}

function buildClock() {
  const face = h("time", { class: "face", testid: "clock-now" });
  const weekday = h("span", { class: "hint" });
  const rates = h("div", { class: "segments", role: "group", "aria-label": "快慢" });
  const soon = h("p", { class: "hint", testid: "clock-due" });
  const plan = h("div", { class: "plan", hidden: true, testid: "clock-plan", role: "status", on: { keydown: (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    plan.hidden = true;
  } } });
  const field = h("input", { type: "text", class: "moment", "aria-label": "跳到的时间，北京时间", placeholder: "2025-06-02 09:30", testid: "clock-field", on: { keydown: (event) => event.key === "Enter" && jumpTo() } });

  const move = (body) => tell(async () => {
    setClock(await api.post("/clock", body));
    plan.hidden = true;
  });

  /** Jump at once when nothing falls due; otherwise say what would, and ask. */
  async function jump(to, word) {
    const answer = await tell(() => api.get("/clock", { until: to(now()), limit: 8 }));
    if (!answer) return;
    const { due } = answer;
    const target = to(now());
    if (target < now()) {
      show(`${word}：往回拨到 ${full(target)}`, [], "已经发生的事不会撤回，有效期会重新变长。", target);
    } else if (!due.count) {
      if (await move({ set: target })) toast(`时钟到了 ${full(target)}`);
    } else {
      const rest = due.count - due.items.length;
      show(`${word}到 ${full(target)}，将触发 ${count(due.count)} 件事`, due.items, rest > 0 ? `还有 ${count(rest)} 件：${kinds(due)}` : "", target);
    }
  }

  function jumpTo() {
    const target = fromField(field.value);
    if (Number.isNaN(target)) toast("这个时间看不懂。写成 2025-06-02 09:30 这样。", "error");
    else jump(() => target, "跳");
  }

  function show(title, items, text, target) {
    fill(
      plan,
      h("b", {}, title),
      items.length ? h("ul", {}, items.map((item) => h("li", {}, dueText(item)))) : "",
      text ? h("p", { class: "hint" }, text) : "",
      h("div", { class: "row end" }, h("button", { type: "button", class: "button", on: { click: () => { plan.hidden = true; } } }, "不跳"), h("button", { type: "button", class: "button primary", testid: "clock-confirm", on: { click: async () => { if (await move({ set: target })) toast(`时钟到了 ${full(target)}`); } } }, "跳过去")),
    );
    plan.hidden = false;
    plan.querySelector(".primary").focus();
  }

  const next = coalesce(async () => {
    try {
      const { due } = await api.get("/clock", { within: DAY, limit: 1 });
      fill(soon, due.count ? `接下来 1 天将触发 ${count(due.count)} 件事：${kinds(due)}` : "接下来 1 天没有要触发的事");
    } catch {
      fill(soon); // the banner says that the connection is gone
    }
  }, 3000);

  on("tick", () => {
    if (!state.clock) return;
    const text = full(now());
    if (face.textContent === text) return;
    face.textContent = text;
    weekday.textContent = parts(now()).weekday;
    face.title = "北京时间（UTC+8）";
    if (!field.value) field.value = toField(now());
  });
  on("clock", () => {
    fill(rates,
      RATES.map(([rate, word]) => h("button", { type: "button", "aria-pressed": String(state.clock.rate === rate), testid: `rate-${rate}`, on: { click: () => move({ rate }) } }, word)),
      h("button", { type: "button", "aria-pressed": String(state.clock.rate === 0), testid: "rate-0", on: { click: () => move({ rate: 0 }) } }, icon("pause"), "暂停"));
    next();
  });
  on("clock chat", next);
  return h(
    "div",
    { class: "card", testid: "clock" },
    h("div", { class: "row wrap" }, h("h2", {}, "时钟"), face, weekday, h("span", { class: "push" }), rates),
    h("div", { class: "row wrap" },
      STEPS.map(([span, word]) => h("button", { type: "button", class: "button small", testid: `clock-add-${span}`, on: { click: () => jump((at) => at + span, word) } }, word)),
      h("span", { class: "row nowrap" }, field, h("button", { type: "button", class: "button small", testid: "clock-jump", on: { click: () => jumpTo() } }, "跳到"))),
    soon,
    plan,
  );
}

// --- faults ---------------------------------------------------------------------------------------------------------

const QUICK = [
  ["busy", "微信繁忙", { kind: "busy" }],
  ["token", "凭据失效", { kind: "kill_token" }],
  ["quota", "额度用尽", { kind: "errcode", errcode: 45009 }],
  ["timeout", "收下后超时", { kind: "accept_then_timeout" }],
  ["duplicate", "重复推送", { kind: "duplicate_push", copies: 1 }],
];

const PAY_QUICK = [
  ["pay-late", "迟到 5 分钟", { kind: "pay_late", seconds: 300 }],
  ["pay-duplicate", "重复", { kind: "pay_duplicate", copies: 2 }],
  ["pay-forged", "签名伪造", { kind: "pay_forged" }],
  ["pay-amount", "金额被改", { kind: "pay_amount" }],
  ["pay-lost", "丢失", { kind: "pay_lost" }],
  ["pay-probe", "签名探测", { kind: "pay_probe" }],
  ["pay-refund", "退款异常", { kind: "pay_refund_status", status: "ABNORMAL" }],
];

function buildFaults() {
  const scope = h("select", { testid: "fault-account", "aria-label": "服务号" });
  const path = h("select", { testid: "fault-path", "aria-label": "接口" }, Object.entries(APIS).map(([value, word]) => h("option", { value, selected: value === "/cgi-bin/message/template/send" }, word)));
  const times = h("select", { testid: "fault-count", "aria-label": "次数" }, [[1, "1 次"], [10, "10 次"], [50, "50 次"], ["", "一直"]].map(([value, word]) => h("option", { value, selected: value === 10 }, word)));
  const skip = h("input", { type: "number", min: 0, step: 1, value: "0", testid: "fault-skip" });
  const chance = h("input", { type: "number", min: 1, max: 100, step: 1, value: "100", testid: "fault-chance" });
  const seed = h("input", { type: "text", testid: "fault-seed", placeholder: "留空自动" });
  const active = h("ul", { class: "lines", testid: "fault-list" });
  const none = h("p", { class: "hint" }, "没有生效的故障，一切如常。");
  const all = h("button", { type: "button", class: "link", hidden: true, testid: "fault-clear", on: { click: () => tell(async () => { await api.remove("/faults"); load(); }) } }, "全部关闭");
  let any = false;

  const load = coalesce(async () => {
    try {
      const { faults } = await api.get("/faults");
      any = faults.length > 0;
      all.hidden = faults.length < 2;
      none.hidden = any;
      patch(active, faults, {
        key: (fault) => fault.id,
        make: (fault) => {
          const pushes = /^(push|finish|pay)_/.test(fault.kind);
          const left = fault.count_left === null ? "一直生效" : fault.count_left > 0 ? `还有 ${count(fault.count_left)} 次` : "次数已用完";
          const more = [fault.after_calls ? `第 ${fault.after_calls + 1} 次起` : "", fault.probability < 1 ? `概率 ${Math.round(fault.probability * 100)}%，种子 ${fault.seed}` : ""].filter(Boolean);
          const where = [fault.appid ? accountName(fault.appid) : fault.kind.startsWith("pay_") ? "全部商户" : "全部服务号", fault.kind.startsWith("pay_") ? "微信支付" : pushes ? (fault.event ? (PUSHES[fault.event] ?? fault.event) : "全部推送") : (APIS[fault.path] ?? fault.path)];
          return h("li", { class: fault.count_left === 0 ? "spent" : "", testid: "fault-row" },
            icon(fault.count_left === 0 ? "check" : "warn"),
            h("span", { class: "grow" }, h("b", {}, faultWord(fault)), h("small", {}, [...where, left, ...more, `已命中 ${count(fault.hits)} 次`].join(" · "))),
            h("button", { type: "button", class: "button small", testid: "fault-off", "aria-label": `关闭${faultWord(fault)}`, on: { click: () => tell(async () => { await api.remove(`/faults/${encodeURIComponent(fault.id)}`); load(); }) } }, "关"));
        },
      });
    } catch (error) {
      if (error.name !== "Offline") toast(explain(error), "error");
    }
  }, 500);

  const add = (spec) => tell(async () => {
    const pays = spec.kind.startsWith("pay_"); // of every merchant: the list names accounts only
    const body = { ...spec, appid: pays ? "" : scope.value };
    if (!spec.kind.endsWith("_push") && !pays) body.path = path.value;
    if (times.value) body.count = Number(times.value);
    if (Number(skip.value) > 0) body.after_calls = Number(skip.value);
    if (Number(chance.value) < 100) body.probability = Number(chance.value) / 100;
    if (seed.value.trim()) body.seed = seed.value.trim();
    const fault = await api.post("/faults", body);
    toast(`${faultWord(fault)} 已生效`);
    load();
  });

  on("accounts who", () => fill(scope, h("option", { value: "" }, "全部服务号"), state.accounts.map((item) => h("option", { value: item.appid, selected: item.appid === state.appid }, item.name))));
  on("faults", load);
  // Hits are not announced: look again while faults are active.
  setInterval(() => any && document.visibilityState === "visible" && load(), 2000);
  return h(
    "div",
    { class: "card", testid: "faults" },
    h("div", { class: "row wrap" }, h("h2", {}, "故障"), scope, path, times),
    h("div", { class: "row wrap" }, QUICK.map(([id, word, spec]) => h("button", { type: "button", class: "button small", testid: `fault-${id}`, title: faultWord({ params: spec, ...spec, kind: { busy: "errcode", accept_then_timeout: "hang", duplicate_push: "push_duplicate" }[spec.kind] ?? spec.kind, effect: "after" }), on: { click: () => add(spec) } }, word))),
    h("details", { class: "more" }, h("summary", {}, "从第几次起、概率、种子"), h("div", { class: "row wrap" }, h("label", { class: "field inline-field" }, "先放过", skip, "次"), h("label", { class: "field inline-field" }, "概率", chance, "%"), h("label", { class: "field inline-field" }, "种子", seed))),
    h("details", { class: "more", testid: "pay-faults" }, h("summary", {}, "支付通知的故障"), h("div", { class: "row wrap" }, PAY_QUICK.map(([id, word, spec]) => h("button", { type: "button", class: "button small", testid: `fault-${id}`, title: faultWord({ params: spec, ...spec, effect: "after" }), on: { click: () => add(spec) } }, word)))),
    none,
    active,
    h("div", { class: "row end" }, all),
  );
}

// --- truth of this person -------------------------------------------------------------------------------------------

const SHOWN = 30;

function buildTruth() {
  const headline = h("p", { class: "figure", testid: "truth" });
  const list = h("ol", { class: "lines scroll", testid: "truth-list" });
  const load = coalesce(async () => {
    if (!state.person) return;
    const { id, nickname } = state.person;
    try {
      const { person: truth } = await api.get("/truth/summary", { person: id, appid: state.appid });
      if (state.person?.id !== id) return;
      const rows = truth.rows.sort((left, right) => (right.received_at ?? right.at) - (left.received_at ?? left.at) || right.n - left.n).slice(0, SHOWN);
      const { day } = parts(now()); // rows of another day show it
      fill(headline, `${nickname}实际收到 `, h("b", { testid: "truth-received" }, count(truth.received)), " 条，重复 ", h("b", { testid: "truth-duplicates", class: truth.visible_duplicates ? "alarm" : "" }, count(truth.visible_duplicates)), services().length > 1 ? h("small", {}, " 全部服务号合计") : "");
      patch(list, rows, {
        key: (row) => row.n,
        signature: (row) => day + JSON.stringify(row),
        make: (row) => {
          const [kind, word] = sentState(row.status);
          return h("li", { testid: "truth-row" },
            h("time", { title: exact(row.received_at ?? row.at) }, second(row.received_at ?? row.at, now())),
            h("span", { class: "grow" }, SENT_KINDS[row.kind] ?? row.kind, services().length > 1 ? h("small", {}, ` ${accountName(row.appid)}`) : "", row.msgid ? h("small", { title: row.msgid }, ` 编号 ${tail(row.msgid)}`) : ""),
            row.visible_duplicate ? h("span", { class: "pill bad" }, icon("warn"), "重复") : "",
            h("span", { class: `pill ${kind}` }, mark(kind), word));
        },
      });
    } catch (error) {
      if (error.name !== "Offline") toast(explain(error), "error");
    }
  }, 800);
  on("who", () => {
    fill(headline);
    patch(list, [], { key: (row) => row.n, make: () => null }); // nobody is shown what another person received
  });
  on("who chat", load);
  return h("div", { class: "card", testid: "truth-card" }, h("div", { class: "row" }, h("h2", {}, "真相"), headline), list);
}

// --- pushes of this person ------------------------------------------------------------------------------------------

function fieldRows(fields) {
  const skip = new Set(["ToUserName", "FromUserName", "CreateTime"]);
  return Object.entries(fields).filter(([name]) => !skip.has(name)).map(([name, value]) => [name, typeof value === "object" ? JSON.stringify(value) : String(value)]);
}

const seconds = (value) => (value < 0.01 ? "<0.01 秒" : `${value.toFixed(2)} 秒`);

function drawPush(push) {
  const first = push.tries.filter((item) => !item.again);
  const again = push.tries.length - first.length;
  const last = push.tries.at(-1);
  const [kind, word] = OUTCOMES[push.outcome] ?? ["warn", push.outcome];
  const signed = push.outcome === "replied" && account(push.appid)?.mode !== "plain" ? "，签名正确" : "";
  const bad = first.find((item) => !OUTCOMES[item.outcome]);
  return h(
    "li",
    { testid: "push-row", "data-kind": push.kind, "data-outcome": push.outcome },
    h("details", {},
      h("summary", {},
        h("time", { title: exact(push.at) }, second(push.at, now())),
        h("span", { class: "grow" }, PUSHES[push.kind] ?? "其他事件", " ", h("code", {}, push.kind)),
        h("span", { class: "num" }, `${push.tries.length} 次`, again ? `（重复 ${again}）` : "", bad ? `（${tryWord(bad.outcome)}）` : ""),
        last?.seconds !== undefined ? h("span", { class: "num" }, seconds(last.seconds)) : "",
        h("span", { class: `pill ${kind}` }, mark(kind), word + signed)),
      h("div", { class: "push-body" },
        push.problem ? h("p", { class: "note" }, icon("warn"), `回复没有显示给粉丝：${push.problem}`) : "",
        h("dl", { class: "facts" }, fieldRows(push.fields).map(([name, value]) => [h("dt", {}, h("code", {}, name)), h("dd", {}, value || "（空）")])),
        h("ol", { class: "tries" }, push.tries.map((item) => h("li", {}, `第 ${item.try} 次${item.again ? "（重复推送）" : ""}：${tryWord(item.outcome)}${item.seconds === undefined ? "" : `，${seconds(item.seconds)}`}`))),
        h("button", { type: "button", class: "button small", testid: "push-replay", on: { click: () => tell(async () => { await api.post("/pushes/replay", { n: push.n }); toast("同一条推送又送了一次"); }) } }, "再推一次"))),
  );
}

function buildPushes() {
  const list = h("ol", { class: "lines pushes scroll", testid: "push-list" });
  const none = h("p", { class: "hint" });
  const load = coalesce(async () => {
    const openid = state.relation?.openid;
    if (!openid) return;
    try {
      const { pushes } = await api.get("/pushes", { openid, limit: SHOWN });
      if (state.relation?.openid !== openid) return;
      const { day } = parts(now());
      patch(list, pushes.reverse(), { key: (push) => push.n, signature: (push) => day + JSON.stringify(push), make: drawPush });
      fill(none, pushes.length ? "" : "此人还没有引起推送。关注、发言或点菜单后出现。");
    } catch (error) {
      if (error.name !== "Offline") toast(explain(error), "error");
    }
  }, 800);
  on("who", () => {
    fill(none);
    patch(list, [], { key: (push) => push.n, make: () => null });
  });
  on("who chat push", load);
  const to = h("small", { class: "hint ellipsis" });
  on("who accounts", () => fill(to, account()?.callback_url ? `送到 ${account().callback_url}` : "这个服务号没有设服务器地址"));
  return h("div", { class: "card", testid: "pushes" }, h("div", { class: "row" }, h("h2", {}, "推送"), to), none, list);
}

// --- 对账 -----------------------------------------------------------------------------------------------------------

const SAMPLES = 20;

function buildReport() {
  const result = h("div", { testid: "report-result", role: "status" });
  const input = h("input", { type: "file", accept: ".csv,.json,.txt,text/csv,application/json", class: "hide", testid: "report-file", on: { change: () => { read(input.files[0]); input.value = ""; } } });
  const zone = h("label", { class: "drop", testid: "report-drop" }, icon("page"), h("span", {}, "把活动的触达导出（CSV 或 JSON）拖到这里，或", h("span", { class: "link" }, "选文件")), input);

  async function read(file) {
    if (!file) return;
    const known = account();
    fill(result, h("p", { class: "hint" }, "对照中…"));
    try {
      const report = readReport(file.name, await file.text());
      const answer = await compare(report, state.appid, (number) => fill(result, h("p", { class: "hint" }, `已读真相 ${count(number)} 条…`)));
      const key = { msgid: "消息编号", client_msg_id: "防重编号", openid: "OpenID" }[report.key];
      fill(
        result,
        h("p", { class: "sum" },
          h("span", {}, "报告 ", h("b", { testid: "report-claims" }, count(answer.report)), " 送达"),
          h("span", {}, "真相 ", h("b", { testid: "report-truth" }, count(answer.truth))),
          h("span", { class: `pill ${answer.difference ? "bad" : "ok"}` }, mark(answer.difference ? "bad" : "ok"), "差 ", h("b", { testid: "report-difference" }, count(answer.difference)))),
        h("p", { class: "hint" }, `${file.name}，${count(report.claims.size)} 行，按${key}对照「${known?.name}」${report.withStatus ? "" : "；没有状态列，每行当作已送达"}${report.repeats ? `；同一${key}出现多次 ${count(report.repeats)} 行` : ""}`),
        sample("报告说送达，手机没有收到", answer.onlyReport),
        sample("手机收到了，报告说没有送达", answer.onlyTruth),
        answer.besides.length ? h("p", { class: "hint", testid: "report-besides" }, `报告之外，这个服务号另有 ${count(answer.besides.length)} 个${key}收到消息（其他活动，或导出漏了）`) : "",
      );
    } catch (error) {
      fill(result, h("p", { class: "note", testid: "report-problem" }, icon("warn"), error.said || error.name === "Offline" ? explain(error) : error.message));
    }
  }

  function sample(title, ids) {
    if (!ids.length) return "";
    return h("details", { open: true }, h("summary", {}, `${title} ${count(ids.length)}`), h("ul", { class: "ids" }, ids.slice(0, SAMPLES).map((id) => h("li", {}, h("code", {}, id)))), ids.length > SAMPLES ? h("p", { class: "hint" }, `先列 ${SAMPLES} 个`) : "");
  }

  for (const event of ["dragenter", "dragover"]) {
    zone.addEventListener(event, (drag) => {
      drag.preventDefault();
      zone.classList.add("over");
    });
  }
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (drag) => {
    drag.preventDefault();
    zone.classList.remove("over");
    read(drag.dataTransfer.files[0]);
  });
  on("who", () => fill(result));
  return h("div", { class: "card", testid: "report" }, h("div", { class: "row" }, h("h2", {}, "对账"), h("span", { class: "hint" }, "模拟器只知道手机真正收到了什么")), zone, result);
}

/** Build the column. */
export function buildWorld(column) {
  column.append(buildClock(), wecomCard(), buildFaults(), buildTruth(), buildPushes(), buildReport());
}
