// Keys: "/" goes to the search field, "g" then "q" opens the approval queue, "a" asks to approve the request on the page.
// They do nothing while somebody types, nor with Ctrl, Alt or Meta; the button in the footer turns them off.
"use strict";

{
  const SOON = 1000;
  const OFF = "signoff-keys-off";
  const toggle = document.getElementById("keys");
  const off = () => localStorage.getItem(OFF) !== null;
  let lastG = -SOON;

  const types = (element) => element.isContentEditable || element.matches("input, select, textarea");

  const act = {
    "/": () => {
      const search = document.querySelector("main input[type=search]");
      search?.focus();
      return search;
    },
    a: () => {
      const asks = document.querySelector("[data-approve]");
      if (asks) location.assign(asks.dataset.approve);
      return asks;
    },
    q: (now) => {
      if (now - lastG > SOON) return false;
      location.assign("/signoff/approval-queue");
      return true;
    },
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.repeat || types(event.target) || !toggle || off()) return;
    if (act[event.key]?.(event.timeStamp)) event.preventDefault();
    lastG = event.key === "g" ? event.timeStamp : -SOON;
  });

  const label = () => (toggle.textContent = off() ? "Turn these keys on" : "Turn these keys off");
  if (toggle) {
    toggle.hidden = false;
    label();
    toggle.addEventListener("click", () => {
      if (off()) localStorage.removeItem(OFF);
      else localStorage.setItem(OFF, "yes");
      label();
    });
  }
}
