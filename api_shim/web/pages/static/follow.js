// Follows a run: polls its state and its new log lines every 1.5 seconds. When it has ended, the page shows its result
// at once, and polls for its last lines.
"use strict";

const EVERY = 1500;
const LATER = 5000;
// The last log lines arrive after the run has ended: stop after this many polls without a new line.
const QUIET = 2;

let log = document.querySelector("[data-follow]");

async function page(address) {
  // The last header marks what nobody has asked for, so that it does not keep somebody signed in who has left.
  const answer = await fetch(address, { headers: { Accept: "text/html", "X-Signoff-Follows": "1" } });
  // The session has ended or the result was deleted: the reloaded page says so.
  if (answer.redirected || (answer.status >= 400 && answer.status < 500)) location.reload();
  if (!answer.ok) throw new Error(answer.statusText);
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

// Adds the lines that are not shown yet to the last section if they are of its grouping, else as sections. Returns how
// many there were.
function append(parts) {
  const follows = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  let count = 0;
  for (const part of parts) {
    part.querySelectorAll("li").forEach((line) => document.getElementById(line.id) && line.remove());
    const lines = [...part.querySelectorAll("li")];
    if (!lines.length) continue;
    count += lines.length;
    const last = log.lastElementChild;
    if (last?.dataset.grouping === part.dataset.grouping) last.querySelector("ol").append(...lines);
    else log.append(part);
  }
  // Keep the position of a reader who has scrolled back.
  if (follows) log.scrollTop = log.scrollHeight;
  return count;
}

function since() {
  const times = log.querySelectorAll("li > time");
  return times.length ? encodeURIComponent(times[times.length - 1].dateTime) : "";
}

async function finish() {
  const whole = await page(location.href);
  const [left, top] = [window.scrollX, window.scrollY];
  const [from, follows] = [log.scrollTop, log.scrollHeight - log.scrollTop - log.clientHeight < 40];
  const focused = document.activeElement?.id;
  document.title = whole.title;
  document.getElementById("main").replaceChildren(...whole.getElementById("main").childNodes);
  log = document.getElementById("run-log");
  log.scrollTop = follows ? log.scrollHeight : from;
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  window.scrollTo(left, top);
  const status = document.getElementById("run-state").dataset.status;
  setTimeout(() => (document.getElementById("run-said").textContent = `The run has ended: ${status}.`), 100);
}

let ended = false;
let quiet = 0;

async function follow() {
  let next = EVERY;
  try {
    if (!document.hidden) {
      const news = await page(log.dataset.follow + since());
      const state = news.getElementById("run-state");
      document.getElementById("run-state").replaceWith(state);
      const count = append([...news.querySelectorAll("#new-lines > .part")]);
      if ("final" in state.dataset && !ended) {
        await finish();
        ended = true;
      }
      quiet = ended && !count ? quiet + 1 : 0;
      // The page of a run that ended long ago has no more to ask for.
      if (quiet >= QUIET || !log.dataset.follow) return;
    }
  } catch {
    next = LATER;
  }
  setTimeout(follow, next);
}

if (log) {
  log.scrollTop = log.scrollHeight;
  setTimeout(follow, EVERY);
}
