/* Pages that lie over the chat: scanner, places, photos, an account's card and profile, mini-programs and web pages. */

import { Offline, readCodes } from "./api.js";
import { copy, fill, h, icon, toast } from "./dom.js";
import { avatar } from "./people.js";
import { ask, openChat, page, pop, push } from "./phone.js";
import { sharePage } from "./shares.js";
import { account, accountName, act, now, on, state } from "./state.js";
import { CONTACT_CODE, scanContact } from "./wecom.js";
import { count, countdown, exact, initial, moment, colour } from "./words.js";

// --- scanner --------------------------------------------------------------------------------------------------------

const SHOWN = 60;

/**
 * Choose a code of the list, paste one, or drop a picture. `chosen(code or null, text)` after the page is gone.
 * `anything`: a text that is no code is a result too (a menu button that scans).
 */
const MINI_CODE = /^https:\/\/mp\.weixin\.qq\.com\/a\/~([^~]+)~([^~]+)~([^~]*)$/; // what the simulator draws as a mini-program code

export function scanPage(name, chosen, { anything = false } = {}) {
  const found = h("ul", { class: "choice-list", testid: "scan-list" });
  const note = h("p", { class: "note", testid: "scan-note", role: "status" });
  let choosing = false; // between the codes of one picture
  let wrong = false; // what went wrong stays there until somebody types, however often the list is renewed
  const field = h("input", { type: "text", testid: "scan-text", placeholder: "搜名称，或粘贴码的链接、场景值", "aria-label": "搜码或粘贴", "data-first": true, autocomplete: "off", on: { input: typed, keydown: (event) => {
    if (event.key !== "Enter" || event.isComposing) return;
    event.preventDefault(); // the page goes and another button gets the focus: the key must not press that one
    submit();
  } } });
  const done = (code, text) => {
    pop();
    chosen(code, text);
  };

  function submit() {
    const text = field.value.trim();
    if (!text) return;
    take(text);
  }

  function take(text) {
    if (CONTACT_CODE.test(text) && !anything) {
      pop();
      scanContact(text);
      return;
    }
    const mini = MINI_CODE.exec(text);
    if (mini && !anything) {
      pop();
      openTarget({ kind: "miniprogram", appid: mini[1], pagepath: `${mini[3]}?scene=${encodeURIComponent(mini[2])}` });
      return;
    }
    const known = state.codes.find((code) => [code.url, code.ticket, code.name, code.scene].includes(text));
    if (known) done(known, known.url);
    else if (anything || state.codeTotal > state.codes.length) done(null, text);
    else warn(icon("warn"), "没有这个码。可能由另一个模拟器生成，或已被清除；可从下面的列表里选。");
  }

  function typed() {
    wrong = false;
    draw();
  }

  function warn(...content) {
    wrong = true;
    fill(note, ...content);
  }

  function draw() {
    choosing = false;
    const wanted = field.value.trim();
    const own = (code) => (code.appid === state.appid ? 0 : 1);
    const list = state.codes
      .filter((code) => !wanted || `${code.name} ${code.scene} ${code.url} ${accountName(code.appid)}`.includes(wanted))
      .sort((left, right) => Number(left.expired) - Number(right.expired) || own(left) - own(right) || Number(!left.name) - Number(!right.name));
    fill(found, list.slice(0, SHOWN).map((code) => h("li", {}, h(
      "button",
      { type: "button", class: "choice", testid: "scan-code", "data-scene": code.scene, "data-name": code.name, on: { click: () => done(code, code.url) } },
      h("img", { class: "qr", src: `/_sim/codes/picture?ticket=${encodeURIComponent(code.ticket)}`, alt: "", loading: "lazy" }),
      h("span", { class: "who" }, h("b", {}, code.name || code.scene), h("small", {}, `${accountName(code.appid)} · ${life(code)}`)),
    ))));
    if (wrong) return;
    const more = state.codeTotal > state.codes.length ? `最新 ${count(state.codes.length)} 个里` : "";
    if (list.length > SHOWN) fill(note, `${more}共 ${count(list.length)} 个，先列 ${SHOWN} 个，输入名称缩小范围。`);
    else if (!list.length) fill(note, state.codes.length ? anything ? "列表里没有，按「扫」就把这段文字当作扫码结果。" : "列表里没有这样的码。" : "还没有服务号生成过渠道码。");
    else fill(note, more ? `${more}找到 ${list.length} 个。` : "");
  }

  function life(code) {
    if (code.expired) return "已过期";
    return code.expires_at ? `${moment(code.expires_at, now())} 到期` : "永久码";
  }

  const view = page(
    name,
    "scan-page",
    h("div", { class: "finder" }, icon("scan"), dropArea()),
    h("div", { class: "paste" }, field, h("button", { type: "button", class: "flat go", testid: "scan-submit", on: { click: submit } }, "扫")),
    note,
    found,
  );

  function dropArea() {
    const input = h("input", { type: "file", accept: "image/*", class: "hide", testid: "scan-file", on: { change: () => read(input.files[0]) } });
    const zone = h("label", { class: "finder-text", testid: "scan-drop" }, "把码图拖到这里、粘贴，或点此选图", input);
    zone.addEventListener("dragover", (event) => event.preventDefault());
    zone.addEventListener("drop", (event) => {
      event.preventDefault();
      read(event.dataTransfer.files[0]);
    });
    return zone;
  }

  async function read(file) {
    if (!file) return;
    try {
      const texts = await readCodes(file);
      if (texts.length === 1) take(texts[0]);
      else if (texts.length) several(texts);
      else warn("这张图里没有找到二维码。换一张清楚些的。");
    } catch (error) {
      warn(error instanceof Offline ? "连不上模拟器，码图没有读。稍后再试。" : "这个文件读不出图片。换一张 10 MB 以内的 PNG 或 JPEG。");
    }
  }

  /** A sheet with many codes: which one is meant? */
  function several(texts) {
    choosing = true;
    wrong = false;
    fill(note, `这张图里有 ${texts.length} 个码，选一个扫：`);
    fill(found, texts.map((text) => {
      const known = state.codes.find((code) => code.url === text);
      return h("li", {}, h("button", { type: "button", class: "choice", testid: "scan-found", on: { click: () => take(text) } }, h("span", { class: "who" }, h("b", {}, known ? known.name || known.scene : "未知的码"), h("small", {}, text))));
    }));
  }

  view.addEventListener("paste", (event) => {
    const [file] = event.clipboardData?.files ?? [];
    if (!file) return;
    event.preventDefault();
    read(file);
  });
  // The list may arrive after the scanner was opened, and new codes while it is open.
  const renew = () => choosing || draw();
  scanners.add(renew);
  draw();
  push(view, () => scanners.delete(renew));
}

