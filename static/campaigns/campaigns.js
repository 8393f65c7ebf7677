// The composer (autosave, faults at their fields, counters, variables) and the live progress of a campaign.
"use strict";
(() => {
  // --- Composer --------------------------------------------------------------------------------------------------------
  const form = document.getElementById("composer");
  const phone = document.getElementById("composer-phone");
  if (form && phone) {
    let version = 0;
    const asked = new WeakMap();
    const pending = { save: false, changed: new Set() }; // kept until an answer has arrived, however many are dropped
    const quiet = (event) => event.target.dataset.quiet !== undefined;
    for (const kind of ["input", "change"]) {
      form.addEventListener(kind, (event) => {
        if (quiet(event)) return;
        version += 1;
        if (kind === "change") { pending.save = true; pending.changed.add(event.target.name); }
        if (event.target.name === "scheduled_at") form.querySelector("[name=when][value=later]").checked = true;
      }, true);
    }
    form.addEventListener("htmx:configRequest", (event) => {
      if (event.detail.elt !== form) return;
      event.detail.parameters.cause = pending.save ? "change" : "input";
      event.detail.parameters.changed = [...pending.changed].join(" ");
    });
    form.addEventListener("htmx:beforeSend", (event) => { asked.set(event.detail.xhr, version); });
    document.addEventListener("htmx:beforeSwap", (event) => {
      if (event.detail.target !== phone) return;
      if (asked.get(event.detail.xhr) !== version) event.detail.shouldSwap = false;
      else { pending.save = false; pending.changed.clear(); }
    });
    document.addEventListener("htmx:afterSettle", (event) => {
      if (event.detail.target === phone) place();
      count(form);
    });

    function place() {
      const found = new Map([...phone.querySelectorAll("[data-place]")].map((each) => [each.dataset.place, each.textContent]));
      for (const slot of form.querySelectorAll("[data-error-of]")) {
        const message = found.get(slot.dataset.errorOf);
        slot.hidden = !message;
        slot.textContent = message || "";
        const field = slot.closest(".zy-field")?.querySelector("input, select, textarea");
        if (field) field.toggleAttribute("aria-invalid", Boolean(message));
      }
    }

    function count(root) {
      for (const field of root.querySelectorAll("[data-counted]")) {
        const limit = Number(field.dataset.counted);
        const label = field.closest(".zy-field").querySelector("[data-left]");
        if (!limit) { label.textContent = ""; continue; }
        const left = limit - [...field.value.replace(/\{[^{}]*\}/g, "")].length;
        label.textContent = (left < 0 ? label.dataset.over : label.dataset.fits).replace("%s", String(Math.abs(left)));
        label.classList.toggle("is-wrong", left < 0);
      }
    }
    form.addEventListener("input", () => count(form));
    count(form);

    form.addEventListener("click", (event) => {
      const insert = event.target.closest("[data-insert]");
      if (!insert) return;
      const field = insert.closest(".zy-field").querySelector("[data-counted]");
      const fallback = insert.dataset.fallback;
      const at = field.selectionStart ?? field.value.length;
      const text = `{${insert.dataset.insert}|${fallback}}`;
      field.setRangeText(text, at, field.selectionEnd ?? at, "end");
      field.focus();
      const start = at + insert.dataset.insert.length + 2;
      field.setSelectionRange(start, start + fallback.length); // typing replaces the word “fallback”
      field.dispatchEvent(new Event("input", { bubbles: true }));
    });
    form.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.target.matches("input:not([type=radio])")) event.preventDefault(); // Enter never sends
    });
  }

  // --- Progress: three failures in a row are said ----------------------------------------------------------------------
  const offline = document.getElementById("progress-offline");
  if (offline) {
    let failures = 0;
    let last = new Date().toTimeString().slice(0, 8);
    const failed = (event) => {
      if (event.detail.elt?.id !== "progress") return;
      failures += 1;
      if (failures < 3) return;
      offline.hidden = false;
      offline.textContent = offline.dataset.text.replace("%s", last);
    };
    document.addEventListener("htmx:sendError", failed);
    document.addEventListener("htmx:responseError", failed);
    document.addEventListener("htmx:timeout", failed);
    document.addEventListener("htmx:afterOnLoad", (event) => {
      if (event.detail.elt?.id !== "progress" && event.detail.target?.id !== "progress") return;
      failures = 0;
      last = new Date().toTimeString().slice(0, 8);
      offline.hidden = true;
    });
  }
})();
