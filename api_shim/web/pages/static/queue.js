// Keeps the number of requests that wait, and the list of them, up to date while the page can be seen: by events of the
// server, or else by asking now and then. Without JavaScript there is a link to reload the list.
"use strict";

{
  const CHANGES = "/signoff/approval-queue/changes";
  const EVERY = 20000;
  // Marks what nobody has asked for, so that it does not keep somebody signed in who has left.
  const FOLLOWS = { "X-Signoff-Follows": "1" };
  const badge = document.getElementById("waiting");
  let events = null;
  let asking = null;
  let shown = "";

  async function refresh() {
    const list = document.getElementById("requests");
    if (!list) return;
    const answer = await fetch(location.href, { headers: { Accept: "text/html", ...FOLLOWS } });
    if (answer.redirected) return;
    if (!answer.ok) throw new Error(answer.statusText);
    const whole = new DOMParser().parseFromString(await answer.text(), "text/html");
    const anew = whole.getElementById("requests");
    if (!anew) return;
    const ids = new Set([...list.querySelectorAll("input[name=id]:checked")].map((box) => box.value));
    const focused = document.activeElement;
    const within = list.contains(focused) ? focused.getAttribute("href") ?? focused.value : null;
    list.replaceChildren(...anew.childNodes);
    document.querySelector("nav.views").replaceWith(whole.querySelector("nav.views"));
    list.querySelectorAll("input[name=id]").forEach((box) => (box.checked = ids.has(box.value)));
    list.dispatchEvent(new Event("replaced", { bubbles: true }));
    if (within) {
      [...list.querySelectorAll("a, input, button")]
        .find((each) => (each.getAttribute("href") ?? each.value) === within)
        ?.focus({ preventScroll: true });
    }
    document.getElementById("requests-said").textContent = "The list has been updated.";
  }

  function tell(counts) {
    badge.hidden = !counts.mine;
    badge.firstElementChild.textContent = counts.mine;
    // The first answer tells what the page shows already, unless it has changed since.
    const list = document.getElementById("requests");
    const known = shown || list?.dataset.counts;
    shown = JSON.stringify([counts.mine, counts.others]);
    // What could not be loaded is loaded with the next answer.
    if (known !== shown) refresh().catch(() => (shown = "changed"));
  }

  async function ask() {
    const answer = await fetch(CHANGES, { headers: { Accept: "application/json", ...FOLLOWS } }).catch(() => null);
    // The session has ended.
    if (answer?.redirected) return stop();
    if (answer?.ok) tell(await answer.json());
  }

  function stop() {
    events?.close();
    clearInterval(asking);
    events = asking = null;
    // What changes meanwhile is not told, and the numbers may be the same afterwards.
    shown = "changed";
  }

  function poll() {
    stop();
    asking = setInterval(ask, EVERY);
  }

  function start() {
    if (events || asking) return;
    events = new EventSource(CHANGES);
    let first = true;
    events.onmessage = (event) => {
      // What changes without another number, as an edited request, is an event as well.
      if (!first) shown = "changed";
      first = false;
      tell(JSON.parse(event.data));
    };
    events.addEventListener("over", stop);
    // A browser connects again by itself, unless it was refused.
    events.onerror = () => events?.readyState === EventSource.CLOSED && poll();
  }

  // A browser has few connections to one server: a page that nobody sees holds none.
  const follow = () => (document.hidden ? stop() : start());
  if (badge) {
    document.addEventListener("visibilitychange", follow);
    window.addEventListener("pagehide", stop);
    window.addEventListener("pageshow", follow);
    follow();
  }
}
