// The form of a rule: overlaps stand below the keywords they are about, whatever the version of the form's template.
"use strict";
(() => {
  const overlaps = document.getElementById("zy-overlaps");
  const first = overlaps?.closest("form")?.querySelector("fieldset");
  if (first) first.after(overlaps);
})();
