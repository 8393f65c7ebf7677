/* How each kind of entry looks in the chat. */

import { h, icon } from "./dom.js";
import { account, now, state } from "./state.js";
import { colour, exact, initial, moment } from "./words.js";

const GROUP = 300; // seconds of silence after which the time is written again

/** Pictures are only fetched from this machine; everything else is drawn as a plain tile. */
function reachable(address) {
  try {
    const url = new URL(address, location.href);
    return ["127.0.0.1", "localhost", location.hostname].includes(url.hostname) && /^https?:$/.test(url.protocol);
  } catch {
    return false;
  }
}

/** An address of a medium that the simulator keeps. */
const medium = (id) => (id ? `/_sim/media/${encodeURIComponent(id)}` : "");

function picture(address, className, label) {
  const tile = () => h("span", { class: `${className} tile`, role: "img", "aria-label": label }, icon("photo"));
  if (!address || !reachable(address)) return tile();
  return h("img", { class: className, src: address, alt: label, loading: "lazy", on: { error: (event) => event.target.replaceWith(tile()) } });
}

const LINK = /<a\s([^>]*)>([\s\S]*?)<\/a>|(https?:\/\/[^\s<>"'，。；！？）】」]+)/gi;
const attribute = (text, name) => new RegExp(`${name}\\s*=\\s*["']([^"']*)["']`, "i").exec(text)?.[1]?.replaceAll("&amp;", "&") ?? "";

/** Text with its links (reference: a text message may hold <a href> and mini-program links). */
function words(text, open) {
  const out = [];
  let done = 0;
  for (const match of text.matchAll(LINK)) {
    out.push(text.slice(done, match.index));
    done = match.index + match[0].length;
    const inside = match[1] ?? "";
    const appid = attribute(inside, "data-miniprogram-appid");
    const url = match[3] ?? attribute(inside, "href");
    const target = appid ? { kind: "miniprogram", appid, pagepath: attribute(inside, "data-miniprogram-path"), url } : { kind: "web", url };
    out.push(h("button", { type: "button", class: "inline", on: { click: () => open(target) } }, match[2] ?? match[3]));
  }
  out.push(text.slice(done));
  return out;
}

const known = (appid) => account(appid)?.name ?? "小程序";

function article(item, large, open) {
  return h(
    "button",
    { type: "button", class: `article ${large ? "large" : ""}`, on: { click: () => open({ kind: "web", url: item.url, title: item.title }) } },
    large ? [h("b", {}, item.title), picture(item.picurl, "cover wide-cover", item.title), item.description ? h("span", { class: "summary" }, item.description) : ""] : [h("span", { class: "grow" }, item.title), picture(item.picurl, "thumb", item.title)],
  );
}

function template(entry, open) {
  const target = entry.miniprogram?.appid ? { kind: "miniprogram", ...entry.miniprogram, url: entry.url } : entry.url ? { kind: "web", url: entry.url } : null;
  return h(
    "div",
    { class: "sheet template", testid: entry.via === "subscribe" ? "notice-card" : "template-card" },
    entry.via === "subscribe" ? h("small", { class: "note" }, "订阅通知") : "",
    h("h3", {}, entry.title || "服务通知"),
    h("dl", {}, entry.rows.map((row) => [h("dt", {}, row.label), h("dd", { testid: "template-value", "data-key": row.key }, row.value || "--")])),
    target ? h("button", { type: "button", class: "detail", testid: "template-detail", on: { click: () => open(target) } }, "查看详情", target.kind === "miniprogram" ? h("span", { class: "mini-mark" }, icon("app"), "小程序") : "", icon("chevron")) : "",
  );
}

function miniCard(entry, open) {
  return h(
    "button",
    { type: "button", class: "sheet mini", testid: "mini-card", on: { click: () => open({ kind: "miniprogram", appid: entry.appid, pagepath: entry.pagepath, title: entry.title }) } },
    h("span", { class: "mini-name" }, h("span", { class: "avatar tiny", style: { background: colour(known(entry.appid)) } }, initial(known(entry.appid))), known(entry.appid)),
    h("b", {}, entry.title),
    picture(medium(entry.thumb_media_id), "cover five-four", entry.title),
    h("span", { class: "mini-foot" }, icon("app"), "小程序"),
  );
}

function place(entry) {
  return h(
    "div",
    { class: "sheet place-card", testid: "place-card" },
    h("b", {}, entry.name || entry.label || "位置"),
    h("small", {}, entry.label || `${entry.latitude.toFixed(5)}, ${entry.longitude.toFixed(5)}`),
    h("span", { class: "sketch", "aria-hidden": "true" }, icon("place")),
  );
}

function voice(entry) {
  const seconds = entry.seconds ?? 0;
  return h("div", { class: "bubble voice", style: { "min-width": `${Math.min(200, 72 + seconds * 4)}px` } }, icon("sound"), seconds ? `${seconds}″` : "语音");
}

function choices(entry, open, say) {
  return h(
    "div",
    { class: "bubble" },
    words(entry.head_content ?? "", open),
    h("span", { class: "choices" }, (entry.list ?? []).map((item) => h("button", { type: "button", class: "inline", testid: "choice", on: { click: () => say(item) } }, item.content))),
    words(entry.tail_content ?? "", open),
  );
}

function linkCard(entry, open) {
  return h("button", { type: "button", class: "sheet link-card", on: { click: () => open({ kind: "web", url: entry.url ?? entry.musicurl ?? entry.hqmusicurl ?? "", title: entry.title }) } },
    h("b", {}, entry.title || "链接"), h("span", { class: "grow" }, h("small", {}, entry.description ?? ""), picture(entry.picurl, "thumb", entry.title ?? "链接")));
}

function body(entry, { open, say }) {
  switch (entry.kind) {
    case "text":
      return h("div", { class: "bubble", testid: "bubble" }, words(entry.content, open));
    case "image":
      return picture(entry.url && reachable(entry.url) ? entry.url : medium(entry.media_id), "picture", "图片");
    case "voice":
      return voice(entry);
    case "video":
    case "shortvideo":
      return h("div", { class: "picture video", role: "img", "aria-label": entry.kind === "video" ? "视频" : "小视频" }, icon("play"), entry.title ? h("small", {}, entry.title) : "");
    case "location":
      return place(entry);
    case "news": {
      const items = entry.articles ?? [];
      return h("div", { class: "sheet news", testid: "news-card" }, items.map((item, index) => article(item, index === 0, open)));
    }
    case "template":
      return template(entry, open);
    case "miniprogrampage":
      return miniCard(entry, open);
    case "msgmenu":
      return choices(entry, open, say);
    case "link":
    case "music":
    case "mpnewsarticle":
      return linkCard(entry, open);
    case "file":
      return h("div", { class: "sheet link-card" }, h("b", {}, "文件"), h("span", { class: "grow" }, h("small", {}, "顾问发来的文件"), icon("page")));
    case "wxcard":
      return h("div", { class: "sheet link-card" }, h("b", {}, "卡券"), h("span", { class: "grow" }, h("small", {}, "点开后领取"), icon("page")));
    default:
      return h("div", { class: "bubble" }, "（当前版本不支持查看此消息）");
  }
}

const VIA = { mass: "群发", preview: "群发预览", wecom_mass: "企业群发", wecom_welcome: "欢迎语" };

/** Rows of the chat: entries, and the time where a group begins. */
export function grouped(entries) {
  const rows = [];
  let last = -Infinity;
  for (const entry of entries) {
    if (Math.abs(entry.at - last) > GROUP) rows.push({ time: entry.at, n: `t${entry.n}` });
    last = entry.at;
    rows.push(entry);
  }
  return rows;
}

/** One row. `open(target)` opens pages, `say(item)` chooses from a message with choices. */
export function drawEntry(row, actions) {
  if (row.time !== undefined) return h("li", { class: "time" }, h("time", { title: exact(row.time) }, moment(row.time, now())));
  const common = { testid: "entry", "data-kind": row.kind, "data-from": row.from, "data-n": row.n };
  if (row.from === "system") return h("li", { class: `system ${row.kind}`, ...common }, h("span", {}, row.content));
  const mine = row.from === "person";
  const name = mine ? state.person.nickname : (actions.name?.(row) ?? account()?.name ?? "");
  return h(
    "li",
    { class: `entry ${mine ? "mine" : ""} kind-${row.kind}`, ...common, title: exact(row.at) },
    h("span", { class: `avatar ${mine ? "" : "square"}`, style: { background: colour(name) }, "aria-hidden": "true" }, initial(name)),
    h("span", { class: "said" }, VIA[row.via] ? h("small", { class: "note", testid: "via" }, VIA[row.via]) : "", h("span", { class: "hide" }, mine ? "我：" : `${name}：`), body(row, actions)),
  );
}
