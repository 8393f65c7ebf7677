// Small behaviours of the console: copy buttons, dialogs, the simulated clock, the search shortcut, guarded leaving.
"use strict";
(() => {
  document.addEventListener("click", (event) => {
    const copy = event.target.closest("[data-copy]");
    if (copy) {
      const source = document.getElementById(copy.dataset.copy);
      navigator.clipboard.writeText(source.textContent.trim()).then(() => {
        const before = copy.textContent;
        copy.textContent = copy.dataset.copied || before;
        setTimeout(() => { copy.textContent = before; }, 1500);
      });
    }
    const opener = event.target.closest("[data-dialog]");
    if (opener) document.getElementById(opener.dataset.dialog).showModal();
    const closer = event.target.closest("[data-close]");
    if (closer) closer.closest("dialog").close();
    const backer = event.target.closest("[data-back]");
    if (backer && history.length > 1) { event.preventDefault(); history.back(); }
  });

  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      const search = document.getElementById("zy-search");
      if (search) { event.preventDefault(); search.focus(); search.select(); }
    }
  });

  // On a phone the tabs are wider than the screen: the one that is open is brought into sight.
  document.addEventListener("DOMContentLoaded", () => {
    const tabs = document.querySelector(".zy-tabs"), open = tabs && tabs.querySelector(".is-active");
    if (open) tabs.scrollLeft = open.offsetLeft - tabs.offsetLeft - (tabs.clientWidth - open.offsetWidth) / 2;
  });

  // On a phone a table that would scroll sideways, or whose cells are squeezed, shows each row as a card with the names of its columns.
  const narrow = matchMedia("(max-width: 767px)"), TALLEST = 130;
  function stack() {
    for (const table of document.querySelectorAll(".zy-scroll > .zy-table:not(.zy-keep, [class*=matrix])")) {
      table.classList.remove("zy-stacked");
      const squeezed = [...table.tBodies].some((body) => [...body.rows].some((row) => row.offsetHeight > TALLEST));
      if (!narrow.matches || (!squeezed && table.scrollWidth <= table.parentElement.clientWidth + 1)) continue;
      const names = [...table.querySelectorAll("thead tr:last-child > *")].map((cell) => cell.textContent.trim());
      for (const row of table.querySelectorAll("tbody > tr, tfoot > tr")) {
        if (row.cells.length !== names.length) continue;
        [...row.cells].forEach((cell, at) => { if (names[at]) cell.dataset.label = names[at]; });
      }
      table.classList.add("zy-stacked");
    }
    // Unfold names the first cell of a list after its checkbox, also where there is none.
    for (const cell of document.querySelectorAll("#result_list tbody td:first-child[data-label]")) {
      const head = cell.closest("table").querySelector("thead th");
      if (head && !cell.querySelector("input")) cell.dataset.label = head.textContent.trim();
    }
  }
  document.addEventListener("DOMContentLoaded", stack);
  document.addEventListener("htmx:afterSettle", stack);
  narrow.addEventListener("change", stack);

  function tick() {
    for (const label of document.querySelectorAll("[data-clock]")) {
      const offset = label.dataset.offset ?? (Number(label.dataset.clock) - Date.now());
      label.dataset.offset = offset;
      const now = new Date(Date.now() + Number(offset));
      const parts = new Intl.DateTimeFormat("sv-SE", { timeZone: "Asia/Shanghai", dateStyle: "short", timeStyle: "short" });
      label.querySelector("time").textContent = parts.format(now);
    }
  }
  document.addEventListener("DOMContentLoaded", () => { tick(); setInterval(tick, 1000); });
})();