const scanners = new Set();
on("codes", () => scanners.forEach((run) => run()));

// --- places, photos, voice ------------------------------------------------------------------------------------------

const METRES = 111_320; // of one degree of latitude

/** Choose a named place, exactly or some metres beside it. `chosen({place, offset_lat?, offset_lon?})`. */
export function placePage(name, chosen) {
  const off = h("select", { testid: "place-offset", "aria-label": "偏差" }, [[0, "精确"], [50, "偏 50 米"], [500, "偏 500 米"], [3000, "偏 3 公里"]].map(([metres, word]) => h("option", { value: metres }, word)));
  const here = state.person.location;
  const list = [...state.places].sort((left, right) => Number(right.id === here) - Number(left.id === here));
  push(page(
    name,
    "place-page",
    h("div", { class: "paste" }, h("span", { class: "grow" }, "选一个地点"), off),
    h("ul", { class: "choice-list" }, list.map((item) => h("li", {}, h(
      "button",
      {
        type: "button", class: "choice", testid: "place-choice", "data-place": item.id,
        on: {
          click: () => {
            const metres = Number(off.value) / Math.SQRT2; // to the north-east
            pop();
            chosen(metres ? { place: item.id, offset_lat: metres / METRES, offset_lon: metres / (METRES * Math.cos((item.latitude * Math.PI) / 180)) } : { place: item.id });
          },
        },
      },
      icon("place"),
      h("span", { class: "who" }, h("b", {}, item.name, item.id === here ? h("span", { class: "mini-tag" }, "现在在这里") : ""), h("small", {}, item.address)),
    )))),
  ));
}

const PHOTOS = [["storefront", "门店"], ["bag", "手袋"], ["receipt", "小票"], ["coffee", "咖啡"]];

/** Choose one of the photos on this phone. `chosen(url)`: the picture can be fetched from the simulator. */
export function photoPage(name, chosen) {
  push(page(name, "photo-page", h("div", { class: "photos" }, PHOTOS.map(([file, word]) => h(
    "button",
    { type: "button", testid: "photo-choice", "data-photo": file, on: { click: () => { pop(); chosen(new URL(`photos/${file}.jpg`, location.href).href); } } },
    h("img", { src: `photos/${file}.jpg`, alt: "" }), word,
  )))));
}

