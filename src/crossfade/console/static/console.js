// Keeps the inbox current: the count in the title, the remaining times, and a line when something new came.
// Everything works without it. It never reloads the page by itself, so nothing typed is lost.
"use strict";
const inbox = document.getElementById("inbox");
const fresh = document.getElementById("fresh");
const shift = Number(inbox.dataset.now) - Date.now();
const EVERY_MS = 10_000;

function span(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  const parts = [];
  let left = Math.floor(seconds);
  for (const [size, name] of [[86400, "day"], [3600, "h"], [60, "min"]]) {
    const count = Math.floor(left / size);
    left -= count * size;
    if (count) parts.push(`${count} ${name}${name === "day" && count > 1 ? "s" : ""}`);
  }
  return parts.slice(0, 2).join(" ");
}

function tick() {
  for (const time of document.querySelectorAll("time.deadline")) {
    const seconds = (Date.parse(time.dateTime) - Date.now() - shift) / 1000;
    const text = seconds < 1 ? "now" : `in ${span(seconds)}`;
    if (time.textContent !== text) time.textContent = text;
    time.closest(".card").classList.toggle("urgent", seconds < 120);
  }
}

async function look() {
  if (document.hidden) return;
  const answer = await fetch("/inbox/count", {headers: {accept: "application/json"}}).catch(() => null);
  if (!answer || !answer.ok) return;
  const {count, newest} = await answer.json();
  document.title = `${count ? `(${count}) ` : ""}Inbox · Crossfade`;
  if (newest > Number(inbox.dataset.newest)) fresh.hidden = false;
}

setInterval(tick, 1000);
setInterval(look, EVERY_MS);
document.addEventListener("visibilitychange", look);
