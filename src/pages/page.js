// Tells the page that opened this window how a consent ended, and only that page's origin; and makes forms more
// comfortable. Served as a file, because the policy of the pages permits no script in them.
"use strict";

// A code or a state must not stay in the address bar, the history or a Referer header, and loading this page again must
// not bring it back a second time. Other pages have neither in their address.
if (/^\/oauth\/(start|callback|confirm)\b/.test(location.pathname)) history.replaceState(null, "", "/");
// A window that was cut off from the page that opened it has no use for the result in its fragment.
if (/^\/connect\/s\/[^/]+\/window$/.test(location.pathname) && location.hash) history.replaceState(null, "", location.pathname);

// A second click would only learn that the first one was made. Back in the history, the buttons work again.
const buttons = (disabled) => { for (const button of document.querySelectorAll("form button")) button.disabled = disabled; };
for (const form of document.forms) form.addEventListener("submit", () => buttons(true));
addEventListener("pageshow", () => buttons(false));

// A secret is typed without being shown, unless the person wants to see it.
for (const input of document.querySelectorAll("input[data-show]")) {
  const button = Object.assign(document.createElement("button"), { type: "button", className: "button" });
  const show = (shown) => {
    input.type = shown ? "text" : "password";
    button.textContent = shown ? input.dataset.hide : input.dataset.show;
  };
  button.setAttribute("aria-controls", input.id);
  button.addEventListener("click", () => show(input.type === "password"));
  input.form?.addEventListener("submit", () => show(false));
  input.after(button);
  show(false);
}

const { origin, outcome, reason, result } = document.querySelector("main").dataset;
const onward = document.getElementById("onward");
// What is for a page of the vault's own is of no use to an application's page that has opened this window: then the page was here.
const isHeard = () => {
  try { return origin !== location.origin || window.opener.location.origin === origin; } catch { return false; }
};
if (onward && window.opener && isHeard()) {
  // A connect page is the vault's own, and goes to the address that says what was done.
  const page = origin === location.origin ? onward.href.split("#")[0] : undefined;
  window.opener.postMessage({ type: "credvault.authorization", outcome, reason, result, page }, origin);
  // The page that has the message closes this window. A page of another origin gets none and does not, nor does one
  // that is gone: then the person continues by hand.
  onward.hidden = true;
  setTimeout(() => { onward.hidden = false; }, 2000);
} else if (onward) {
  // No page that waits has opened this window, or the provider's page has cut it off: the same message goes along in the address.
  location.replace(onward.href);
}
