/* Making elements, and lists that keep the elements whose content did not change. */

const SVG = "http://www.w3.org/2000/svg";

/** An element. `props`: `on` handlers, `testid`, `class`, properties that must be set as such, otherwise attributes. */
export function h(tag, props = {}, ...kids) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "on") {
      for (const [event, handler] of Object.entries(value)) element.addEventListener(event, handler);
    } else if (name === "testid") element.dataset.testid = value;
    else if (name === "style") for (const [key, item] of Object.entries(value)) element.style.setProperty(key, item);
    else if (["value", "checked", "selected", "disabled", "hidden", "open", "inert"].includes(name)) element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...flat(kids));
  return element;
}

function flat(kids) {
  return kids.flat(Infinity).filter((kid) => kid !== undefined && kid !== null && kid !== false && kid !== "");
}

/** Replace what is inside. */
export function fill(element, ...kids) {
  element.replaceChildren(...flat(kids));
}

const PATHS = {
  back: "M15 5l-7 7 7 7",
  more: "M5 12h.01M12 12h.01M19 12h.01",
  close: "M6 6l12 12M18 6L6 18",
  keyboard: "M4 6h16v11H4zM7 10h.01M10.5 10h.01M14 10h.01M17 10h.01M8 14h8",
  menu: "M4 7h16M4 12h16M4 17h16",
  plus: "M12 7v10M7 12h10M21 12a9 9 0 1 1-18 0 9 9 0 0 1 18 0",
  photo: "M4 5h16v14H4zM4 16l5-5 4 4 2-2 5 5M15.5 9.5h.01",
  camera: "M4 8h4l1.5-2h5L16 8h4v11H4zM12 16.5a3 3 0 1 0 0-6 3 3 0 0 0 0 6",
  voice: "M12 4a2.5 2.5 0 0 1 2.5 2.5v5a2.5 2.5 0 0 1-5 0v-5A2.5 2.5 0 0 1 12 4zM6.5 11a5.5 5.5 0 0 0 11 0M12 16.5V20",
  place: "M12 21s-6.5-6-6.5-11a6.5 6.5 0 0 1 13 0c0 5-6.5 11-6.5 11zM12 12.2a2.2 2.2 0 1 0 0-4.4 2.2 2.2 0 0 0 0 4.4",
  scan: "M4 8V4h4M16 4h4v4M20 16v4h-4M8 20H4v-4M4 12h16",
  check: "M5 12.5l4.5 4.5L19 7.5",
  block: "M20 12a8 8 0 1 1-16 0 8 8 0 0 1 16 0M6.5 6.5l11 11",
  circle: "M18 12a6 6 0 1 1-12 0 6 6 0 0 1 12 0",
  warn: "M12 4l9 16H3zM12 10v4M12 17h.01",
  play: "M8 5.5l11 6.5-11 6.5z",
  pause: "M8 5v14M16 5v14",
  link: "M10 14a4 4 0 0 0 5.7 0l3-3a4 4 0 0 0-5.7-5.7l-1 1M14 10a4 4 0 0 0-5.7 0l-3 3A4 4 0 0 0 11 18.7l1-1",
  page: "M6 3h8l4 4v14H6zM14 3v4h4M9 12h6M9 16h6",
  phone: "M8 2.5h8a2 2 0 0 1 2 2v15a2 2 0 0 1-2 2H8a2 2 0 0 1-2-2v-15a2 2 0 0 1 2-2zM11 18.5h2",
  chevron: "M9 6l6 6-6 6",
  search: "M16 16l4.5 4.5M18 11a7 7 0 1 1-14 0 7 7 0 0 1 14 0",
  sound: "M9 9.5a4 4 0 0 1 0 5M12.5 7a7.5 7.5 0 0 1 0 10M16 4.5a11 11 0 0 1 0 15",
  app: "M12 8.5a3.5 3.5 0 1 0 3.5 3.5V7.5M12 21a9 9 0 1 1 0-18 9 9 0 0 1 0 18",
  battery: "M2 8h17v8H2zM21.5 11v2",
};

/** A line icon; without a name it is decoration. */
export function icon(name, label = "") {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", `icon icon-${name}`);
  if (label) {
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", label);
  } else svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

const made = new WeakMap();

/** Show `items` in `parent`; an element stays when its key and signature did. */
export function patch(parent, items, { key, signature = JSON.stringify, make }) {
  const before = made.get(parent) ?? new Map();
  const after = new Map();
  let place = parent.firstChild;
  for (const item of items) {
    const id = key(item);
    const sign = signature(item);
    const known = before.get(id);
    const row = known && known.sign === sign ? known : { sign, element: make(item) };
    after.set(id, row);
    before.delete(id);
    if (known && known !== row) {
      if (place === known.element) place = place.nextSibling;
      known.element.remove();
    }
    if (row.element === place) place = place.nextSibling;
    else parent.insertBefore(row.element, place);
  }
  for (const { element } of before.values()) {
    if (place === element) place = place.nextSibling;
    element.remove();
  }
  while (place) {
    const following = place.nextSibling;
    place.remove();
    place = following;
  }
  made.set(parent, after);
}

/** A short message at the foot of the page. */
export function toast(text, kind = "info") {
  const line = h("div", { class: `toast ${kind}`, testid: "toast" }, icon(kind === "error" ? "warn" : "check"), h("span", {}, text));
  const box = document.getElementById("toasts");
  while (box.childElementCount > 2) box.firstChild.remove();
  box.append(line);
  setTimeout(() => line.remove(), kind === "error" ? 8000 : 4000);
}

/** Put text on the clipboard; where that is forbidden, select it for the reader to copy. */
export async function copy(text, source) {
  try {
    await navigator.clipboard.writeText(text);
    toast("已复制");
  } catch {
    if (source) getSelection().selectAllChildren(source);
    toast("浏览器不允许写剪贴板，已选中文字，按 Ctrl+C 复制");
  }
}

/** At most one run at a time and one per `pause` ms; calls meanwhile lead to one more run. */
export function coalesce(run, pause = 150) {
  let busy = false;
  let again = false;
  const go = async () => {
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    again = false;
    try {
      await run();
    } finally {
      await new Promise((resolve) => setTimeout(resolve, pause));
      busy = false;
      if (again) go();
    }
  };
  return go;
}
