// The page works without this script. It keeps the page current, filters while the user types, and adds keys.
"use strict";
(() => {
  const $ = (selector, of = document) => of.querySelector(selector);
  const $$ = (selector, of = document) => [...of.querySelectorAll(selector)];
  const main = () => $("#main");
  const screen = () => main().dataset.screen;

  // ---- What changes is shown at once.

  let source, busy = false, pending = null, versions = "";

  function connect() {
    if (source || document.hidden || screen() === "door") return;
    source = new EventSource("/live?shown=" + main().dataset.shown); // the server says at once if this is old
    source.onopen = () => status("");
    source.onmessage = (event) => {
      const update = JSON.parse(event.data);
      versions = update.versions || versions;
      ask(update);
    };
    source.onerror = () => {
      disconnect();
      setTimeout(connect, 2000);
      lost();
    };
  }

  // lost says that the page may be old, and finds out why. A session that has ended is renewed by loading the page again, which
  // leads to the login and back.
  async function lost() {
    if ($("#live").hidden) status("Connection lost, trying again");
    const answer = await fetch("/rows").catch(() => null); // null: the server cannot be reached
    if (answer?.status !== 401) return;
    if ($(".who")) location.reload();
    else status("berth ui was restarted; open the address that it printed");
  }

  // A browser opens only a few connections to one address, so hidden tabs close theirs.
  function disconnect() {
    source?.close();
    source = null;
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) disconnect();
    else connect();
  });

  function status(text) {
    const live = $("#live");
    live.textContent = text;
    live.hidden = !text;
  }

  // ask loads what an update names. Updates that arrive meanwhile are loaded together afterwards.
  async function ask(update) {
    pending = join(pending, update);
    if (busy) return;
    busy = true;
    while (pending && !document.hidden && !$("dialog[open]")) {
      const now = pending;
      let pause = 400;
      pending = null;
      try {
        await load(now);
        if (source?.readyState === EventSource.OPEN) status("");
      } catch {
        pending = join(now, pending);
        pause = 2000;
        lost();
      }
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
    busy = false;
  }

  const join = (a, b) => ({whole: a?.whole || b?.whole, names: [...new Set([...(a?.names || []), ...(b?.names || [])])]});

  // What arrived while a dialog was open is loaded when it closes.
  $("#dialog").addEventListener("close", () => { if (pending) ask({}); });

  async function load(update) {
    if (screen() !== "branches") {
      if (!update.whole && !update.names.includes(main().dataset.name)) return;
      await (screen() === "logs" || screen() === "diff" ? head() : refresh());
    } else if (update.whole || !update.names.length || update.names.some((name) => !document.getElementById("env-" + name))) {
      await refresh();
    } else {
      const query = new URLSearchParams(update.names.map((name) => ["name", name]));
      await get("/rows?" + query, {target: "#list", swap: "none"});
    }
    filter();
  }

  // Another replica of the server may answer, which waits until it has seen what this one announced.
  const headers = () => (versions ? {"Berth-Versions": versions} : {});
  const refresh = () => get(location.pathname + location.search, {target: "#main", select: "#main", swap: "outerMorph"});

  // Logs have a stream of their own, and a comparison is costly. So only the head of these screens follows each change. A comparison
  // with the cluster is made again when a sync begins or ends.
  async function head() {
    const before = $("#head").dataset.state;
    await get("/env/" + encodeURIComponent(main().dataset.name) + "/head?tab=" + screen(), {target: "#head", select: "#head", swap: "outerMorph"});
    const compares = screen() === "diff" && !new URLSearchParams(location.search).get("from");
    if (!$("#head") || compares && $("#head").dataset.state !== before) await refresh(); // without a head, the environment is gone
  }

  // get loads an address with htmx. It fails, and changes nothing, unless the answer is a page: something between browser and
  // server may answer instead, such as a proxy while the server restarts, or the server refuses because it is busy.
  async function get(address, options) {
    const answer = {};
    await htmx.ajax("GET", address, {...options, headers: headers(), answer});
    if (!answer.isPage) throw new Error("no page at " + address);
  }
  document.addEventListener("htmx:after:request", (event) => {
    const {answer, response} = event.detail.ctx;
    const shown = response.headers.get("Berth-Screen");
    if (!shown || shown === "door") event.preventDefault();
    else answer.isPage = true;
  });

  // While something moves, its objects change more often than the Environment does.
  setInterval(() => {
    if (screen() === "environment" && main().dataset.moving && !document.hidden) ask({whole: true});
  }, 3000);

  // ---- Logs are followed.

  let log;

  function follow() {
    const lines = $("#lines");
    const wanted = lines && $("#follow")?.checked && !document.hidden;
    if (log && !wanted) { log.close(); log = null; }
    if (log || !wanted) return;
    log = new EventSource(lines.dataset.live + "&since=" + encodeURIComponent(lines.lastElementChild?.dataset.time || lines.dataset.since));
    log.onmessage = (event) => {
      const atEnd = lines.scrollHeight - lines.scrollTop - lines.clientHeight < 40;
      lines.insertAdjacentHTML("beforeend", JSON.parse(event.data)); // rendered and escaped by the server
      while (lines.childElementCount > 5000) lines.firstElementChild.remove();
      $("#no-lines").hidden = lines.childElementCount > 0;
      if (atEnd) lines.scrollTop = lines.scrollHeight;
    };
    log.onerror = () => { // the browser would ask for lines that it has
      log?.close();
      log = null;
      setTimeout(follow, 2000);
    };
  }
  document.addEventListener("change", (event) => {
    if (event.target.id === "follow") follow();
    else event.target.closest(".bar")?.requestSubmit();
  });
  document.addEventListener("visibilitychange", follow);
  if ($("#lines")) $("#lines").scrollTop = $("#lines").scrollHeight;
  follow();

  // ---- Ages grow.

  function age(since) {
    const s = Math.max(0, (Date.now() - since) / 1000);
    if (s < 60) return Math.floor(s) + "s";
    if (s < 3600) return Math.floor(s / 60) + "m";
    if (s < 86400) return Math.floor(s / 3600) + "h";
    if (s < 365 * 86400) return Math.floor(s / 86400) + "d";
    return Math.floor(s / (365 * 86400)) + "y";
  }
  // The step that goes on counts each second.
  function counted(since) {
    const s = Math.max(0, Math.floor((Date.now() - since) / 1000));
    return (s < 3600 ? "" : Math.floor(s / 3600) + "h") + (s < 60 ? "" : Math.floor(s / 60) % 60 + "m") + s % 60 + "s";
  }
  function grow(selector, text) {
    for (const time of $$(selector)) {
      const now = text(Date.parse(time.dateTime));
      if (time.textContent !== now) time.textContent = now;
    }
  }
  setInterval(grow, 5000, "time[datetime]:not([data-counts])", age);
  setInterval(grow, 1000, "time[data-counts]", counted);

  // ---- The filter of the branches.

  const rows = () => $$("#list .row");
  const failing = (row) => row.dataset.tone === "bad" || row.dataset.tone === "warn";
  const same = (a, b) => Boolean(a) && a.toLowerCase() === b.toLowerCase();

  function filter() {
    const form = $(".filter");
    if (!form) return;
    const words = $("#search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const show = $(".choice [aria-pressed=true]")?.value || "";
    const author = form.elements.author?.value, me = $("[data-me]")?.dataset.me;
    const count = {all: 0, failing: 0, moving: 0, mine: 0};
    let shown = 0;
    for (const row of rows()) {
      const is = {"": true, failing: failing(row), moving: row.dataset.tone === "busy", mine: same(me, row.dataset.author)};
      count.all++;
      for (const kind of ["failing", "moving", "mine"]) if (is[kind]) count[kind]++;
      const text = (row.textContent + " " + ($(".reason", row)?.title || "")).toLowerCase(); // a row may show a part of the reason
      row.hidden = !(is[show] && (!author || same(author, row.dataset.author)) && words.every((word) => text.includes(word)));
      if (!row.hidden) shown++;
    }
    for (const b of $$("[data-count]")) b.textContent = count[b.dataset.count];
    $("#none").hidden = shown > 0;
  }

  // The address has the filter, so that it can be shared.
  function remember() {
    const query = new URLSearchParams(new FormData($(".filter")));
    const show = $(".choice [aria-pressed=true]")?.value;
    if (show) query.set("show", show);
    for (const [key, value] of [...query]) if (!value) query.delete(key);
    history.replaceState(null, "", location.pathname + (query.size ? "?" + query : ""));
  }

  document.addEventListener("input", (event) => {
    if (event.target.id !== "search") return;
    filter();
    remember();
  });
  document.addEventListener("submit", (event) => {
    if (!event.target.matches(".filter")) return;
    event.preventDefault();
    if (event.submitter?.name === "show") {
      for (const button of $$(".choice button")) button.setAttribute("aria-pressed", button === event.submitter);
    }
    filter();
    remember();
  });

  document.addEventListener("click", (event) => {
    const clear = event.target.closest("[data-clear]");
    if (!clear) return;
    event.preventDefault();
    clear.parentElement.remove();
    $("#search").focus();
    filter();
    remember();
  });

  // ---- Actions are confirmed in a dialog. Its form goes to the server as that of a page does.

  document.addEventListener("click", async (event) => {
    if (event.target.closest("dialog [data-close]")) {
      event.preventDefault();
      return $("#dialog").close();
    }
    const link = event.target.closest("a[data-dialog]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const dialog = $("#dialog");
    dialog.replaceChildren();
    // Requests of one source wait for each other, and those of the body are the live updates.
    try { await get(link.getAttribute("href"), {source: link, target: "#dialog", select: "#proposal", swap: "innerHTML"}); } catch { return lost(); }
    if (!dialog.firstElementChild) return location.assign(link.href);
    dialog.showModal();
    (dialog.querySelector("button.primary") || dialog.querySelector("[data-close]"))?.focus();
  });
  document.addEventListener("submit", (event) => {
    for (const button of event.target.matches(".decide") ? $$("button", event.target) : []) button.disabled = true;
  });

  // ---- Copying.

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });

  // ---- Keys.

  function move(by) {
    const all = $$(".row:not([hidden]) .open");
    if (!all.length) return;
    const at = all.indexOf(document.activeElement);
    const next = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, at + by))];
    next.focus();
    next.scrollIntoView({block: "nearest"});
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || $("dialog[open]")) return;
    const typing = event.target.matches("input, textarea, select");
    if (event.key === "Escape") {
      if (typing && event.target.value) { event.target.value = ""; filter(); remember(); }
      else if (typing) event.target.blur();
      else if (screen() !== "branches") location.href = "/";
      return;
    }
    if (typing) {
      if (event.key === "ArrowDown" && event.target.id === "search") { event.preventDefault(); move(1); }
      if (event.key === "Enter" && event.target.id === "search") { event.preventDefault(); $(".row:not([hidden]) .open")?.click(); }
      return;
    }
    if (event.key === "/" && $("#search")) { event.preventDefault(); $("#search").select(); }
    if (event.key === "j" || event.key === "ArrowDown" && screen() === "branches") { event.preventDefault(); move(1); }
    if (event.key === "k" || event.key === "ArrowUp" && screen() === "branches") { event.preventDefault(); move(-1); }
  });

  connect();
})();
