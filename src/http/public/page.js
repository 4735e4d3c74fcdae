// Tells the page that opened this window how the consent ended, and only that page's origin. Served as a file, because
// the policy of these pages permits no script in them.
"use strict";

// A code or a state must not stay in the address bar, the history or a Referer header, and loading this page again must
// not bring it back a second time. The page of a consent that has come back has neither in its address.
if (!location.pathname.startsWith("/oauth/return/")) history.replaceState(null, "", "/");

// A second click would only be told that the first one was made.
for (const form of document.forms) {
  form.addEventListener("submit", () => {
    for (const button of document.querySelectorAll("button")) button.disabled = true;
  });
}

const { origin, outcome, reason, result } = document.querySelector("main").dataset;
const onward = document.getElementById("onward");
if (onward && window.opener) {
  window.opener.postMessage({ type: "credvault.authorization", outcome, reason, result }, origin);
  // The page that was told closes this window. A page of another origin is told nothing and does not, nor does one that
  // is gone: then the person goes on by hand.
  onward.hidden = true;
  setTimeout(() => { onward.hidden = false; }, 2000);
} else if (onward) {
  // Opened by no page, or cut off from it by the provider's: the same goes on in the address.
  location.replace(onward.querySelector("a").href);
}
