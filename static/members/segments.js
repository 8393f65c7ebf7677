// The builder of segments: newer counts win, faults stand where they are, tags and stores are picked from a search.
"use strict";
(() => {
  const form = document.getElementById("segment-form");
  const tree = document.getElementById("segment-tree");
  const preview = document.getElementById("segment-preview");
  if (!form) return;
  let version = 0; // of the rule on screen: every edit counts one up
  let changed = false;
  const edited = () => { version += 1; changed = true; };

  // --- Newer answers win ---------------------------------------------------------------------------------------------
  // hx-sync drops requests that are still under way; an answer that slips through is older than the rule on screen.
  const asked = new WeakMap();
  form.addEventListener("htmx:configRequest", (event) => { event.detail.parameters.version = String(version); });
  form.addEventListener("htmx:beforeSend", (event) => { asked.set(event.detail.xhr, version); });
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.target === preview && asked.get(event.detail.xhr) !== version) event.detail.shouldSwap = false;
  });
  const counts = (event) => event.target.dataset.find === undefined && event.target.name !== "name" && event.target.name !== "copy_name";
  for (const kind of ["input", "change"]) form.addEventListener(kind, (event) => { if (counts(event)) edited(); }, true);

  // --- Faults stand where they are -----------------------------------------------------------------------------------
  const slots = () => tree.querySelectorAll("[data-error-of]");
  const slot = (name) => [...slots()].find((each) => each.dataset.errorOf === name);
  function placeFault() {
    for (const each of slots()) {
      if (each.closest(".is-unknown")) continue;
      each.hidden = true;
      each.textContent = "";
      each.parentElement.querySelector("[aria-invalid]")?.removeAttribute("aria-invalid");
    }
    const fault = preview.querySelector("[data-fault-node]");
    if (!fault) return;
    const { faultNode, faultField, faultMessage } = fault.dataset;
    const place = (faultField && slot(`${faultNode}.${faultField}`)) || slot(faultNode);
    if (!place) return;
    place.textContent = faultMessage;
    place.hidden = false;
    place.parentElement.querySelector("input:not([type=hidden]), select")?.setAttribute("aria-invalid", "true");
  }
  document.addEventListener("htmx:afterSettle", (event) => {
    if (event.detail.target === preview) placeFault();
    if (event.detail.target === tree) {
      edited();
      const field = document.activeElement;
      if (!tree.contains(field)) tree.querySelector("[data-fresh]")?.focus();
      // A quick hand typed before htmx listened to the field: what it typed is asked for now.
      else if (field.dataset.find !== undefined) htmx.trigger(field, "focus");
      htmx.trigger(form, "rule-changed");
    }
  });

  // --- Picking tags and stores ---------------------------------------------------------------------------------------
  const picker = (element) => element.closest("[data-pick]");
  const found = (pick) => pick.querySelector(".seg-found");
  const show = (pick, open) => {
    found(pick).hidden = !open;
    pick.querySelector("[data-find]").setAttribute("aria-expanded", String(open));
  };
  const chosen = (pick) => new Set([...pick.querySelectorAll(".seg-picked input")].map((input) => input.value));
  function mark(pick) {
    const ids = chosen(pick);
    for (const option of found(pick).querySelectorAll("[data-choice]")) option.setAttribute("aria-selected", String(ids.has(option.dataset.choice)));
  }
  function announce() { edited(); htmx.trigger(form, "rule-changed"); }
  function toggle(pick, option) {
    const old = [...pick.querySelectorAll(".seg-picked input")].find((input) => input.value === option.dataset.choice);
    if (old) old.parentElement.remove();
    else {
      const tag = document.createElement("span");
      tag.className = "zy-tag";
      const input = Object.assign(document.createElement("input"), { type: "hidden", name: pick.dataset.pick, value: option.dataset.choice });
      const remove = Object.assign(document.createElement("button"), { type: "button" });
      remove.dataset.unpick = "";
      remove.setAttribute("aria-label", `${found(pick).dataset.removeLabel} ${option.dataset.name}`);
      const cross = Object.assign(document.createElement("span"), { className: "material-symbols-outlined", textContent: "close" });
      cross.setAttribute("aria-hidden", "true");
      remove.append(cross);
      tag.append(input, option.dataset.name, remove);
      pick.querySelector(".seg-picked").append(tag);
    }
    mark(pick);
    announce();
  }
  tree.addEventListener("click", (event) => {
    const option = event.target.closest("[data-choice]");
    if (option) toggle(picker(option), option);
    const out = event.target.closest("[data-unpick]");
    if (out) {
      const pick = picker(out);
      out.parentElement.remove();
      mark(pick);
      announce();
      pick.querySelector("[data-find]").focus();
    }
    const summary = event.target.closest(".seg-menu-list button");
    if (summary) summary.closest("details").open = false;
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    if (!event.detail.target.classList.contains("seg-found")) return;
    const pick = picker(event.detail.target);
    mark(pick);
    show(pick, pick.contains(document.activeElement));
  });
  tree.addEventListener("focusin", (event) => { if (event.target.dataset.find !== undefined) show(picker(event.target), true); });
  document.addEventListener("focusin", (event) => {
    for (const pick of tree.querySelectorAll("[data-pick]")) if (!pick.contains(event.target)) show(pick, false);
  });
  document.addEventListener("click", (event) => {
    for (const pick of tree.querySelectorAll("[data-pick]")) if (!pick.contains(event.target)) show(pick, false);
    for (const menu of tree.querySelectorAll(".seg-menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  });
  tree.addEventListener("keydown", (event) => {
    const pick = event.target.closest("[data-pick]");
    const menu = event.target.closest(".seg-menu");
    if (event.key === "Escape" && pick) { show(pick, false); pick.querySelector("[data-find]").focus(); }
    if (event.key === "Escape" && menu) { menu.open = false; menu.querySelector("summary").focus(); }
    if (event.key === "Enter" && event.target.matches("input")) {
      event.preventDefault(); // Enter in a field of the tree counts; it does not save
      const first = pick && found(pick).querySelector("[data-choice]");
      if (first && event.target.value) toggle(pick, first);
    }
    if ((event.key === "ArrowDown" || event.key === "ArrowUp") && (pick || menu) && !event.target.matches("select, [type=number]")) {
      const options = [...(pick ? found(pick).querySelectorAll("[data-choice]") : menu.querySelectorAll(".seg-menu-list button"))];
      const at = options.indexOf(event.target) + (event.key === "ArrowDown" ? 1 : -1);
      event.preventDefault();
      if (at < 0 && pick) pick.querySelector("[data-find]").focus();
      else options[Math.max(0, Math.min(at, options.length - 1))]?.focus();
    }
  });

  // --- Leaving with changes ------------------------------------------------------------------------------------------
  form.addEventListener("submit", () => { changed = false; });
  addEventListener("beforeunload", (event) => { if (changed) event.preventDefault(); });
})();
