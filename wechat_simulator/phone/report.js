/* 对账: what a sender's export claims, set against what really reached the phones. */

import * as api from "./api.js";

const NAMES = {
  msgid: ["msgid", "msg_id", "消息编号", "微信消息编号", "消息id"],
  client_msg_id: ["client_msg_id", "clientmsgid", "防重编号"],
  openid: ["openid", "open_id", "touser", "粉丝"],
  status: ["status", "state", "状态", "结果"],
};
const DELIVERED = new Set(["success", "delivered", "已送达", "送达", "成功", "ok", "true", "1"]);
const PAGE = 10_000;

/** Rows of a CSV text (quotes, doubled quotes, line breaks inside quotes). */
export function parseCsv(text) {
  const rows = [];
  let row = [];
  let cell = "";
  let quoted = false;
  const source = text.replace(/^\ufeff/, "");
  const first = source.slice(0, source.indexOf("\n") + 1 || undefined);
  const mark = first.includes("\t") && !first.includes(",") ? "\t" : ",";
  for (let index = 0; index < source.length; index += 1) {
    const char = source[index];
    if (quoted) {
      if (char !== '"') cell += char;
      else if (source[index + 1] === '"') {
        cell += char;
        index += 1;
      } else quoted = false;
    } else if (char === '"') quoted = true;
    else if (char === mark) {
      row.push(cell);
      cell = "";
    } else if (char === "\n") {
      row.push(cell);
      rows.push(row);
      row = [];
      cell = "";
    } else if (char !== "\r") cell += char;
  }
  if (cell || row.length) rows.push([...row, cell]);
  const [head = [], ...rest] = rows.filter((item) => item.some((value) => value.trim()));
  return rest.map((item) => Object.fromEntries(head.map((name, index) => [name.trim(), (item[index] ?? "").trim()])));
}

/** Rows of a JSON text: a list, or an object that holds one. Long numbers stay exact as text. */
export function parseJson(text) {
  const value = JSON.parse(text.replace(/("(?:[^"\\]|\\.)*")|(-?\d{16,})(?=\s*[,}\]])/g, (whole, string, number) => string ?? `"${number}"`));
  if (Array.isArray(value)) return value;
  const list = Object.values(value).find(Array.isArray);
  if (!list) throw new Error("no list");
  return list;
}

function column(row, what) {
  const names = Object.keys(row);
  return names.find((name) => NAMES[what].includes(name.trim().toLowerCase()));
}

/** What the file says: `{key, claims: Map(id → delivered?), repeats}`; an Error in Chinese when it cannot be used. */
export function readReport(name, text) {
  let rows;
  try {
    rows = /^\s*[[{]/.test(text) ? parseJson(text) : parseCsv(text);
  } catch {
    throw new Error(`「${name}」读不出来。要 CSV，或内容是列表的 JSON。`);
  }
  if (!rows.length) throw new Error(`「${name}」里没有数据行。`);
  const key = ["msgid", "client_msg_id", "openid"].find((what) => column(rows[0], what) && rows.some((row) => row[column(rows[0], what)]));
  if (!key) throw new Error(`「${name}」没有 msgid 或 openid 这一列，无法对照。现有列：${Object.keys(rows[0]).join("、")}。`);
  const id = column(rows[0], key);
  const status = column(rows[0], "status");
  const claims = new Map();
  let repeats = 0;
  for (const row of rows) {
    const value = String(row[id] ?? "").trim();
    if (!value) continue;
    const delivered = status ? DELIVERED.has(String(row[status]).trim().toLowerCase()) : true;
    if (claims.has(value)) repeats += 1;
    claims.set(value, delivered || claims.get(value) === true);
  }
  return { key, claims, repeats, withStatus: Boolean(status) };
}

/**
 * Compare with the truth of one account.
 * Only the ids of the report count; what the account sent besides is told apart (`besides`).
 */
export async function compare({ key, claims }, appid, progress) {
  const received = new Map(); // id → how often
  let since = 0;
  for (;;) {
    const page = await api.get("/truth", { appid, received: 1, since, limit: PAGE });
    for (const row of page.rows) {
      const id = row[key];
      if (id) received.set(id, (received.get(id) ?? 0) + 1);
    }
    if (page.next === null) break;
    since = page.next;
    progress(received.size);
  }
  const claimed = [...claims].filter(([, delivered]) => delivered).map(([id]) => id);
  const onlyReport = claimed.filter((id) => !received.has(id));
  const onlyTruth = [...claims].filter(([id, delivered]) => !delivered && received.has(id)).map(([id]) => id);
  const besides = [...received.keys()].filter((id) => !claims.has(id));
  return {
    report: claimed.length,
    truth: [...claims.keys()].filter((id) => received.has(id)).length,
    difference: onlyReport.length + onlyTruth.length,
    onlyReport,
    onlyTruth,
    besides,
  };
}
