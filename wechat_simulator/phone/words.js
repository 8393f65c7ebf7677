/* Chinese for what the simulator says in its own terms, and how numbers and moments are written. */

const DAY = 86400;
const ZONE = 8 * 3600; // Asia/Shanghai has had no daylight saving time since 1991

const two = (number) => String(number).padStart(2, "0");

/** Parts of a moment in Shanghai. */
export function parts(epoch) {
  const date = new Date((epoch + ZONE) * 1000);
  return {
    year: date.getUTCFullYear(),
    day: `${two(date.getUTCMonth() + 1)}-${two(date.getUTCDate())}`,
    minute: `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}`,
    second: two(date.getUTCSeconds()),
    weekday: "周" + "日一二三四五六"[date.getUTCDay()],
  };
}

/** 2025-06-01 08:00:00 */
export function full(epoch) {
  const part = parts(epoch);
  return `${part.year}-${part.day} ${part.minute}:${part.second}`;
}

/** For a hover: with the zone. */
export const exact = (epoch) => `${full(epoch)} 北京时间`;

/** 06-01 08:00, with the year when it is not this one. */
export function moment(epoch, now) {
  const part = parts(epoch);
  const year = parts(now).year === part.year ? "" : `${part.year}-`;
  return `${year}${part.day} ${part.minute}`;
}

/** 08:00:01 today, otherwise the day too. */
export function second(epoch, now) {
  const part = parts(epoch);
  const time = `${part.minute}:${part.second}`;
  return part.day === parts(now).day && Math.abs(now - epoch) < DAY ? time : `${moment(epoch, now)}:${part.second}`;
}

/** 47:48:00 */
export function countdown(seconds) {
  const left = Math.max(0, Math.ceil(seconds));
  const hours = Math.floor(left / 3600);
  return `${two(hours)}:${two(Math.floor((left % 3600) / 60))}:${two(left % 60)}`;
}

/** For a field where a moment is typed. */
export const toField = (epoch) => full(epoch).slice(0, 16);

/** 2025-06-02 9:30, with T or seconds too → epoch; NaN when it is no moment. */
export function fromField(text) {
  const found = /^(\d{4})[-/](\d{1,2})[-/](\d{1,2})[ T]+(\d{1,2})[:：](\d{2})(?:[:：](\d{2}))?$/.exec(text.trim());
  if (!found) return NaN;
  const [, year, month, day, hour, minute, seconds = "0"] = found;
  const date = new Date(Date.UTC(+year, +month - 1, +day, +hour, +minute, +seconds));
  return date.getUTCDate() === +day && +hour < 24 ? date.getTime() / 1000 - ZONE : NaN;
}

export const count = (number) => Number(number).toLocaleString("en-US");
export const mask = (phone) => (/^\d{11}$/.test(phone) ? `${phone.slice(0, 3)}****${phone.slice(7)}` : phone || "--");
export const tail = (text, length = 4) => (text ? `…${String(text).slice(-length)}` : "--");

const AVATARS = ["#8A4B2A", "#0F6A73", "#5B4B8A", "#2F6B3C", "#8A2F55", "#3B5B8C", "#7A5A12", "#5A5F6B"];

/** A colour that stays with a name; white text on it is legible. */
export function colour(text) {
  let sum = 0;
  for (const char of String(text)) sum = (sum * 31 + char.codePointAt(0)) >>> 0;
  return AVATARS[sum % AVATARS.length];
}

/** The first character of a name, an emoji whole. */
export const initial = (name) => [...String(name || "?").trim()][0] ?? "?";

export const PUSHES = {
  subscribe: "关注", unsubscribe: "取消关注", SCAN: "扫码", CLICK: "点菜单", VIEW: "菜单打开网页",
  view_miniprogram: "菜单打开小程序", LOCATION: "上报位置", TEMPLATESENDJOBFINISH: "模板消息结果",
  subscribe_msg_popup_event: "订阅弹窗", subscribe_msg_change_event: "关闭订阅通知", subscribe_msg_sent_event: "订阅通知结果",
  scancode_push: "扫码推事件", scancode_waitmsg: "扫码带提示", pic_sysphoto: "拍照发图", pic_photo_or_album: "拍照或相册",
  pic_weixin: "相册发图", location_select: "发送位置", user_authorization_revoke: "撤回授权",
  user_info_modified: "资料变更", text: "文字消息", image: "图片消息", voice: "语音消息", video: "视频消息",
  shortvideo: "小视频消息", location: "位置消息", link: "链接消息",
  add_external_contact: "添加客户", add_half_external_contact: "客户待通过", edit_external_contact: "客户资料变更",
  del_external_contact: "员工删客户", del_follow_user: "客户删员工", transfer_fail: "客户交接失败", create_user: "新员工",
  update_user: "员工资料变更", delete_user: "员工离职",
};

