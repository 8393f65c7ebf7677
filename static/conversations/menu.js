// The menu designer: fields that a type needs, bytes counted as WeChat counts them, the phone beside it.
"use strict";
(() => {
  const form = document.getElementById("zy-menu-form");
  if (!form) return;
  const phone = document.querySelector("[data-testid=phone] .zy-phone-menu");
  const bytes = new TextEncoder();

  function show(row) {
    const type = row.querySelector("select").value;
    for (const label of row.querySelectorAll("[data-types]")) label.hidden = !label.dataset.types.split(" ").includes(type);
    const name = row.querySelector("[data-bytes]");
    const left = row.querySelector("[data-left]");
    const used = bytes.encode(name.value.trim()).length;
    const room = String(Math.max(0, Math.floor((Number(name.dataset.bytes) - used) / 3)));
    left.textContent = left.dataset.words.replace("{used}", String(used)).replace("{limit}", name.dataset.bytes).replace("{left}", room);
    left.classList.toggle("is-wrong", used > Number(name.dataset.bytes));
    name.toggleAttribute("aria-invalid", used > Number(name.dataset.bytes));
  }

  function draw() {
    if (!phone) return;
    const places = [...form.querySelectorAll("[data-top]")].map((top) => {
      const place = document.createElement("div");
      const name = document.createElement("span");
      name.textContent = top.querySelector("[data-bytes]").value.trim();
      const entries = [...top.querySelectorAll(".zy-sub [data-bytes]")].map((each) => each.value.trim()).filter(Boolean);
      place.append(name);
      if (entries.length) {
        const list = document.createElement("ul");
        for (const entry of entries) { const item = document.createElement("li"); item.textContent = entry; list.append(item); }
        place.append(list);
      }
      return [place, name.textContent || entries.length];
    }).filter(([, filled]) => filled).map(([place]) => place);
    phone.replaceChildren(...places);
    phone.hidden = !places.length;
  }

  const rows = [...form.querySelectorAll("[data-row]")];
  rows.forEach(show);
  draw();
  form.addEventListener("input", (event) => {
    const row = event.target.closest("[data-row]");
    if (row) show(row);
    draw();
  });
  // What is not saved yet is saved first, so that the differences shown are those of what is published.
  let dirty = false;
  form.addEventListener("input", (event) => { if (event.target.name !== "publish_at") dirty = true; });
  document.addEventListener("click", (event) => {
    if (!dirty || !event.target.closest("[data-dialog=zy-publish]")) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const review = document.createElement("input");
    review.type = "hidden";
    review.name = "review";
    review.value = "1";
    form.append(review);
    form.requestSubmit(form.querySelector("button[value=save]"));
  }, true);
  document.querySelector("dialog[data-review]")?.showModal();
  const waits = document.querySelector("[data-waits]");
  if (waits) setTimeout(() => location.replace(location.href.split("#")[0]), 2000);
})();
