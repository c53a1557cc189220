/**
 * Queuey in the browser (and in Node 18+): publish, read, follow, claim and ack over HTTP, without dependencies.
 *
 * Two promises.  `follow` misses nothing and shows nothing twice: after every break it goes on from the server's own
 * cursor and drops what it has already handed out.  And nothing is retried that could happen twice: a publish carries
 * an idempotency key, so that its retries are one publish.
 */

const BACK_OFF_MS = { first: 250, most: 15_000 };
const LONG_POLL_SECONDS = 25;
const SILENCE_MS = 45_000; // the server sends a comment every 15 s: three missed ones are a broken connection
const FIRST_BYTES_MS = 10_000; // a stream begins with a line at once: without it something between holds it back
const SHORT_STREAM_MS = 1_000;
const SHORT_STREAMS_MOST = 3; // so many in a row, and long polls take over
const POLLING_MS = 120_000; // then streams are tried again
const SEEN_MOST = 20_000; // ids kept per partition; the service lets them be forgotten long before
const TRIES = 5;

/** An answer other than 2xx: `status`, and the service's own `code`, `retry` and `fields`. */
export class QueueyError extends Error {
  constructor(status, body, retryAfterSeconds) {
    const fields = body?.error_msg ?? {};
    super(Object.entries(fields).map(([name, text]) => `${name}: ${text}`).join("; ") || `HTTP ${status}`);
    this.name = "QueueyError";
    this.status = status;
    this.code = body?.code ?? "unreadable_answer";
    this.retry = body?.retry ?? (status >= 500 ? "unknown_outcome" : "no");
    this.fields = fields;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/** One application at one service. */
export class Queuey {
  #authorization;
  #fetch;

  /**
   * @param {string} url where the service is, e.g. "https://queue.example"
   * @param {string} application the application's name
   * @param {object} identity one of: `key` (an application key; never in a page for others), `token` (an OIDC token or
   *   a function that returns one), `assertion` (BrowserID), `link` (a capability link); none for public queues
   */
  constructor(url, application, { key, token, assertion, link, fetch = globalThis.fetch.bind(globalThis) } = {}) {
    this.base = `${url.replace(/\/+$/, "")}/v1/${encodeURIComponent(application)}`;
    this.#authorization = async () => {
      if (key) return `Application ${key}`;
      if (assertion) return `BrowserID ${assertion}`;
      if (token) return `Bearer ${typeof token === "function" ? await token() : token}`;
      return link ? `Link ${link}` : undefined;
    };
    this.#fetch = fetch;
  }

  /** A queue of this application; costs no request. */
  queue(name) {
    return new Queue(this, name);
  }

  /** All queues, a page at a time: an async iterator of `{queue_name, ...}`. */
  async *queues({ details = false, pageSize = 500 } = {}) {
    let offset;
    for (;;) {
      const page = await this.call("GET", "", { query: { limit: pageSize + 1, offset, details } });
      yield* page.queues.slice(0, pageSize);
      if (page.queues.length <= pageSize) return;
      offset = page.queues[pageSize].queue_name;
    }
  }

  /** One call; resolves to the parsed JSON, rejects with QueueyError (or the network's own TypeError). */
  async call(method, path, options = {}) {
    const response = await this.open(method, path, options);
    const text = await response.text();
    return text ? JSON.parse(text) : {};
  }

  /** One call; resolves to the Response once its headers are there and say 2xx. */
  async open(method, path, { query = {}, json, body, headers = {}, signal } = {}) {
    const url = new URL(this.base + path);
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined && value !== null) url.searchParams.set(name, String(value));
    }
    const sent = { ...headers };
    const authorization = await this.#authorization();
    if (authorization) sent.Authorization = authorization;
    if (json !== undefined) sent["Content-Type"] = "application/json";
    const payload = json !== undefined ? JSON.stringify(json) : body;
    const response = await this.#fetch(url, { method, headers: sent, body: payload, signal, cache: "no-store" });
    if (!response.ok) throw await failureOf(response);
    return response;
  }
}

/** One queue. */
export class Queue {
  constructor(application, name) {
    this.application = application;
    this.name = name;
    this.path = `/${encodeURIComponent(name)}`;
  }

