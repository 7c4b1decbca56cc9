// Adds to the worker's page what a page alone cannot do: replies appear while they are written, keys choose and confirm,
// and an unsent message survives a lost network. Without this file the page works by reloading itself.
"use strict";

(() => {
  document.documentElement.classList.add("scripted");
  let source = null;

  const find = (selector) => document.querySelector(selector);

  const pause = (milliseconds) => new Promise((go) => setTimeout(go, milliseconds));

  const announce = find("#announce");

  /** Say once, to who cannot see it, that both replies are there, or kept back. Cleared first, or the same words would
   * not be said. */
  function tell() {
    announce.textContent = "";
    const said = find("form.choose") ? announce.dataset.ready : find("#withheld")?.textContent;
    if (said) setTimeout(() => (announce.textContent = said), 100);
  }

  /** Ask the server for the page as it is now, and put its main part in place of this one. */
  async function refresh() {
    const answer = await fetch("/work", { headers: { Accept: "text/html" } });
    if (answer.status >= 500) throw new Error(`status ${answer.status}`);
    if (!answer.ok) return location.reload();
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const kept = find(".kept"); // what was typed and refused is on no other page
    find("#page").replaceWith(fresh.querySelector("#page"));
    if (kept) find("#now").prepend(kept);
    find(".count").replaceWith(fresh.querySelector(".count"));
    begin();
    tell();
  }

  /** The same, for as long as it takes: a server that is away comes back. */
  async function refreshAtLast() {
    for (;;) {
      try {
        return await refresh();
      } catch {
        find("#note").textContent = announce.dataset.offline;
        await pause(2000);
      }
    }
  }

  /** Show replies as they grow; then ask for the page that lets the worker choose. */
  function watch(waiting) {
    const note = find("#note");
    const quiet = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const slow = setTimeout(() => find("#slow")?.classList.add("shown"), 30000);
    source = new EventSource(waiting.dataset.stream + (quiet ? "?only=end" : ""));
    source.addEventListener("text", (event) => {
      const now = JSON.parse(event.data);
      for (const side of ["a", "b"]) {
        const text = find(`#reply-${side} .text`);
        // After a lost connection the server may be behind what stands here; text never goes back.
        const fresh = document.createElement("div");
        fresh.innerHTML = now[side];
        if (fresh.textContent.length >= text.textContent.trimEnd().length) text.replaceChildren(...fresh.childNodes);
      }
      if (note.textContent !== now.note) note.textContent = now.note;
    });
    const over = () => {
      clearTimeout(slow);
      source.close();
      refreshAtLast();
    };
    source.addEventListener("ready", over);
    source.addEventListener("failed", over);
    // A stream that is cut is opened again by the browser; one that is refused is not.
    source.addEventListener("error", () => {
      if (source.readyState === EventSource.CLOSED) setTimeout(over, 2000);
    });
  }

  /** Keep an unsent message in this tab until it is sent, and say how much room is left. */
  function keepDraft(box) {
    const name = `draft-${box.dataset.draft}`;
    const left = find("#left");
    const count = () => {
      const room = left.dataset.most - box.value.length;
      left.textContent = room < 500 ? announce.dataset.room.replace("{n}", room) : "";
    };
    if (!box.value) box.value = sessionStorage.getItem(name) ?? "";
    box.addEventListener("input", () => {
      sessionStorage.setItem(name, box.value);
      count();
    });
    box.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) box.form.requestSubmit();
    });
    count();
    if (matchMedia("(hover: hover)").matches) box.focus({ preventScroll: true });
  }

  /** Replies stay blurred until the worker asks for them, and then in this tab as long as they are on a page. */
  function veil(box) {
    const name = `unveiled-${box.dataset.veil}`;
    const apply = () => {
      for (const text of box.closest(".veiled").querySelectorAll(".text")) text.inert = !box.checked;
    };
    box.checked = sessionStorage.getItem(name) !== null;
    box.addEventListener("change", () => {
      box.checked ? sessionStorage.setItem(name, "1") : sessionStorage.removeItem(name);
      apply();
    });
    apply();
  }

  function begin() {
    document.querySelectorAll("[data-veil]").forEach(veil);
    const waiting = find("#waiting");
    if (waiting) watch(waiting);
    const draft = find("textarea[data-draft]");
    if (draft) keepDraft(draft);
  }

  document.addEventListener("keydown", (event) => {
    const form = find("form.choose");
    if (!form || event.altKey || event.ctrlKey || event.metaKey) return;
    const box = form.querySelector("[data-veil]");
    if (/^[1-8]$/.test(event.key) && box && !box.checked) {
      box.reportValidity(); // nobody chooses between replies that they have not seen
      event.preventDefault();
    } else if (/^[1-8]$/.test(event.key)) {
      const radio = find(`#b${event.key}`);
      radio.checked = true;
      radio.focus();
      event.preventDefault();
    } else if (event.key === "Enter" && event.target === document.body) {
      form.requestSubmit();
    }
  });

  // A second press while a form is on its way would only show an error.
  document.addEventListener("submit", (event) => {
    const button = event.target.querySelector("button");
    if (button.getAttribute("aria-disabled") === "true") return event.preventDefault();
    button.setAttribute("aria-disabled", "true");
  });

  // Going back may bring a page out of the browser's memory; the truth is on the server.
  addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });

  addEventListener("pagehide", () => source?.close());

  begin();
})();
