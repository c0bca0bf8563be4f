// Moves what moves: every two seconds, while the page can be seen, the texts that the server wrote are asked for again.
// <main data-live-url="/api/v1/live"> names the resource, whose answer has {"shown": {name: text}}. An element with
// data-live="name" gets that text; one with data-live-state="name" gets it as data-state, which the style sheet reads; a link
// with data-live-link="name" leads to that page of ours.
"use strict";
(() => {
  const main = document.getElementById("main");
  const url = main.dataset.liveUrl;
  document.documentElement.dataset.script = "on";
  if (!url) return;
  const PAUSE_MS = 2000, DEADLINE_MS = 5000;
  const stale = document.getElementById("unreachable");
  let timer = 0, asking = false;

  const put = (shown) => {
    for (const element of main.querySelectorAll("[data-live]")) {
      const text = shown[element.dataset.live];
      if (text !== undefined && element.textContent !== text) element.textContent = text;
    }
    for (const element of main.querySelectorAll("[data-live-state]")) {
      const state = shown[element.dataset.liveState];
      if (state !== undefined && element.dataset.state !== state) element.dataset.state = state;
    }
    for (const element of main.querySelectorAll("a[data-live-link]")) {
      const link = shown[element.dataset.liveLink];
      if (link?.startsWith("/popular")) element.setAttribute("href", link);
    }
    for (const element of main.querySelectorAll("[data-live-points]")) {
      element.setAttribute("points", shown[element.dataset.livePoints] ?? "");
    }
  };

  const ask = async () => {
    if (asking || document.hidden) return;
    asking = true;
    clearTimeout(timer);
    try {
      const answer = await fetch(url, { signal: AbortSignal.timeout(DEADLINE_MS), redirect: "error" });
      if (!answer.ok) throw new Error(String(answer.status));
      put((await answer.json()).shown);
      main.dataset.reached = "yes";
      if (stale) stale.hidden = true;
    } catch {
      main.dataset.reached = "no"; // greyed by the style sheet; the last texts stay
      if (stale) stale.hidden = false;
    } finally {
      asking = false;
      timer = setTimeout(ask, PAUSE_MS);
    }
  };

  document.addEventListener("visibilitychange", ask);
  ask();
})();
