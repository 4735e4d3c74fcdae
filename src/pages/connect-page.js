// What a connect page does beyond its forms: it checks values while they are typed, opens a provider's page in a window and
// waits for it, and tells the page of the application, and no page of another origin, what has happened.
"use strict";
{
  const framed = window !== window.top;
  const host = framed ? window.parent : window.opener?.top;
  // A page on which the session has ended meanwhile has none of it.
  const known = () => document.getElementById("connect")?.dataset ?? {};
  const tell = (message) => {
    const to = known().host;
    if (host && to) host.postMessage({ type: "credvault.connect", ...message }, to);
  };
  document.documentElement.toggleAttribute("data-framed", framed);

  // The page of the same session in another window, which waits for a consent, and which the provider's page has cut off.
  const others = new BroadcastChannel(`credvault ${known().list}`);
  others.onmessage = () => { if (document.getElementById("follow")) location.assign(known().list); };

  /// Shows how a consent has ended that connected nothing. The address has it in its fragment, and in its query what it was about.
  const readFragment = () => {
    const said = new URLSearchParams(location.hash.slice(1));
    if (said.get("type") !== "credvault.authorization") return;
    const about = new URLSearchParams(location.search);
    history.replaceState(null, "", location.pathname);
    const { declined, failed, otherAccount } = known();
    const text = { denied: declined, failed, other_account: otherAccount }[said.get("outcome")];
    const place = document.getElementById("told");
    if (!text || !place) return;
    const notice = Object.assign(document.createElement("p"), { className: "notice warn", textContent: text });
    notice.setAttribute("role", "status");
    place.replaceChildren(notice);
    const event = text === declined ? "denied" : "failed";
    tell({ event, connection_id: about.get("of") ?? "", provider: about.get("at") ?? "" });
  };
  addEventListener("hashchange", readFragment);

  /// What is wrong with a value, in the words that the form brings along; empty if nothing is known to be.
  const problem = (input) => {
    const { missing, short, long } = input.form.dataset;
    const { min = "0", max, pattern, rule, json } = input.dataset;
    const value = input.value.trim();
    const length = [...value].length;
    if (!length) return input.required ? missing : "";
    if (length < Number(min)) return short.replace("{number}", min);
    if (max && length > Number(max)) return long.replace("{number}", max);
    if (json !== undefined && !object(value)) return json;
    return rule && pattern && !fits(pattern, value) ? rule : "";
  };
  const object = (text) => {
    try {
      const value = JSON.parse(text);
      return typeof value === "object" && !Array.isArray(value) ? value : null;
    } catch { return null; }
  };
  // The vault has other regular expressions than browsers, and the last word.
  const fits = (pattern, value) => {
    try { return new RegExp(pattern, "u").test(value); } catch { return true; }
  };
  const mark = (input) => {
    const text = problem(input);
    const error = document.getElementById(`${input.id}-error`);
    error.textContent = text;
    error.hidden = !text;
    if (text) input.setAttribute("aria-invalid", "true"); else input.removeAttribute("aria-invalid");
    return text;
  };
  const fields = (form) => [...form.elements].filter((each) => each.id.startsWith("f-"));
  const isChecked = (target) => target.id?.startsWith("f-") && target.form?.dataset.missing !== undefined;
  document.addEventListener("change", ({ target }) => { if (isChecked(target)) mark(target); });
  document.addEventListener("input", ({ target }) => {
    if (isChecked(target) && target.getAttribute("aria-invalid")) mark(target);
    if (target.matches("[data-filter]")) filter(target.value.trim().toLowerCase());
  });

  /// Shows the providers whose names have this in them.
  const filter = (sought) => {
    const cards = [...document.querySelectorAll(".choices > li")];
    for (const card of cards) card.hidden = !card.textContent.toLowerCase().includes(sought);
    document.getElementById("none").hidden = cards.some((card) => !card.hidden);
  };

  // A whole JSON key, pasted into one field, fills the fields that its members are named like.
  document.addEventListener("paste", (event) => {
    const { target } = event;
    if (!isChecked(target) || target.dataset.json !== undefined) return;
    const members = Object.entries(object(event.clipboardData.getData("text").trim()) ?? {});
    const given = members.flatMap(([name, value]) => {
      const input = target.form.elements[`f-${name}`];
      return input && typeof value !== "object" ? [[input, String(value)]] : [];
    });
    if (!given.length) return;
    event.preventDefault();
    for (const [input, value] of given) { input.value = value; mark(input); }
    const notice = Object.assign(document.createElement("p"), { className: "hint", textContent: target.form.dataset.wholeJson });
    notice.setAttribute("role", "status");
    target.form.prepend(notice);
  });

  // Before the listener that makes each form go once.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.dataset.missing === undefined) return;
    const wrong = fields(form).filter((input) => mark(input));
    const asWindow = form.dataset.consent !== undefined && (framed || !matchMedia("(pointer: coarse)").matches);
    if (!wrong.length && !asWindow) return wait(form);
    event.preventDefault();
    event.stopImmediatePropagation();
    if (!wrong.length) return consent(form);
    const details = wrong[0].closest("details");
    if (details) details.open = true;
    wrong[0].focus();
  }, true);

  /// Says on the button that the provider is asked, which may take a while.
  const wait = (form) => {
    const button = form.querySelector("button.primary");
    if (!form.dataset.waiting) return;
    button.dataset.label = button.textContent;
    button.textContent = form.dataset.waiting;
  };
  // Back in the history, the page is as it was.
  addEventListener("pageshow", () => {
    for (const button of document.querySelectorAll("button[data-label]")) button.textContent = button.dataset.label;
  });

  /// Looks whether the window of a consent is still there. One that the provider's page has cut off seems to be closed: what becomes of
  /// the consent, a page in a frame does not learn then.
  let heard = false;
  const watch = (opened) => {
    const [place, follow] = [document.getElementById("closed"), document.getElementById("follow")];
    if (heard || !place) return;
    if (opened && !opened.closed) return void setTimeout(watch, 500, opened);
    place.hidden = false;
    if (framed && opened) tell({ event: "failed", connection_id: follow.dataset.connection, provider: follow.dataset.provider });
  };

  const WINDOW = "popup,width=560,height=720";
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("#follow a[target]");
    const opened = link && open(link.href, "_blank", WINDOW);
    if (!opened) return;
    event.preventDefault();
    document.getElementById("closed").hidden = true;
    watch(opened);
  });

  /// Begins a consent in a window. That has to be opened at once, for browsers permit it to a click only; where it leads to, the
  /// vault says afterwards.
  const consent = async (form) => {
    form.querySelector("button").disabled = true;
    const opened = open("about:blank", "_blank", WINDOW);
    const body = new URLSearchParams(new FormData(form));
    body.set("way", "window");
    const answer = await fetch(form.action, { method: "POST", body }).catch(() => null);
    if (!answer) {
      opened?.close();
      return location.reload();
    }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.title = page.title;
    document.querySelector("main").replaceWith(page.querySelector("main"));
    dress();
    const link = document.querySelector("#follow a[target]");
    if (link && opened) opened.location.replace(link.href); else opened?.close();
    watch(opened);
    document.querySelector("#follow a, [aria-invalid], main a")?.focus();
  };

  const complete = (result, page) => {
    const { list, token } = known();
    const form = Object.assign(document.createElement("form"), { method: "post", action: `${list}/complete`, hidden: true });
    for (const [name, value] of Object.entries({ token, result, page })) {
      form.append(Object.assign(document.createElement("input"), { type: "hidden", name, value }));
    }
    document.body.append(form);
    form.submit();
  };

  // Only a window of the vault's own says how a consent has ended.
  addEventListener("message", ({ origin, source, data }) => {
    if (origin !== location.origin || source === window || data?.type !== "credvault.authorization") return;
    heard = true;
    source?.close();
    const { list } = known();
    const page = data.page?.startsWith(`${location.origin}${list}`) ? data.page : "";
    if (data.outcome === "returned") complete(data.result, page);
    else if (data.outcome === "connected") location.assign(page || list);
    else location.assign(`${list}${page && new URL(page).search}#type=credvault.authorization&outcome=${data.outcome}`);
  });

  /// Does what the content of a page asks for.
  const dress = () => {
    for (const form of document.querySelectorAll("form[data-check]")) form.noValidate = true;
    // The pages of others do not come into this frame.
    if (framed) for (const link of document.querySelectorAll("footer.site a, #home a")) link.target = link.closest("#home") ? "_top" : "_blank";
    const { event, connection, provider, list } = known();
    tell({ event: "ready" });
    if (event) {
      tell({ event, connection_id: connection, provider });
      others.postMessage("changed");
      // Loading the page again must not say it once more.
      if (list && event !== "closed") history.replaceState(null, "", list);
    }
    const follow = document.querySelector("#follow a.primary:not([target])");
    if (follow) location.replace(follow.href);
    const home = document.querySelector("#home a");
    // The page that has opened this window may close it.
    if (home && !framed) setTimeout(() => location.replace(home.href), host ? 1500 : 0);
  };

  readFragment();
  dress();
  // When the time of the session is over, the list says so, also to the page of the application.
  const { seconds, list, event } = known();
  if (seconds && event !== "closed") setTimeout(() => location.replace(list), seconds * 1000);
  if (framed) new ResizeObserver(() => tell({ event: "resize", height: Math.ceil(document.body.getBoundingClientRect().height) })).observe(document.body);
}
