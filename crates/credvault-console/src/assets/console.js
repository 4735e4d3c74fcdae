// What the pages cannot do alone: a rotation's progress that follows, and a change of many that continues by itself until
// the operator stops it. Without this script the same is done by loading a page again and by a button.
"use strict";

// The page before must not be sent twice by a second click.
for (const form of document.querySelectorAll('form[method="post"]')) {
  form.addEventListener("submit", (event) => {
    // After the browser has read which button was pressed.
    setTimeout(() => { for (const button of form.querySelectorAll("button")) button.disabled = true; });
    if (event.submitter?.classList.contains("stop")) event.preventDefault();
  });
}
addEventListener("pageshow", (event) => {
  if (event.persisted) for (const button of document.querySelectorAll("button:disabled")) button.disabled = false;
});

// A change continues with its next step, unless the operator presses Stop before.
for (const form of document.querySelectorAll("form[data-auto]")) {
  const stop = form.querySelector("button.stop");
  const next = setTimeout(() => form.requestSubmit(), Number(form.dataset.auto));
  stop.hidden = false;
  stop.addEventListener("click", () => {
    clearTimeout(next);
    stop.hidden = true;
    form.querySelector("button:not(.stop)").focus();
  });
}

// What is in progress is asked for again, until the answer does not say where.
const follow = (part) => {
  if (!part.dataset.live) return;
  setTimeout(async () => {
    let fresh = null;
    try {
      const response = await fetch(part.dataset.live, { headers: { accept: "text/html" } });
      if (response.ok) fresh = new DOMParser().parseFromString(await response.text(), "text/html").getElementById(part.id);
    } catch {
      // The vault or the console does not answer at the moment.
    }
    if (fresh) part.replaceWith(fresh);
    follow(fresh ?? part);
  }, Number(part.dataset.every));
};
for (const part of document.querySelectorAll("[data-live]")) follow(part);
