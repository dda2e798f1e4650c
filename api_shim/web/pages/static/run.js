// The form that runs a Job: shows only the fields that the schedule type needs, labels the button with what it does,
// and previews the crontab while it is typed. Without JavaScript all fields are shown and a button loads the preview.
"use strict";

const form = document.getElementById("run");
const go = document.getElementById("go");
const look = document.getElementById("look");
const shown = document.getElementById("preview");

const chosen = () => form.elements.interval.value;
const dryRun = () => Boolean(form.dataset.dryrun && document.getElementById(form.dataset.dryrun).checked);

function label() {
  const what = chosen() === "immediately" ? "Run Job Now" : "Schedule Job";
  const asked = form.dataset.approval && !dryRun() ? `Request to ${what}` : what;
  go.textContent = dryRun() ? `${asked} (DRYRUN)` : asked;
}

function fit() {
  form.querySelectorAll("[data-for]").forEach((part) => {
    part.hidden = !part.dataset.for.split(" ").includes(chosen());
  });
  label();
}

let waiting;
let asked = 0;

async function preview() {
  const text = form.elements.crontab.value.trim();
  const mine = (asked += 1);
  if (!text) return shown.replaceChildren();
  const query = new URLSearchParams({
    crontab: text,
    time_zone: form.elements.time_zone.value,
    start_time: form.elements.start_time.value,
  });
  const answer = await fetch(`/signoff/crontab?${query}`).catch(() => null);
  // Ignore the answer if the session has ended or the server failed.
  if (!answer || answer.redirected || ![200, 400].includes(answer.status)) return;
  const told = new DOMParser().parseFromString(await answer.text(), "text/html");
  if (mine === asked) shown.replaceChildren(...told.body.childNodes);
}

form.querySelectorAll("[data-plain]").forEach((part) => (part.hidden = true));
form.addEventListener("change", fit);
if (look) {
  // Enter in a field submits the form instead of loading the preview.
  look.type = "button";
  ["crontab", "time_zone", "start_time"].forEach((name) =>
    form.elements[name].addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(preview, 250);
    }),
  );
  if (form.elements.crontab.value) preview();
}
// The browser may restore the earlier choice when the user navigates back.
window.addEventListener("pageshow", fit);
fit();