/** Speak. `chosen({seconds, recognition})`. */
export function voicePage(chosen) {
  const seconds = h("select", { "aria-label": "时长", testid: "voice-seconds" }, [3, 8, 15, 60].map((value) => h("option", { value }, `${value} 秒`)));
  const words = h("input", { type: "text", maxlength: 200, testid: "voice-words", placeholder: "例如 几点关门", "data-first": true });
  push(page(
    "语音",
    "voice-page",
    h("div", { class: "form" },
      h("label", { class: "field" }, "时长", seconds),
      h("label", { class: "field" }, "识别出的文字", words),
      h("p", { class: "note" }, "识别文字随推送带给服务号；留空等于没有识别结果。"),
      h("button", { type: "button", class: "flat go wide", testid: "voice-send", on: { click: () => { pop(); chosen({ seconds: Number(seconds.value), recognition: words.value.trim() }); } } }, "发送语音")),
  ));
}

// --- an account -----------------------------------------------------------------------------------------------------

const face = (name) => h("span", { class: "avatar square big", style: { background: colour(name) }, "aria-hidden": "true" }, initial(name));

/** What a scan shows to somebody who does not follow: the card, 关注公众号 first. */
export function accountCard(card, followBy = () => act("follow", { ticket: card.ticket }, card.appid)) {
  const known = account(card.appid);
  const follow = h("button", {
    type: "button", class: "flat go wide", testid: "card-follow", "data-first": true,
    on: {
      click: async () => {
        follow.disabled = true;
        const promise = followBy();
        openChat(card.appid); // the chat opens while the welcome is on its way
        await promise;
      },
    },
  }, "关注公众号");
  push(page(
    "详细资料",
    "account-card",
    h("div", { class: "profile" }, face(card.name), h("h3", { testid: "card-name" }, card.name), h("p", {}, known?.verified ? "服务号 · 已认证" : "服务号 · 未认证"), card.code_name ? h("p", { class: "note", testid: "card-code" }, `来自「${card.code_name}」`) : "", follow),
  ));
}

/** ··· of the chat. */
export function profilePage(unfollow) {
  const body = h("div", { class: "profile" });
  const draw = () => {
    const known = account();
    const { relation } = state;
    if (!known || !relation) return;
    const row = (word, id, value, run) => h("label", { class: "setting" }, h("span", {}, word), h("input", { type: "checkbox", role: "switch", class: "switch", checked: value, testid: id, on: { change: (event) => run(event.target.checked) } }));
    fill(
      body,
      face(known.name),
      h("h3", {}, known.name),
      h("p", {}, `${known.verified ? "服务号 · 已认证" : "服务号 · 未认证"} · ${count(known.followers)} 人关注`),
      relation.subscribed
        ? [
            h("p", { class: "note", title: exact(relation.subscribe_time) }, `${moment(relation.subscribe_time, now())} 起关注`),
            h("div", { class: "settings" },
              row("接收消息", "profile-receive", !relation.blocked, (value) => act(value ? "unblock" : "block")),
              row("提供位置信息", "profile-location", consents.has(key()), (value) => { value ? consents.add(key()) : consents.delete(key()); act("enter", { consent: value }); })),
            ...noticesOf(known, relation),
            h("button", { type: "button", class: "flat go wide", testid: "profile-chat", on: { click: pop } }, "发消息"),
            h("button", { type: "button", class: "flat wide plain", testid: "profile-share", on: { click: () => sharePage({}, known.appid) } }, "推荐给朋友"),
            h("button", { type: "button", class: "flat wide", testid: "profile-unfollow", on: { click: unfollow } }, "不再关注"),
          ]
        : [...noticesOf(known, relation), h("button", { type: "button", class: "flat go wide", testid: "profile-follow", on: { click: async () => { pop(); await act("follow"); } } }, "关注公众号")],
    );
  };
  draw();
  refreshers.add(draw);
  push(page("详细资料", "profile", body), () => refreshers.delete(draw));
}

const KINDS = { 2: "一次性", 3: "长期" };