export const OUTCOMES = {
  acknowledged: ["ok", "已收下"], replied: ["ok", "已回复"], bad_reply: ["bad", "回复无效"], failed: ["bad", "没有送到"],
  dropped: ["warn", "已丢弃"], held: ["warn", "压后再送"], no_callback: ["warn", "未设服务器地址"], waiting: ["wait", "投递中"],
};

/** What one try of a push came to. */
export function tryWord(outcome, limit = 5) {
  if (outcome === undefined) return "投递中";
  if (OUTCOMES[outcome]) return OUTCOMES[outcome][1];
  if (outcome === "timeout") return `${limit} 秒未答`;
  if (outcome.startsWith("http ")) return `答 HTTP ${outcome.slice(5)}`;
  if (/refused|Connect call failed|Errno 111/i.test(outcome)) return "连不上";
  return `连接出错（${outcome}）`;
}

export const DUE = {
  pay_notify: "支付通知再送", pay_expire: "订单到期关闭", pay_refund: "退款到账", component_ticket: "第三方平台票据", template_finish: "模板消息到达", notice_finish: "订阅通知到达", mass_finish: "群发到达", mass_unanswered: "群发等管理员确认到期", token_expires: "接口凭据到期", code_expires: "渠道码到期", window_closes: "客服消息时限到期",
  login_code_expires: "登录码失效", phone_code_expires: "手机号码凭证失效", quotas_reset: "每日额度重置",
  wecom_transfer: "客户交接完成",
};

export const WINDOWS = { message: "发言", menu: "点菜单", follow: "关注", scan: "扫码" };

export const SENT_KINDS = { template: "模板消息", custom: "客服消息", passive: "被动回复", subscribe: "订阅通知", wecom_welcome: "企业微信欢迎语", wecom_mass: "企业群发" };

/** State of a message in the truth: kind of mark and word. */
export function sentState(status) {
  if (status === "success") return ["ok", "已送达"];
  if (status === "accepted") return ["wait", "待确认"];
  if (/user block/.test(status)) return ["bad", "用户拒收"];
  return ["bad", "发送失败"];
}

export const SCENES = {
  ADD_SCENE_SEARCH: "搜索", ADD_SCENE_ACCOUNT_MIGRATION: "账号迁移", ADD_SCENE_PROFILE_CARD: "名片分享",
  ADD_SCENE_QR_CODE: "扫码", ADD_SCENE_PROFILE_LINK: "图文内名称", ADD_SCENE_PROFILE_ITEM: "图文页菜单",
  ADD_SCENE_PAID: "支付后", ADD_SCENE_WECHAT_ADVERTISEMENT: "广告", ADD_SCENE_REPRINT: "他人转载",
  ADD_SCENE_LIVESTREAM: "直播", ADD_SCENE_CHANNELS: "视频号", ADD_SCENE_WXA: "小程序", ADD_SCENE_OTHERS: "其他",
};

export const APIS = {
  "": "全部接口", "/cgi-bin/message/template/send": "模板消息发送", "/cgi-bin/message/custom/send": "客服消息发送",
  "/cgi-bin/message/subscribe/bizsend": "发订阅通知", "/wxaapi/newtmpl/gettemplate": "取订阅通知模板",
  "/cgi-bin/user/info/batchget": "批量取粉丝资料", "/cgi-bin/user/get": "粉丝列表", "/cgi-bin/tags/members/batchtagging": "批量打标签",
  "/cgi-bin/menu/create": "发布菜单", "/cgi-bin/qrcode/create": "生成渠道码", "/cgi-bin/stable_token": "取稳定版凭据",
  "/cgi-bin/token": "取凭据", "/sns/jscode2session": "小程序登录",
};