  /**
   * Publish messages: strings, or objects `{body, ttl, delay, partition, partition_key, attributes, ...}`.
   * Sent again under the same idempotency keys while the outcome is unknown: stored once.
   * @returns {Promise<Array<{key: string, timestamp: string, partition: number}>>}
   */
  async publish(messages, { signal } = {}) {
    const list = Array.isArray(messages) ? messages : [messages];
    const items = list.map((item) => ({
      idempotency_key: crypto.randomUUID(),
      ...(typeof item === "string" ? { body: item } : item),
    }));
    const send = () => this.application.call("POST", this.path, { json: { messages: items }, signal });
    return (await retried(send, TRIES, signal)).messages;
  }

  /** Read one page: `{messages, next, complete_until}`; send `next` back as `cursor`. */
  read({ signal, partitions, ...query } = {}) {
    return this.application.call("GET", this.path, { query: { ...query, partitions: joined(partitions) }, signal });
  }

  /**
   * Follow the queue: an async iterator of messages that ends only by `signal` or a refusal (401, 403, 404, ...).
   * Server-sent events where they come through, long polls where they don't.
   * `onState` hears "connected", "polling", and "waiting" (to connect again) with the error that made it wait.
   */
  async *follow({ cursor, since, partitions, signal, onState = () => {} } = {}) {
    const seen = new Seen();
    const place = { cursor, since, partitions: joined(partitions) };
    let pause = BACK_OFF_MS.first;
    let shortStreams = 0;
    let pollingUntilMs = 0;
    while (!signal?.aborted) {
      const startedMs = Date.now();
      const polls = startedMs < pollingUntilMs;
      try {
        for await (const message of polls ? this.#poll(place, seen, signal, onState) : this.#stream(place, seen, signal, onState)) {
          yield message;
          if (signal?.aborted) return;
        }
        pause = BACK_OFF_MS.first;
        if (polls) continue;
        shortStreams = Date.now() - startedMs < SHORT_STREAM_MS ? shortStreams + 1 : 0;
        if (shortStreams >= SHORT_STREAMS_MOST) throw new NoStreamError();
        await sleep(BACK_OFF_MS.first * Math.random(), signal); // the stream was ended for all its readers: spread out
      } catch (error) {
        if (signal?.aborted) return;
        if (error instanceof NoStreamError) {
          shortStreams = 0;
          pollingUntilMs = Date.now() + POLLING_MS;
          continue;
        }
        if (error instanceof QueueyError && error.retry === "no") throw error;
        if (Date.now() - startedMs > BACK_OFF_MS.most) pause = BACK_OFF_MS.first; // it had worked until now
        onState("waiting", error);
        await sleep(waitOf(pause, error), signal);
        pause = Math.min(pause * 2, BACK_OFF_MS.most);
      }
    }
  }

  async *#stream(place, seen, signal, onState) {
    const silence = new AbortController();
    const stop = () => silence.abort();
    let timer;
    const watch = (ms, act) => (clearTimeout(timer), (timer = setTimeout(act, ms)));
    let heldBack = false;
    signal?.addEventListener("abort", stop, { once: true });
    watch(SILENCE_MS, stop);
    try {
      const headers = { Accept: "text/event-stream" };
      if (place.cursor) headers["Last-Event-ID"] = place.cursor;
      const query = place.cursor ? {} : { since: place.since, partitions: place.partitions };
      const response = await this.application.open("GET", this.path, { query, headers, signal: silence.signal });
      if (!response.body || !(response.headers.get("Content-Type") ?? "").startsWith("text/event-stream")) {
        throw new NoStreamError();
      }
      watch(FIRST_BYTES_MS, () => ((heldBack = true), stop()));
      let begun = false;
      for await (const event of events(response.body)) {
        if (!begun) onState("connected");
        begun = true;
        watch(SILENCE_MS, stop);
        if (event.type === "message") {
          const message = JSON.parse(event.data);
          if (seen.isNew(message)) yield message;
        } else if (event.type === "complete") {
          seen.forget(JSON.parse(event.data).complete_until);
        } else if (event.type === "failure") {
          throw new QueueyError(0, JSON.parse(event.data));
        }
        if (event.id) place.cursor = event.id; // after the hand-over: a break in between repeats, never skips
      }
    } catch (error) {
      throw heldBack ? new NoStreamError() : error;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
      silence.abort();
    }
  }

  async *#poll(place, seen, signal, onState) {
    onState("polling");
    const query = place.cursor
      ? { cursor: place.cursor, wait: LONG_POLL_SECONDS }
      : { since: place.since, partitions: place.partitions, wait: LONG_POLL_SECONDS };
    const page = await this.application.call("GET", this.path, { query, signal });
    for (const message of page.messages) if (seen.isNew(message)) yield message;
    place.cursor = page.next;
    seen.forget(page.complete_until ?? {});
  }

  /**
   * Claim messages: `{limit, lease, wait, group, partitions, claim_id, ack}` -> `{claims, acked?, guarantee}`.
   * Sent again under the same claim_id while the outcome is unknown: it finds what it was given already.
   */
  claim({ signal, ...options } = {}) {
    const json = { claim_id: crypto.randomUUID(), ...options };
    return retried(() => this.application.call("POST", `${this.path}/claims`, { json, signal }), TRIES, signal);
  }

  /** Settle; resolves to one `{receipt, outcome}` each.  Safe to repeat: it says `acked` again. */
  async ack(receipts, { signal } = {}) {
    const send = () => this.application.call("POST", `${this.path}/acks`, { json: { receipts: listOf(receipts) }, signal });
    return (await retried(send, TRIES, signal)).results;
  }

  /** Give back, now or after `delay` seconds. */
  async release(receipts, { delay = 0, signal } = {}) {
    const json = { receipts: listOf(receipts), delay };
    return (await this.application.call("POST", `${this.path}/releases`, { json, signal })).results;
  }

  /** Hold longer; resolves to one `{receipt, outcome, lease_until}` each, with the receipt to use from now on. */
  async extend(receipts, { lease, signal } = {}) {
    const json = { receipts: listOf(receipts), lease };
    return (await this.application.call("POST", `${this.path}/extensions`, { json, signal })).results;
  }
}

