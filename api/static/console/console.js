/** The console: a page over the public HTTP calls alone; what it can do, its key or link may do. */

import { Queuey, QueueyError } from "/queuey.js";

const PAGE = 50;
const LOOK_EVERY_MS = 2_000;
const POINTS_KEPT = 120; // four minutes of points in a chart
const POINTS_WIDE = 30; // a chart with fewer is not yet filled
const LIVE_MOST = 500; // messages kept in the list while following

const $ = (id) => document.getElementById(id);
const state = { queuey: undefined, link: undefined, queue: undefined, leave: undefined, nextQueues: undefined };

// --- what all parts use ------------------------------------------------------------------------------------------

function element(tag, { text, ...attributes } = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== undefined) made.setAttribute(name, value);
  }
  if (text !== undefined) made.textContent = text;
  made.append(...children);
  return made;
}

function notice(text, bad = false) {
  $("notice").textContent = text;
  $("notice").className = bad ? "bad" : "";
}

/** Run what a person asked for; what goes wrong is said, not swallowed. */
function attempt(work) {
  return async (event) => {
    event?.preventDefault();
    try {
      await work(event);
    } catch (error) {
      notice(error instanceof QueueyError ? `${error.message} (${error.code})` : `No answer: ${error.message}`, true);
    }
  };
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const time = (seconds) => new Date(Number(seconds) * 1000).toLocaleString();

function span(seconds) {
  if (seconds < 1) return "now";
  const units = [["d", 86_400], ["h", 3_600], ["min", 60], ["s", 1]];
  const [name, size] = units.find(([, unit]) => seconds >= unit);
  return `${Math.floor(seconds / size)} ${name}`;
}

// --- sign in ------------------------------------------------------------------------------------------------

for (const radio of document.querySelectorAll("input[name=kind]")) {
  radio.addEventListener("change", () => {
    $("link-queue").hidden = new FormData($("sign-in-form")).get("kind") !== "link";
  });
}

$("sign-in-form").addEventListener("submit", attempt(async () => {
  const form = new FormData($("sign-in-form"));
  const application = form.get("application");
  const withLink = form.get("kind") === "link";
  const identity = withLink ? { link: form.get("secret") } : { key: form.get("secret") };
  const queuey = new Queuey(location.origin, application, identity);
  if (withLink) {
    if (!form.get("queue")) throw new Error("name the queue that the link is for");
    await queuey.queue(form.get("queue")).read({ limit: 1 });
  } else {
    await queuey.call("GET", "", { query: { limit: 1 } });
  }
  Object.assign(state, { queuey, link: withLink });
  $("sign-in-form").reset();
  $("link-queue").hidden = true;
  $("sign-in").hidden = true;
  $("who").hidden = false;
  $("who-name").textContent = application;
  notice("Signed in.");
  if (withLink) await openQueue(form.get("queue"));
  else {
    await listQueues();
    watchCounts();
    $("overview-title").focus();
  }
}));

$("sign-out").addEventListener("click", () => location.reload());

// --- queues -------------------------------------------------------------------------------------------------

async function listQueues({ more = false } = {}) {
  const query = { limit: PAGE + 1, details: true, include_count: true };
  const offset = more ? state.nextQueues : $("find").value || undefined;
  const { queues } = await state.queuey.call("GET", "", { query: { ...query, offset } });
  state.nextQueues = queues[PAGE]?.queue_name;
  const rows = queues.slice(0, PAGE).map(queueRow);
  const body = $("queues").tBodies[0];
  if (more) body.append(...rows);
  else body.replaceChildren(...rows);
  $("more-queues").hidden = state.nextQueues === undefined;
  $("overview").hidden = false;
}

function queueRow(queue) {
  const open = element("button", { type: "button", text: queue.queue_name, onclick: attempt(() => openQueue(queue.queue_name)) });
  const current = queue.queue_name === state.queue?.name ? "true" : undefined;
  return element("tr", { "data-queue": queue.queue_name, "aria-current": current },
    element("th", { scope: "row" }, open),
    element("td", { class: "number count", text: queue.count.toLocaleString() }),
    element("td", { class: "number", text: queue.partitions }),
    element("td", { text: queue.type }),
    element("td", { text: time(queue.created) }));
}

/** Bring the numbers of the rows shown up to date, without touching where a person is. */
async function watchCounts() {
  for (;;) {
    await pause(LOOK_EVERY_MS * 2);
    const rows = document.hidden ? [] : [...$("queues").tBodies[0].rows];
    if (!rows.length) continue;
    const query = { limit: rows.length, offset: rows[0].dataset.queue, details: true, include_count: true };
    const { queues } = await state.queuey.call("GET", "", { query }).catch(() => ({ queues: [] }));
    const counts = new Map(queues.map((queue) => [queue.queue_name, queue.count]));
    for (const row of rows) {
      const count = counts.get(row.dataset.queue);
      if (count !== undefined) row.querySelector(".count").textContent = count.toLocaleString();
    }
  }
}

$("refresh").addEventListener("click", attempt(() => listQueues()));
$("find").addEventListener("change", attempt(() => listQueues()));
$("more-queues").addEventListener("click", attempt(() => listQueues({ more: true })));

// --- one queue ----------------------------------------------------------------------------------------------

async function openQueue(name) {
  state.leave?.abort();
  state.leave = new AbortController();
  state.queue = state.queuey.queue(name);
  $("queue-title").textContent = name;
  $("queue").hidden = false;
  for (const row of document.querySelectorAll("#queues tbody tr")) {
    if (row.dataset.queue === name) row.setAttribute("aria-current", "true");
    else row.removeAttribute("aria-current");
  }
  $("settings").replaceChildren();
  $("groups").replaceChildren();
  $("messages").replaceChildren();
  $("live").checked = false;
  if (!state.link) await showSettings();
  watchGroups(state.queue, state.leave.signal);
  await browse();
  $("queue-title").focus();
}

async function showSettings() {
  const { status, queue_name, ...settings } = await state.queue.application.call("GET", `${state.queue.path}/settings`);
  const shown = Object.entries(settings).filter(([, value]) => value !== null && value !== "" && typeof value !== "object");
  $("settings").replaceChildren(...shown.map(([name, value]) =>
    element("div", {}, element("dt", { text: name }), element("dd", { text: name === "created" ? time(value) : String(value) }))));
}

/** Ask for the groups every two seconds, and draw what they did; a link may not grant to see them. */
async function watchGroups(queue, signal) {
  const charts = new Map();
  while (!signal.aborted) {
    if (!document.hidden) {
      try {
        const { groups } = await queue.application.call("GET", `${queue.path}/groups`, { signal });
        $("no-groups").hidden = groups.length > 0;
        for (const group of groups) {
          if (!charts.has(group.group)) charts.set(group.group, new GroupChart(queue, group.group));
          charts.get(group.group).add(group);
        }
      } catch (error) {
        if (error.code === "access_denied") return;
        if (!signal.aborted) notice(`The groups could not be read: ${error.message}`, true);
      }
    }
    await pause(LOOK_EVERY_MS);
  }
}

/** One group: its numbers, its backlog and the age of its oldest unsettled message over time, and rewind. */
class GroupChart {
  #points = [];
  #svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  #words = element("p", { class: "words" });
  #caption = element("figcaption");

  constructor(queue, name) {
    this.#svg.setAttribute("viewBox", "0 0 240 54");
    this.#svg.setAttribute("preserveAspectRatio", "none");
    this.#svg.setAttribute("role", "img");
    const place = element("select", { "aria-label": `Rewind ${name} to` },
      element("option", { value: "start", text: "the start" }),
      element("option", { value: "end", text: "the end" }),
      element("option", { value: "3600", text: "one hour ago" }),
      element("option", { value: "86400", text: "one day ago" }));
    const seek = attempt(async () => {
      const position = /^\d+$/.test(place.value) ? String(Date.now() / 1000 - Number(place.value)) : place.value;
      await queue.application.call("PUT", `${queue.path}/groups/${encodeURIComponent(name)}`, { json: { position } });
      notice(`${name} begins again from ${place.selectedOptions[0].text}.`);
    });
    const controls = element("div", { class: "bar" }, place, element("button", { type: "button", text: "Rewind", onclick: seek }));
    $("groups").append(element("article", { class: "group", "data-group": name },
      element("div", {}, element("strong", { text: name }), this.#words),
      element("figure", {}, this.#svg, this.#caption), controls));
  }

  add(group) {
    const ageSeconds = group.oldest == null ? 0 : Math.max(0, Date.now() / 1000 - Number(group.oldest));
    this.#points.push({ backlog: group.backlog, ageSeconds });
    this.#points = this.#points.slice(-POINTS_KEPT);
    const more = group.backlog_more ? "+" : "";
    this.#words.textContent = `${group.backlog.toLocaleString()}${more} waiting, ${group.in_flight.toLocaleString()} in flight`;
    const age = group.oldest == null ? "nothing unsettled" : `oldest: ${span(ageSeconds)}`;
    this.#caption.replaceChildren(
      element("span", { class: "key-backlog", text: "— backlog " }), element("span", { class: "key-age", text: `┄ ${age}` }));
    this.#svg.setAttribute("aria-label", `Backlog ${group.backlog}${more}, ${age}`);
    this.#draw();
  }

  #draw() {
    const backlog = this.#line((point) => point.backlog);
    const shapes = [
      ["path", "backlog-area", `${backlog} L 240 54 L ${this.#x(0)} 54 Z`],
      ["path", "backlog-line", backlog],
      ["path", "age-line", this.#line((point) => point.ageSeconds)],
    ];
    this.#svg.replaceChildren(...shapes.map(([tag, kind, d]) => {
      const shape = document.createElementNS("http://www.w3.org/2000/svg", tag);
      shape.setAttribute("class", kind);
      shape.setAttribute("d", d);
      return shape;
    }));
  }

  #x(index) {
    const wide = Math.max(POINTS_WIDE, this.#points.length);
    return 240 - (this.#points.length - 1 - index) * (240 / (wide - 1));
  }

  #line(value) {
    const most = Math.max(1, ...this.#points.map(value));
    const places = this.#points.map((point, index) => `${this.#x(index).toFixed(1)} ${(50 - 46 * value(point) / most).toFixed(1)}`);
    return `M ${places.join(" L ")}`;
  }
}

// --- messages -----------------------------------------------------------------------------------------------

let next; // the cursor behind what is shown

/** Show the first page or one more.  Partitions are read side by side, so a page may belong between what is shown. */
async function browse({ more = false } = {}) {
  const order = $("order").value;
  const place = more ? { cursor: next } : { partitions: "all" };
  const page = await state.queue.read({ limit: PAGE, order, ...place });
  const kept = more ? [...$("messages").children] : [];
  const known = new Set(kept.map((item) => item.dataset.id));
  const fresh = page.messages.filter((message) => !known.has(message.message_id)).map(messageItem);
  const sign = order === "ascending" ? 1 : -1;
  const items = [...kept, ...fresh].sort((one, other) => sign * (one.dataset.time - other.dataset.time));
  $("messages").replaceChildren(...items);
  next = page.next;
  $("more-messages").hidden = page.messages.length < PAGE;
}

function messageItem(message) {
  const attributes = Object.entries(message.attributes ?? {}).map(([name, value]) => `${name}=${value}`);
  const facts = [time(message.timestamp), `partition ${message.partition}`, message.message_id, message.content_type, ...attributes];
  const body = message.encoding === "base64" ? `${message.body} (base64)` : message.body;
  return element("li", { "data-id": message.message_id, "data-time": message.timestamp },
    element("div", { class: "meta" }, ...facts.filter(Boolean).map((fact) => element("span", { text: fact }))),
    element("pre", { text: body, tabindex: "0" }));
}

$("order").addEventListener("change", attempt(() => browse()));
$("more-messages").addEventListener("click", attempt(() => browse({ more: true })));

let following;
$("live").addEventListener("change", attempt(async () => {
  following?.abort();
  if (!$("live").checked) return;
  following = new AbortController();
  state.leave.signal.addEventListener("abort", () => following.abort(), { once: true });
  $("order").value = "descending";
  await browse();
  const since = $("messages").firstElementChild?.dataset.id; // it comes again, and is left out below
  const { signal } = following;
  const onState = (word) => notice(`Following: ${word}.`);
  for await (const message of state.queue.follow({ since, partitions: "all", signal, onState })) {
    if ($("messages").querySelector(`[data-id="${message.message_id}"]`)) continue;
    const item = messageItem(message);
    item.className = "new";
    $("messages").prepend(item);
    while ($("messages").children.length > LIVE_MOST) $("messages").lastElementChild.remove();
  }
}));

$("publish-form").addEventListener("submit", attempt(async () => {
  const form = new FormData($("publish-form"));
  const message = { body: form.get("body") };
  if (form.get("delay")) message.delay = Number(form.get("delay"));
  if (form.get("partition_key")) message.partition_key = form.get("partition_key");
  const [stored] = await state.queue.publish(message);
  notice(`Published ${stored.key} to partition ${stored.partition}.`);
  $("publish-form").reset();
  if (!$("live").checked) await browse();
}));

$("redrive").addEventListener("click", attempt(async () => {
  const { redriven, remaining } = await state.queue.application.call("POST", `${state.queue.path}/redrive`, { json: {} });
  notice(`${redriven} went back, ${remaining} remain.`);
  await browse();
}));
