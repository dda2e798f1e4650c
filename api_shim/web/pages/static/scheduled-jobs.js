// Adds a checkbox that selects everything in a list on the page.
"use strict";

document.querySelectorAll("form[data-select]").forEach((form) => {
  const boxes = [...form.querySelectorAll("input[name=id]")];
  const button = form.querySelector("button.bad");
  if (!boxes.length || !button) return;

  const all = document.createElement("input");
  all.type = "checkbox";
  all.setAttribute("aria-label", "Select all on this page");
  form.querySelector("thead .select").append(all);

  const count = () => {
    const selected = boxes.filter((box) => box.checked).length;
    button.textContent = selected ? `Delete Selected (${selected})` : "Delete Selected";
    all.checked = selected === boxes.length;
    all.indeterminate = selected > 0 && !all.checked;
  };
  all.addEventListener("change", () => {
    boxes.forEach((box) => (box.checked = all.checked));
    count();
  });
  form.addEventListener("change", count);
  // The browser may restore the earlier selection.
  window.addEventListener("pageshow", count);
});