/** What this person has allowed the account to send, and the popup that a page with a subscribe button shows. */
function noticesOf(known, relation) {
  if (!known.notices?.length) return [];
  const allowed = (notice) => {
    const left = relation.consents?.[notice.template_id] ?? 0;
    if (!left) return "没有允许";
    return notice.kind === 3 ? "已允许" : `还可收 ${left} 条`;
  };
  const askFor = (notice) => ask(`「${known.name}」申请发送订阅通知`, `${notice.title}，${KINDS[notice.kind]}`, [
    ["允许", "go", () => act("allow_notices", { template_ids: [notice.template_id] }), "consent-allow"],
    ["拒绝", "", () => act("allow_notices", { template_ids: [notice.template_id], accept: false }), "consent-refuse"],
  ]);
  const word = (text, id, run) => h("button", { type: "button", class: "inline", testid: id, on: { click: run } }, text);
  return [
    h("h4", { class: "settings-title" }, "订阅通知"),
    h("div", { class: "settings", testid: "profile-notices" }, known.notices.map((notice) => h(
      "div",
      { class: "setting", testid: "profile-notice", "data-title": notice.title },
      h("span", { class: "who" }, h("b", {}, notice.title), h("small", { testid: "notice-left" }, `${KINDS[notice.kind]} · ${allowed(notice)}`)),
      h("span", { class: "row" },
        word("订阅", "notice-ask", () => askFor(notice)),
        relation.consents?.[notice.template_id] ? word("关闭", "notice-off", () => act("turn_off_notices", { template_ids: [notice.template_id] })) : ""),
    ))),
  ];
}

const refreshers = new Set();
const consents = new Set(); // the control API does not tell who lets their place be reported
const key = () => `${state.person.id}|${state.appid}`;
on("chat accounts", () => refreshers.forEach((run) => run()));

// --- mini-programs and web pages ------------------------------------------------------------------------------------

function capsule(onMore) {
  return h("div", { class: "capsule" }, h("button", { type: "button", "aria-label": "更多", testid: "overlay-more", on: { click: onMore } }, icon("more")), h("button", { type: "button", "aria-label": "关闭", testid: "overlay-close", on: { click: pop } }, icon("close")));
}

/** Path and query as rows. */
function address(rows) {
  return h("dl", { class: "address", testid: "overlay-address" }, rows.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value || "--")]));
}

function queryRows(text) {
  return [...new URLSearchParams(text)].map(([name, value]) => [name, value]);
}

/** Follow a link or a card. `target`: {kind: "web" | "miniprogram", url?, appid?, pagepath?, title?}. */
export function openTarget(target) {
  if (target.kind === "miniprogram") miniProgram(target);
  else webPage(target);
}

