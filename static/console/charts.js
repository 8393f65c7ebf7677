// Draws a chart from the table under it: the table is the data, so screen and table never differ.
"use strict";
(() => {
  const drawn = new Map();
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function read(table) {
    const rows = [...table.tBodies[0].rows];
    const names = [...table.tHead.rows[0].cells].slice(1).map((cell) => cell.textContent);
    return {
      labels: rows.map((row) => row.cells[0].textContent),
      series: names.map((label, index) => ({
        label,
        data: rows.map((row) => {
          const raw = row.cells[index + 1].dataset.value;
          return raw === "" ? null : Number(raw);
        }),
      })),
    };
  }

  function draw(holder) {
    const table = document.getElementById(holder.dataset.source);
    if (!table || typeof Chart === "undefined") return;
    drawn.get(holder)?.destroy();
    const { labels, series } = read(table);
    const line = holder.dataset.zyChart === "line";
    const ink = css("--zy-ink-3");
    drawn.set(holder, new Chart(holder.querySelector("canvas"), {
      type: line ? "line" : "bar",
      data: {
        labels,
        datasets: series.map((item, index) => ({
          ...item,
          backgroundColor: css(`--zy-c${index + 1}`),
          borderColor: css(`--zy-c${index + 1}`),
          borderWidth: line ? 2 : 0,
          borderRadius: 2,
          pointRadius: line ? 2 : 0,
          maxBarThickness: 32,
          minBarLength: 1,
        })),
      },
      options: {
        responsive: true,
        maintainAspectRatio: false,
        animation: false,
        interaction: { mode: "index", intersect: false },
        plugins: { legend: { display: series.length > 1, labels: { color: ink, boxWidth: 12 } }, tooltip: { enabled: true } },
        scales: {
          x: { grid: { display: false }, border: { color: css("--zy-line") }, ticks: { color: ink, maxRotation: 0, autoSkipPadding: 12, font: { size: 12 } } },
          y: { beginAtZero: true, grid: { color: css("--zy-line") }, border: { display: false }, ticks: { color: ink, precision: 0, font: { size: 12 } } },
        },
      },
    }));
  }

  const all = (root) => { for (const holder of root.querySelectorAll("[data-zy-chart]")) draw(holder); };
  document.addEventListener("DOMContentLoaded", () => {
    all(document);
    new MutationObserver(() => all(document)).observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });
  });
  document.addEventListener("htmx:afterSettle", (event) => all(event.target));
})();
