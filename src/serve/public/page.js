// Tells the page that opened this window how the consent ended, and only that page's origin. Served as a file, because
// the policy of these pages permits no script in them.
"use strict";

// The code must not stay in the address bar, the history or a Referer header.
history.replaceState(null, "", location.pathname);

// A second click would only be told that the first one was made.
document.querySelector("form")?.addEventListener("submit", (event) => {
  event.target.querySelector("button").disabled = true;
});

const { origin, outcome, reason, result } = document.querySelector("main").dataset;
if (origin) {
  if (window.opener) {
    window.opener.postMessage({ type: "credvault.authorization", outcome, reason, result }, origin);
    window.close();
  } else {
    document.getElementById("alone").hidden = false;
  }
}