function miniProgram(target) {
  const known = account(target.appid);
  const name = known?.name ?? "小程序";
  const [path, query = ""] = (target.pagepath ?? "").replace(/^\//, "").split("?");
  const where = [["小程序", name], ["AppID", target.appid], ["路径", path || "首页"], ...queryRows(query)];
  const results = h("ul", { class: "results", "aria-live": "polite" });
  const show = (word, code, until) => {
    const text = h("code", { testid: "bridge-code" }, code);
    const left = h("small", {});
    const draw = () => fill(left, until > now() ? `一次有效，剩 ${countdown(until - now()).slice(3)}` : "已失效");
    draw();
    refreshersOfTick.add(draw);
    results.prepend(h("li", {}, h("b", {}, word), text, h("span", { class: "row" }, left, h("button", { type: "button", class: "inline push", testid: "bridge-copy", on: { click: () => copy(code, text) } }, "复制"))));
  };
  const LIFE = 300;
  const steps = [
    ["登录", "取 wx.login 的 code", "bridge-login", async () => {
      const answer = await act("login", {}, target.appid);
      if (answer?.code) show("登录 code", answer.code, now() + LIFE);
    }],
    ["手机号", "点「手机号快速验证」", "bridge-phone", () => ask(`${name} 申请使用你的手机号`, `${state.person.nickname}绑定的号码 ${state.person.phone.slice(0, 3)}****${state.person.phone.slice(-4)}`, [
      ["允许", "go", async () => {
        const answer = await act("phone", {}, target.appid);
        if (answer?.code) show("手机号 code", answer.code, now() + LIFE);
      }, "consent-allow"],
      ["拒绝", "", async () => {
        if (await act("phone", { allow: false }, target.appid)) results.prepend(h("li", { testid: "bridge-refused" }, h("b", {}, "手机号"), "已拒绝，小程序得不到 code"));
      }, "consent-refuse"],
    ])],
    ["位置", "取 wx.getLocation", "bridge-location", () => ask(`${name} 申请获取你的位置`, "", [
      ["允许", "go", () => {
        const place = state.places.find((item) => item.id === state.person.location);
        if (!place) {
          toast("此人还没有位置。先在「人」里选一个。", "error");
          return;
        }
        const text = h("code", { testid: "bridge-code" }, `${place.latitude}, ${place.longitude}`);
        results.prepend(h("li", {}, h("b", {}, `位置 · ${place.name}`), text, h("span", { class: "row" }, h("button", { type: "button", class: "inline push", on: { click: () => copy(text.textContent, text) } }, "复制"))));
      }, "consent-allow"],
      ["拒绝", "", () => results.prepend(h("li", {}, h("b", {}, "位置"), "已拒绝")), "consent-refuse"],
    ])],
  ];
  const more = () => ask("当前页面", `/${path || "首页"}${query ? `?${query}` : ""}`, [["转发给朋友", "go", () => sharePage({ pagepath: target.pagepath ?? "", title: target.title ?? "" }, target.appid), "overlay-share"], ["复制路径", "", () => copy(target.pagepath || path)], ["返回", "", () => {}]], "overlay-path");
  const view = h(
    "section",
    { class: "page overlay mini-page", testid: "mini-overlay", role: "dialog", "aria-label": name },
    h("header", { class: "bar" }, h("button", { type: "button", class: "round", "aria-label": "返回", testid: "overlay-back", on: { click: pop } }, icon("back")), h("h2", { testid: "overlay-title" }, target.title || name), capsule(more)),
    h("div", { class: "page-body" },
      h("div", { class: "mini-head" }, avatar(name), h("div", { class: "who" }, h("b", {}, name), h("small", {}, "模拟器不运行小程序代码，只给出它会得到的东西"))),
      address(where),
      known
        ? h("div", { class: "bridge", testid: "bridge" }, h("h3", {}, "以此人的身份"), h("div", { class: "steps" }, steps.map(([word, hint, id, run]) => h("button", { type: "button", class: "step", testid: id, on: { click: run } }, h("b", {}, word), h("small", {}, hint)))), results)
        : h("p", { class: "note" }, "这个小程序不在模拟的世界里，没有登录和手机号。")),
  );
  push(view, () => refreshersOfTick.clear());
}

const refreshersOfTick = new Set();
on("tick", () => refreshersOfTick.forEach((run) => run()));

/** Web sign-in (网页授权): WeChat asks on this phone, then opens the brand's page with a code. */
function signIn(target, url) {
  const go = async (fields) => {
    const answer = await act("authorize", { url: url.href, ...fields }, url.searchParams.get("appid") ?? "");
    if (answer?.redirect) openTarget({ ...target, url: answer.redirect });
    else if (answer?.problem) toast(answer.problem, "error");
    else if (answer?.refused) toast("已拒绝，网页得不到 code。");
  };
  if (url.searchParams.get("scope") === "snsapi_base") {
    go({});
    return;
  }
  ask(`${account(url.searchParams.get("appid"))?.name ?? "网页"} 申请获得你的昵称、头像`, url.searchParams.get("redirect_uri") ?? "", [
    ["允许", "go", () => go({}), "oauth-allow"],
    ["拒绝", "", () => go({ allow: false }), "oauth-refuse"],
    ["没有点按就进来（快照页）", "", () => go({ snapshot: true }), "oauth-snapshot"],
  ]);
}

function webPage(target) {
  let url = null;
  try {
    url = new URL(target.url);
  } catch {
    toast("这条消息的链接是空的或写错了，打不开。", "error");
    return;
  }
  if (url.pathname === "/connect/oauth2/authorize") {
    signIn(target, url);
    return;
  }
  const local = ["127.0.0.1", "localhost", location.hostname].includes(url.hostname);
  const where = [["域名", url.host], ["路径", url.pathname], ...queryRows(url.search)];
  const more = () => ask(url.host, url.href, [["转发给朋友", "go", () => sharePage({ url: url.href, title: target.title ?? "" }, state.appid), "overlay-share"], ["复制链接", "", () => copy(url.href), "overlay-copy"], ["返回", "", () => {}]], "overlay-path");
  const body = local
    ? h("iframe", { class: "frame", src: url.href, title: target.title || url.host, testid: "web-frame", sandbox: "allow-scripts allow-forms allow-same-origin" })
    : h("div", { class: "page-body" },
        h("div", { class: "mini-head" }, h("span", { class: "avatar square", style: { background: "#5A5F6B" } }, icon("page")), h("div", { class: "who" }, h("b", {}, target.title || "外部网页"), h("small", {}, "模拟器不访问外面的网站，下面是这一页的地址"))),
        address(where),
        h("div", { class: "form" }, h("button", { type: "button", class: "flat go wide", testid: "overlay-copy-link", on: { click: () => copy(url.href) } }, "复制链接")));
  push(h(
    "section",
    { class: "page overlay", testid: "web-overlay", role: "dialog", "aria-label": "网页" },
    h("header", { class: "bar" }, h("button", { type: "button", class: "round", "aria-label": "返回", testid: "overlay-back", on: { click: pop } }, icon("back")), h("h2", { testid: "overlay-title" }, target.title || url.host), capsule(more)),
    body,
  ));
}