const FAULTS = {
  latency: "变慢", http_status: "HTTP 状态异常", body: "答复被替换", patch: "答复被改动", html: "答复是网页", empty: "空答复",
  truncate: "答复被截断", bom: "答复带 BOM", trailing_bytes: "答复后有多余字节", invalid_utf8: "答复编码损坏",
  json_array: "答复是数组", duplicate_keys: "答复有重复键", stale_answer: "答复是旧的", reset: "连接被重置", close: "连接被关闭",
  slow: "逐字节答复", flood: "超大答复", redirect: "被跳转", kill_token: "凭据失效 40001", date_header: "时间头偏差",
  push_duplicate: "重复推送", push_drop: "推送丢失", push_delay: "推送延迟", push_reorder: "推送乱序",
  push_bad_signature: "推送签名错误", push_cut: "推送被截断", finish_drop: "结果推送丢失", finish_late: "结果推送迟到",
  finish_status: "结果改为失败",
  pay_error: "支付接口报错", pay_answer: "支付答复被改（签名正确）", pay_unsigned: "支付答复没有签名", pay_forged_answer: "支付答复签名伪造",
  pay_late: "支付通知迟到", pay_duplicate: "支付通知重复", pay_lost: "支付通知丢失", pay_forged: "支付通知签名伪造",
  pay_damaged: "支付通知打不开", pay_amount: "支付通知金额被改", pay_changed: "支付通知内容被改", pay_probe: "支付签名探测",
  pay_refund_status: "退款结果异常",
};
const CODES = { "-1": "微信繁忙 -1", 45009: "额度用尽 45009", 45011: "过于频繁 45011", 40001: "凭据无效 40001" };

/** A fault in one phrase. */
export function faultWord(fault) {
  if (fault.kind === "errcode") return CODES[fault.params.errcode] ?? `错误码 ${fault.params.errcode}`;
  if (fault.kind === "hang") return fault.effect === "after" ? "收下后超时" : "未收下就超时";
  if (fault.kind === "kill_token" && fault.params.expire) return "凭据过期 42001";
  return FAULTS[fault.kind] ?? fault.kind;
}

const REFUSALS = [
  [/^no such code/, "没有这个码。可能由另一个模拟器生成，或已被清除；可从下面的列表里选。"],
  [/belongs to another account/, "这个码属于另一个服务号。"],
  [/^already follows/, "已经关注了。"],
  [/does not follow/, "还没有关注这个服务号，不能发消息或点菜单。先关注。"],
  [/only service accounts/, "小程序不能关注，只有服务号可以。"],
  [/unknown place/, "没有这个地点。从列表里选一个。"],
  [/no such button/, "这个按钮已不在菜单上。菜单刚更新过，再看一眼。"],
  [/^no account/, "这个小程序或服务号不在模拟的世界里，打不开。先在世界描述里加上它。"],
  [/^no person/, "没有这个人。"],
  [/another person's/, "这是别人的订单，不能替付。"],
  [/this order is paid/, "这笔订单已经付过了。"],
  [/this order is closed/, "这笔订单已关闭或过期，要商户重新下单。"],
  [/older than two hours/, "支付单超过两小时，要商户再下一次单。"],
  [/does not forward to oneself/, "不能转发给自己。"],
  [/has no such page/, "这个小程序没有这一页。"],
  [/belongs to a mini-program/, "这一步只在小程序里有。"],
  [/^no such contact way/, "没有这个联系码。它可能已被删除，换一个。"],
  [/takes no customers|takes customers now/, "这位员工现在不能加客户。换一位。"],
  [/no room for another customer/, "这位员工的客户已满。换一位。"],
  [/group is full|groups of this code are full/, "群已满，进不去。换一个群码。"],
  [/no transfer of this customer/, "没有等待中的交接，可能已经完成。"],
  [/task was confirmed before|no such task/, "这个群发已确认过或已取消。"],
  [/has not accepted yet/, "对方还没有通过，暂时不能发消息。"],
];

/** What went wrong, in Chinese; the simulator's own words stay when nobody translated them. */
export function explain(error) {
  if (error.name === "Offline") return "连不上模拟器。它可能停了，恢复后会自动接上。";
  const text = error.said ?? String(error.message ?? error);
  return REFUSALS.find(([pattern]) => pattern.test(text))?.[1] ?? `没有成功。模拟器说：${text}`;
}
