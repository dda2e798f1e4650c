// Lists of objects in forms: a field above each list searches all objects of its source as one types. What is chosen
// stays. Without JavaScript the list alone is there.
"use strict";

document.querySelectorAll("select[data-objects]").forEach((list) => {
  const search = document.createElement("input");
  search.type = "search";
  search.autocomplete = "off";
  search.placeholder = "Search";
  search.setAttribute("aria-label", `Search ${list.labels[0].firstChild.textContent.trim()}`);
  search.setAttribute("aria-controls", list.id);
  const whole = [...list.options];
  let waiting;
  let asked = 0;

  async function look() {
    const text = search.value.trim();
    const mine = (asked += 1);
    const offer = (options) => {
      const kept = [...list.options].filter((option) => option.selected || !option.value);
      const known = new Set(kept.map((option) => option.value));
      // What is kept stays in its place: a list that loses its chosen option chooses another one.
      [...list.options].filter((option) => !kept.includes(option)).forEach((option) => option.remove());
      options
        .filter((option) => !known.has(option.value))
        .forEach((option) => list.add(new Option(option.text, option.value)));
    };
    if (!text) return offer(whole);
    const answer = await fetch(`${list.dataset.objects}&q=${encodeURIComponent(text)}`).catch(() => null);
    // Ignore the answer if the session has ended or the server failed.
    if (!answer || answer.redirected || !answer.ok) return;
    const told = new DOMParser().parseFromString(`<select>${await answer.text()}</select>`, "text/html");
    if (mine === asked) offer([...told.querySelectorAll("option")]);
  }

  search.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(look, 250);
  });
  // Enter would submit the form.
  search.addEventListener("keydown", (event) => event.key === "Enter" && event.preventDefault());
  list.before(search);
});
