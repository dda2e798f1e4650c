// Adds a checkbox that selects everything in a list on the page.
"use strict";

const prepare = (form) => {
  const boxes = [...form.querySelectorAll("input[name=id]")];
  const buttons = [...form.querySelectorAll(".below button")].map((button) => [button, button.textContent]);
  if (!boxes.length || !buttons.length) return;

  const all = document.createElement("input");
  all.type = "checkbox";
  all.setAttribute("aria-label", "Select all on this page");
  form.querySelector("thead .select").append(all);

  const count = () => {
    const selected = boxes.filter((box) => box.checked).length;
    buttons.forEach(([button, text]) => (button.textContent = selected ? `${text} (${selected})` : text));
    all.checked = selected === boxes.length;
    all.indeterminate = selected > 0 && !all.checked;
  };
  all.addEventListener("change", () => {
    boxes.forEach((box) => (box.checked = all.checked));
    count();
  });
  form.addEventListener("change", count);
  count();
};

const lists = () => document.querySelectorAll("form[data-select]");
lists().forEach(prepare);
// The browser may restore the earlier selection, of the list that is there then.
window.addEventListener("pageshow", () => lists().forEach((form) => form.dispatchEvent(new Event("change"))));
// A list that a script has put in the place of another one.
document.addEventListener("replaced", (event) => event.target.querySelectorAll("form[data-select]").forEach(prepare));
