// A custom element that shows a connect page of the vault in a page of another site:
//
//   <credvault-connect session="URL from CreateConnectSession"></credvault-connect>
//
// It dispatches the events below, each with `detail: { connectionId, provider }`. Messages count from the origin of the session's
// URL only, and there from the page in its own frame, or in the window that this opens where the frame keeps no cookies.
"use strict";
{
  const EVENTS = ["ready", "connected", "tested", "changed", "disconnected", "removed", "denied", "failed", "closed", "expired"];

  class CredvaultConnect extends HTMLElement {
    static observedAttributes = ["session"];
    #frame = null;
    #origin = "";
    #shown = "";
    #receive = (event) => this.#received(event);

    connectedCallback() {
      addEventListener("message", this.#receive);
      this.#show();
    }

    disconnectedCallback() {
      removeEventListener("message", this.#receive);
      this.#frame?.remove();
      this.#frame = null;
    }

    attributeChangedCallback() {
      if (this.isConnected) this.#show();
    }

    get session() {
      return this.getAttribute("session") ?? "";
    }

    set session(url) {
      this.setAttribute("session", url);
    }

    #show() {
      // The URL opens the page once, so it is loaded once.
      if (this.#frame && this.#shown === this.session) return;
      this.#frame?.remove();
      this.#frame = null;
      if (!this.session) return;
      const url = new URL(this.session);
      if (url.protocol !== "https:" && url.protocol !== "http:") throw new TypeError("session must be the URL that CreateConnectSession returned");
      this.#origin = url.origin;
      this.#shown = this.session;
      const frame = document.createElement("iframe");
      frame.title = this.getAttribute("label") ?? "Connections";
      frame.referrerPolicy = "no-referrer";
      Object.assign(frame.style, { display: "block", width: "100%", height: "40rem", border: "0" });
      frame.src = url.href;
      this.#frame = frame;
      this.append(frame);
    }

    #received({ origin, source, data }) {
      const own = this.#frame?.contentWindow;
      if (!own || origin !== this.#origin || (source !== own && source?.opener !== own)) return;
      if (data?.type !== "credvault.connect") return;
      if (data.event === "resize") this.#frame.style.height = `${Math.max(0, Number(data.height) || 0)}px`;
      if (!EVENTS.includes(data.event)) return;
      const detail = { connectionId: data.connection_id ?? "", provider: data.provider ?? "" };
      this.dispatchEvent(new CustomEvent(data.event, { detail }));
    }
  }

  if (!customElements.get("credvault-connect")) customElements.define("credvault-connect", CredvaultConnect);
}
