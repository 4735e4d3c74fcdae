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

  /// Shows how a consent has ended that connected nothing. The address has it in its fragment.
  const readFragment = () => {
    const said = new URLSearchParams(location.hash.slice(1));
    if (said.get("type") !== "credvault.authorization") return;
    history.replaceState(null, "", location.pathname + location.search);
    const { declined, failed } = known();
    const text = { denied: declined, failed }[said.get("outcome")];
    const place = document.getElementById("told");
    if (!text || !place) return;
    const notice = Object.assign(document.createElement("p"), { className: "notice warn", textContent: text });
    notice.setAttribute("role", "status");
    place.replaceChildren(notice);
    tell({ event: said.get("outcome") });
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
    if (!wrong.length && !asWindow) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (!wrong.length) return consent(form);
    const details = wrong[0].closest("details");
    if (details) details.open = true;
    wrong[0].focus();
  }, true);

  /// Begins a consent in a window. That has to be opened at once, for browsers permit it to a click only; where it leads to, the
  /// vault says afterwards.
  const consent = async (form) => {
    form.querySelector("button").disabled = true;
    const opened = open("about:blank", "_blank", "popup,width=560,height=720");
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
    document.querySelector("#follow a, [aria-invalid], main a")?.focus();
  };

  const complete = (result) => {
    const { list, token } = known();
    const form = Object.assign(document.createElement("form"), { method: "post", action: `${list}/complete`, hidden: true });
    for (const [name, value] of Object.entries({ token, result })) {
      form.append(Object.assign(document.createElement("input"), { type: "hidden", name, value }));
    }
    document.body.append(form);
    form.submit();
  };

  // Only a window of the vault's own says how a consent has ended.
  addEventListener("message", ({ origin, source, data }) => {
    if (origin !== location.origin || source === window || data?.type !== "credvault.authorization") return;
    source?.close();
    const { list } = known();
    if (data.outcome === "returned") complete(data.result);
    else if (data.outcome === "connected") location.assign(data.page?.startsWith(`${location.origin}${list}?`) ? data.page : list);
    else location.assign(`${list}#type=credvault.authorization&outcome=${data.outcome}`);
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
