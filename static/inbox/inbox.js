// The inbox: counting clocks, the composer (drafts, notes, canned replies, one message per click), keys, a lost connection.
"use strict";
(() => {
  const panes = document.querySelector("[data-testid=inbox]");
  if (!panes) return;
  const form = document.getElementById("ibx-composer");
  const box = form && form.querySelector("textarea");

  // --- Clocks: the server says its time, the page counts on ---------------------------------------------------------
  let ahead = 0;
  const serverNow = () => Date.now() + ahead;
  function sync() {
    const part = document.getElementById("ibx-thread") || document.getElementById("ibx-rows");
    if (part && part.dataset.now !== part.dataset.seen) { ahead = Number(part.dataset.now) - Date.now(); part.dataset.seen = part.dataset.now; }
  }
  const two = (number) => String(number).padStart(2, "0");
  const span = (seconds) => `${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  function tick() {
    for (const label of document.querySelectorAll("[data-waits]")) {
      const waited = Math.max(0, Math.floor((serverNow() - Number(label.dataset.waits)) / 1000));
      label.textContent = label.dataset.form.replace("%s", waited < 3600 ? `${Math.floor(waited / 60)}:${two(waited % 60)}` : span(waited));
      const list = label.closest("[data-target]");
      if (list) label.closest(".ibx-wait").classList.toggle("is-late", waited * 1000 > Number(list.dataset.target));
    }
    for (const label of document.querySelectorAll("[data-until]")) {
      const left = Math.ceil((Number(label.dataset.until) - serverNow()) / 1000);
      label.textContent = span(Math.max(0, left));
      if (left <= 0 && label.dataset.over !== "1") {
        label.dataset.over = "1";
        window.htmx.trigger("#ibx-thread", "inbox:over");
        const thread = document.getElementById("ibx-thread");
        window.htmx.ajax("GET", thread.getAttribute("hx-get").replace(/v=.*/, "v=over"), { target: "#ibx-thread", swap: "outerHTML" });
      }
    }
  }

  // --- The thread stays where it was read, or at its end ----------------------------------------------------------------
  let stick = true;
  let read = { part: "", top: 0 }; // which part of the conversation was shown, and where in it one was
  const part = () => { const thread = document.getElementById("ibx-thread"); return thread ? thread.dataset.window : ""; };
  function toEnd() { const lines = document.getElementById("ibx-lines"); if (lines) lines.scrollTop = lines.scrollHeight; }
  function place() { // earlier lines end where one was reading, later ones begin there, a line that was searched for stands in the middle
    const lines = document.getElementById("ibx-lines");
    const found = lines && lines.querySelector(".is-found");
    if (found) found.scrollIntoView({ block: "center" });
    else if (lines && part().startsWith("after=")) lines.scrollTop = 0;
    else toEnd();
  }
  document.addEventListener("htmx:beforeSwap", () => {
    const lines = document.getElementById("ibx-lines");
    read = { part: part(), top: lines ? lines.scrollTop : 0 };
    stick = !lines || lines.scrollHeight - lines.scrollTop - lines.clientHeight < 60;
  });
  document.addEventListener("htmx:afterSettle", () => {
    sync(); tick(); dress();
    const lines = document.getElementById("ibx-lines");
    if (part() !== read.part) place();
    else if (stick) toEnd();
    else if (lines) lines.scrollTop = read.top;
    read = { part: part(), top: lines ? lines.scrollTop : 0 };
  });

  // --- The card follows the conversation: who answers and what is to do change with it -------------------------------------
  const changes = () => { const thread = document.getElementById("ibx-thread"); return thread ? thread.dataset.changes : ""; };
  let carded = changes();
  document.addEventListener("htmx:afterSettle", () => {
    if (changes() === carded) return;
    carded = changes();
    const card = document.getElementById("ibx-card");
    if (card) window.htmx.trigger(card, "inbox:changed");
  });

  // --- Composer ---------------------------------------------------------------------------------------------------------
  const isNote = () => form.elements.as.value === "note";
  const encoder = new TextEncoder();
  function dress() {
    if (!form) return;
    const thread = document.getElementById("ibx-thread");
    const locked = thread && thread.dataset.open === "0";
    form.classList.toggle("is-note", isNote());
    form.classList.toggle("is-locked", locked);
    const send = form.querySelector(".zy-primary");
    send.textContent = isNote() ? send.dataset.note : send.dataset.reply;
    const over = encoder.encode(box.value).length - 2048;
    send.disabled = (!isNote() && (locked || over > 0)) || !box.value.trim();
    form.querySelector(".ibx-attach").classList.toggle("is-off", Boolean(locked) || isNote());
    const count = form.querySelector(".ibx-count");
    count.textContent = over > 0 ? count.dataset.over.replace("%s", String(over)) : "";
    count.classList.toggle("is-wrong", over > 0);
    if (!box.dataset.hint) box.dataset.hint = box.placeholder;
    box.placeholder = isNote() ? box.dataset.note : locked ? box.dataset.locked : box.dataset.hint;
  }
  if (form) {
    const draft = `inbox-draft-${form.dataset.conversation}`;
    const canned = document.getElementById("ibx-canned");
    box.value = sessionStorage.getItem(draft) || "";
    const picture = form.elements.picture;
    form.addEventListener("change", (event) => {
      if (event.target === picture) { if (picture.files.length) form.requestSubmit(); return; } // what was typed stays
      dress();
    });
    form.addEventListener("htmx:afterRequest", () => { window.setTimeout(() => { picture.value = ""; }, 0); });
    box.addEventListener("input", () => { sessionStorage.setItem(draft, box.value); dress(); look(); });
    document.body.addEventListener("inbox:sent", () => {
      form.elements.client_key.value = crypto.randomUUID(); // only now: a click that was lost on the way is the same message
      if (picture.files.length) { stick = true; return; }
      box.value = "";
      sessionStorage.removeItem(draft);
      form.elements.canned.value = "";
      form.elements.as.value = "reply";
      stick = true;
      dress();
      box.focus();
    });
    let asked = 0;
    let rows = [];
    let chosen = 0;
    function look() {
      const found = /^\/(\S{0,20})$/.exec(box.value);
      if (!found || isNote()) { canned.hidden = true; return; }
      const mine = ++asked;
      fetch(`${form.dataset.canned}?q=${encodeURIComponent(found[1])}`, { headers: { Accept: "application/json" } })
        .then((answer) => (answer.ok ? answer.json() : { rows: [] }))
        .then((data) => {
          if (mine !== asked) return;
          rows = data.rows;
          chosen = 0;
          paint();
        });
    }
    function paint() {
      canned.replaceChildren(...rows.map((row, at) => {
        const item = document.createElement("li");
        item.setAttribute("role", "option");
        item.setAttribute("aria-selected", String(at === chosen));
        const title = document.createElement("strong");
        title.textContent = `/${row.shortcut} ${row.title}`;
        const text = document.createElement("small");
        text.textContent = row.text;
        item.append(title, text);
        item.addEventListener("mousedown", (event) => { event.preventDefault(); use(row); });
        return item;
      }));
      canned.hidden = rows.length === 0;
    }
    function use(row) {
      box.value = row.text;
      form.elements.canned.value = row.id;
      canned.hidden = true;
      sessionStorage.setItem(draft, box.value);
      dress();
      box.focus();
    }
    box.addEventListener("keydown", (event) => {
      if (!canned.hidden && rows.length) {
        if (event.key === "ArrowDown" || event.key === "ArrowUp") {
          event.preventDefault();
          chosen = (chosen + (event.key === "ArrowDown" ? 1 : rows.length - 1)) % rows.length;
          paint();
          return;
        }
        if (event.key === "Enter" || event.key === "Tab") { event.preventDefault(); use(rows[chosen]); return; }
        if (event.key === "Escape") { canned.hidden = true; return; }
      }
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); if (!form.querySelector(".zy-primary").disabled) form.requestSubmit(); }
      if (event.key === "Escape") box.blur();
    });
    for (const dialog of document.querySelectorAll("dialog form[hx-post]")) {
      dialog.addEventListener("htmx:afterRequest", () => dialog.closest("dialog").close());
    }
  }

  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-card]")) panes.classList.toggle("show-card");
    else if (!event.target.closest(".ibx-card")) panes.classList.remove("show-card");
  });

  // --- Keys -------------------------------------------------------------------------------------------------------------
  document.addEventListener("keydown", (event) => {
    if (event.target.closest("input, textarea, select, dialog") || event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.toLowerCase();
    if (key === "j" || key === "k") {
      const rows = [...document.querySelectorAll(".ibx-row")];
      const at = rows.findIndex((row) => row.classList.contains("is-open"));
      const next = rows[at < 0 ? 0 : at + (key === "j" ? 1 : -1)];
      if (next) next.click();
    } else if ((key === "r" || key === "n") && form) {
      event.preventDefault();
      form.elements.as.value = key === "n" ? "note" : "reply";
      dress();
      box.focus();
    } else if (event.key === "?") {
      document.getElementById("ibx-keys").showModal();
    } else {
      const button = document.querySelector(`[data-key="${CSS.escape(key)}"]`);
      if (button) button.click();
    }
  });

  // --- Three failures in a row are said ---------------------------------------------------------------------------------
  const offline = document.getElementById("inbox-offline");
  let failed = 0;
  let last = new Date();
  document.addEventListener("htmx:afterRequest", (event) => {
    if (event.detail.successful) { failed = 0; last = new Date(); offline.hidden = true; return; }
    failed += 1;
    if (failed < 3) return;
    offline.textContent = offline.dataset.text.replace("%s", last.toTimeString().slice(0, 8));
    offline.hidden = false;
  });

  sync();
  tick();
  dress();
  place();
  setInterval(tick, 1000);
})();