/** Ids handed out that a resume may repeat: those later than the last `complete_until` of their partition. */
class Seen {
  #partitions = new Map();

  isNew({ partition, message_id: id }) {
    const ids = this.#partitions.get(String(partition)) ?? new Set();
    if (ids.has(id)) return false;
    ids.add(id);
    if (ids.size > SEEN_MOST) ids.delete(ids.values().next().value);
    this.#partitions.set(String(partition), ids);
    return true;
  }

  forget(completeUntil) {
    for (const [partition, until] of Object.entries(completeUntil)) {
      const ids = this.#partitions.get(partition);
      if (!ids) continue;
      for (const id of ids) if (placeOf(id) <= placeOf(until)) ids.delete(id);
    }
  }
}

class NoStreamError extends Error {}

/** A version-1 UUID as text that sorts as the service sorts: by its 60-bit time, then by the rest. */
const placeOf = (id) => id.slice(13, 16) + id.slice(8, 12) + id.slice(0, 8) + id.slice(16);

const joined = (partitions) => (Array.isArray(partitions) ? partitions.join(",") : partitions);

const waitOf = (pause, error) => Math.max(pause * (0.5 + Math.random()), (error.retryAfterSeconds ?? 0) * 1000);

const listOf = (value) => (Array.isArray(value) ? value : [value]);

async function failureOf(response) {
  const retryAfter = Number(response.headers.get("Retry-After"));
  const body = await response.json().catch(() => null);
  return new QueueyError(response.status, body, Number.isFinite(retryAfter) ? retryAfter : undefined);
}

/** Repeat what may be repeated: only for calls that the service knows again. */
async function retried(send, tries, signal) {
  for (let attempt = 1, pause = BACK_OFF_MS.first; ; attempt += 1, pause *= 2) {
    try {
      return await send();
    } catch (error) {
      const final = error instanceof QueueyError && error.retry === "no";
      if (final || attempt === tries || signal?.aborted) throw error;
      await sleep(waitOf(pause, error), signal);
    }
  }
}

function sleep(ms, signal) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal?.addEventListener("abort", end);
    if (signal?.aborted) end();
  });
}

/** Parse a stream of server-sent events: an async iterator of `{type, data, id}`; comments come as type "comment". */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  let event = { type: "message", data: [], id: undefined };
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      buffer += value;
      const lines = buffer.split(/\r\n|\n|\r(?!$)/);
      buffer = lines.pop();
      for (const line of lines) {
        if (line === "") {
          yield event.data.length ? { ...event, data: event.data.join("\n") } : { type: "comment" };
          event = { type: "message", data: [], id: undefined };
        } else if (line.startsWith(":")) {
          yield { type: "comment" };
        } else {
          const colon = line.indexOf(":");
          const field = colon < 0 ? line : line.slice(0, colon);
          const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
          if (field === "data") event.data.push(value);
          else if (field === "event") event.type = value;
          else if (field === "id") event.id = value;
        }
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
