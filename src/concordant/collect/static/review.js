// Adds keys to the reviewer's page: a verdict, the note, the replies, taking back. Without this file its buttons do.
"use strict";

(() => {
  document.documentElement.classList.add("scripted");
  let sent = false;

  const find = (selector) => document.querySelector(selector);

  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const note = find("#note");
    if (event.target === note) {
      if (event.key === "Escape") note.blur();
      return;
    }
    const pressed = event.key.toLowerCase();
    if (/^[1-5]$/.test(pressed)) find(`form.verdict button[value="${pressed}"]`)?.click();
    else if (pressed === "u") find("form.back button")?.click();
    else if (pressed === "n" && note) note.focus();
    else if (pressed === "r") {
      const folds = [...document.querySelectorAll("details.answer")];
      const open = folds.every((one) => one.open);
      for (const one of folds) one.open = !open;
    } else return;
    event.preventDefault();
  });

  // A second press while a form is on its way would only show an error.
  document.addEventListener("submit", (event) => {
    if (sent) event.preventDefault();
    sent = true;
  });

  // Going back may bring a page out of the browser's memory; the truth is on the server.
  addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });
})();
