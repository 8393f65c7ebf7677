// Shows pages outside the frame in the theme the person chose inside it (Alpine's persisted setting).
"use strict";
(() => {
  let theme = "auto";
  try { theme = JSON.parse(localStorage.getItem("_x_adminTheme")) || "auto"; } catch { theme = "auto"; }
  const dark = theme === "dark" || (theme === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.classList.toggle("dark", dark);
})();
