
"use strict";
// Without this script the tables are in the notebook's order, and all is there.
const told = document.querySelector("[role=status]");

function sortBy(table, rows, header, column) {
  const isNumber = header.classList.contains("number");
  const before = header.getAttribute("aria-sort");
  // The most costly first; names from A on.
  const first = isNumber && !header.classList.contains("place") ? "descending" : "ascending";
  const other = { ascending: "descending", descending: "ascending" };
  const order = other[before] ?? first;
  for (const each of table.tHead.rows[0].cells) each.setAttribute("aria-sort", "none");
  header.setAttribute("aria-sort", order);

  const sign = order === "ascending" ? 1 : -1;
  const value = (row) => row.cells[column].dataset.value;
  const sorted = [...rows].sort((a, b) => {
    const x = value(a), y = value(b);
    // What is not known is last, whichever way.
    if (isNumber && (x === "" || y === "")) return (x === "") - (y === "");
    return sign * (isNumber ? x - y : x.localeCompare(y));
  });
  table.tBodies[0].append(...sorted);
  told.textContent = `sorted by ${header.textContent}, ${order}`;
}

for (const table of document.querySelectorAll("table.sortable")) {
  const rows = [...table.tBodies[0].rows];
  [...table.tHead.rows[0].cells].forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = header.textContent;
    button.addEventListener("click", () => sortBy(table, rows, header, column));
    header.replaceChildren(button);
  });
}

// On paper nothing can be unfolded.
let unfolded = [];
addEventListener("beforeprint", () => {
  unfolded = [...document.querySelectorAll("details:not([open])")];
  for (const each of unfolded) each.open = true;
});
addEventListener("afterprint", () => {
  for (const each of unfolded) each.open = false;
});
