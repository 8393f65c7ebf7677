// Channels: options act when they change, branches fold, a sheet ticks all codes at once.
"use strict";
(() => {
  function fold(table) {
    const rows = [...table.tBodies[0].rows];
    const level = (row) => Number(row.dataset.level);
    function show() {
      let hiddenBelow = Infinity;
      for (const row of rows) {
        row.hidden = level(row) > hiddenBelow;
        if (row.hidden) continue;
        const button = row.querySelector("[data-tp-fold]");
        hiddenBelow = button && button.getAttribute("aria-expanded") === "false" ? level(row) : Infinity;
      }
    }
    table.addEventListener("click", (event) => {
      const button = event.target.closest("[data-tp-fold]");
      if (!button) return;
      button.setAttribute("aria-expanded", String(button.getAttribute("aria-expanded") !== "true"));
      show();
    });
    if (rows.length > 60) { // a large tree opens with its places, codes folded away
      for (const row of rows) {
        const button = row.querySelector("[data-tp-fold]");
        if (button && level(row) > 1) button.setAttribute("aria-expanded", "false");
      }
      show();
    }
  }

  document.addEventListener("DOMContentLoaded", () => {
    for (const form of document.querySelectorAll("[data-tp-options]")) {
      form.classList.add("tp-live");
      form.addEventListener("change", () => {
        for (const field of form.querySelectorAll("select")) field.disabled = field.value === "" ;
        form.requestSubmit();
      });
    }
    for (const table of document.querySelectorAll("[data-tp-tree]")) fold(table);
    for (const box of document.querySelectorAll("[data-tp-all]")) {
      const all = [...document.querySelectorAll(`[name="${box.dataset.tpAll}"]:not([disabled])`)];
      const count = document.querySelector("[data-tp-count]");
      const tell = () => {
        const ticked = all.filter((each) => each.checked).length;
        box.checked = ticked === all.length;
        box.indeterminate = ticked > 0 && ticked < all.length;
        if (count) count.textContent = ticked.toLocaleString("en");
        for (const button of document.querySelectorAll("[data-tp-needs]")) button.disabled = ticked === 0;
      };
      box.addEventListener("change", () => { for (const each of all) each.checked = box.checked; tell(); });
      for (const each of all) each.addEventListener("change", tell);
      tell();
    }
  });
})();
