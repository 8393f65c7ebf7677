// Channels: options act when they change, branches fold, a sheet ticks all codes at once.
"use strict";
(() => {
  function fold(table) {
    const level = (row) => Number(row.dataset.level);
    function show() {
      let hiddenBelow = Infinity;
      for (const row of table.tBodies[0].rows) {
        row.hidden = level(row) > hiddenBelow;
        if (row.hidden) continue;
        const button = row.querySelector("[data-tp-fold]");
        hiddenBelow = button && button.getAttribute("aria-expanded") === "false" ? level(row) : Infinity;
      }
    }
    // A large tree comes without its lowest levels: what hangs below a line is asked for when it is opened.
    async function load(button) {
      const address = button.dataset.tpMore;
      delete button.dataset.tpMore;
      button.setAttribute("aria-busy", "true");
      const after = button.closest("tr").nextElementSibling;
      if (after && "tpAlert" in after.dataset) after.remove();
      try {
        const answer = await fetch(address, { headers: { "X-Requested-With": "XMLHttpRequest" } });
        if (!answer.ok) throw new Error(answer.status);
        const found = document.createElement("template");
        found.innerHTML = await answer.text();
        button.closest("tr").after(found.content);
      } catch {
        button.dataset.tpMore = address;
        const row = table.tBodies[0].insertRow(button.closest("tr").sectionRowIndex + 1);
        row.dataset.tpAlert = "";
        row.dataset.level = level(button.closest("tr")) + 1;
        const cell = row.insertCell();
        cell.colSpan = 99;
        cell.setAttribute("role", "alert");
        cell.textContent = table.dataset.tpFailed;
      }
      button.removeAttribute("aria-busy");
    }
    table.addEventListener("click", async (event) => {
      const button = event.target.closest("[data-tp-fold]");
      if (!button || button.hasAttribute("aria-busy")) return;
      if (button.dataset.tpMore) await load(button);
      button.setAttribute("aria-expanded", String(button.getAttribute("aria-expanded") !== "true"));
      show();
    });
    const rows = [...table.tBodies[0].rows];
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
