// Enhancements for all pages; every page works without them.
"use strict";

// A form with data-once is submitted once, however often its button is clicked.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("[data-once]")) return;
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "yes";
  // Disable the buttons after this event, so that the value of the clicked one is still sent.
  setTimeout(() => form.querySelectorAll("button").forEach((button) => (button.disabled = true)), 0);
});

// Make the form usable again when the user navigates back.
window.addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  document.querySelectorAll("[data-once]").forEach((form) => {
    delete form.dataset.sent;
    form.querySelectorAll("button").forEach((button) => (button.disabled = false));
  });
});

// Tell the server the time zone of this browser; it shows times in it to who prefers no other.
{
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  const secure = location.protocol === "https:" ? "; secure" : "";
  if (timeZone) document.cookie = `signoff_zone=${timeZone}; path=/signoff; max-age=31536000; samesite=lax${secure}`;
}
