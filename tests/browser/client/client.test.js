/** queuey.js in Node against the real service: what it promises while connections break and answers get lost. */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { after, describe, test } from "node:test";

import { Queue, Queuey, QueueyError } from "../../../api/static/client/queuey.js";
import { Proxy } from "./proxy.js";

const { QUEUEY_URL: url, QUEUEY_KEY: key } = process.env;
const proxies = [];

async function proxied() {
  const proxy = await Proxy.before(url);
  proxies.push(proxy);
  return proxy;
}

async function newQueue({ at = url, ...settings } = {}) {
  const name = randomUUID().replaceAll("-", "");
  await new Queuey(url, "web", { key }).call("POST", "", { json: { queue_name: name, ...settings } });
  return new Queuey(at, "web", { key }).queue(name);
}

const isStream = (request) => request.headers.accept === "text/event-stream";
const asked = (proxy, path) => proxy.requests.filter((request) => request.path.includes(path));

/** Follow until `count` messages came; `each` hears of every one. */
async function take(queue, count, { each = () => {}, ...options } = {}) {
  const stop = new AbortController();
  const bodies = [];
  for await (const message of queue.follow({ ...options, signal: stop.signal })) {
    bodies.push(message.body);
    await each(message, bodies.length);
    if (bodies.length >= count) stop.abort();
  }
  return bodies;
}

after(() => Promise.all(proxies.map((proxy) => proxy.close())));

describe("queuey.js", { concurrency: true }, () => {
  test("publishes strings and objects, and reads them page by page", async () => {
    const queue = await newQueue();
    const [one] = await queue.publish("one");
    assert.match(one.key, /^[0-9a-f]{32}$/);
    const stored = await queue.publish(["two", { body: "dHdv", encoding: "base64", attributes: { kind: "b" }, ttl: 60 }]);
    assert.equal(stored.length, 2);
    const first = await queue.read({ limit: 2 });
    const second = await queue.read({ cursor: first.next });
    assert.deepEqual(first.messages.map((message) => message.body), ["one", "two"]);
    assert.equal(second.messages.at(-1).encoding, undefined);
    assert.equal(second.messages.at(-1).body, "two");
    assert.deepEqual(second.messages.at(-1).attributes, { kind: "b" });
  });

  test("stores a publish once whose answers get lost", async () => {
    const proxy = await proxied();
    const queue = await newQueue({ at: proxy.url });
    let lost = 0;
    proxy.rule = (request) => (request.method === "POST" && (lost += 1) <= 2 ? "lose" : "pass");
    const [stored] = await queue.publish("once");
    assert.equal(lost, 3);
    const { messages } = await queue.read();
    assert.deepEqual(messages.map((message) => message.message_id), [stored.key]);
  });

  test("waits longer each time while the service is overloaded, then gives up with its words", async () => {
    const proxy = await proxied();
    const queue = await newQueue({ at: proxy.url });
    const times = [];
    proxy.rule = () => (times.push(Date.now()), "refuse");
    await assert.rejects(queue.publish("never"), (error) => {
      assert.ok(error instanceof QueueyError);
      assert.deepEqual([error.status, error.code, error.retry, error.message], [503, "overloaded", "later", "node: is full"]);
      return true;
    });
    const pauses = times.slice(1).map((time, index) => time - times[index]);
    assert.equal(pauses.length, 4);
    assert.ok(pauses[0] >= 100 && pauses[3] >= 950 && pauses[3] > pauses[0], String(pauses));
  });

  test("repeats nothing that is refused for good", async () => {
    const proxy = await proxied();
    const queue = await newQueue({ at: proxy.url });
    await assert.rejects(queue.publish({ body: "x", ttl: -1 }), { code: "invalid_request", status: 400 });
    await assert.rejects(queue.ack("never-made"), { code: "bad_receipt" });
    await assert.rejects(new Queuey(proxy.url, "web", { key: "wrong" }).queue("q").publish("x"), { status: 401 });
    const stop = new AbortController();
    await assert.rejects(queue.application.queue("missing").follow({ signal: stop.signal }).next(), { status: 404 });
    assert.equal(proxy.requests.length, 4);
  });

  test("follows over connections that break: nothing missed, nothing twice", async () => {
    const proxy = await proxied();
    const queue = await newQueue({ at: proxy.url, partitions: 2 });
    const bodies = Array.from({ length: 20 }, (_, index) => `${index}`);
    const states = [];
    const direct = new Queuey(url, "web", { key }).queue(queue.name);
    const publish = (index) => direct.publish({ body: bodies[index], partition: 1 + (index % 2) });
    const taking = take(queue, 20, {
      partitions: [1, 2],
      onState: (word) => states.push(word),
      each: async (_, count) => {
        if (count % 5 === 0 && count < 20) {
          proxy.cut();
          for (let index = count; index < count + 5; index += 1) await publish(index);
        }
      },
    });
    for (let index = 0; index < 5; index += 1) await publish(index);
    assert.deepEqual((await taking).sort((a, b) => a - b), bodies);
    const streams = proxy.requests.filter(isStream);
    assert.ok(streams.length >= 4, `${streams.length} streams`);
    assert.ok(streams.slice(1).every((request) => request.headers["last-event-id"]));
    assert.ok(states.includes("connected") && states.includes("waiting"));
  });

  test("hands out nothing twice that a cut page brings again", async () => {
    const proxy = await proxied();
    const queue = await newQueue({ at: proxy.url });
    await queue.publish(["a", "b", "c", "d"]);
    // The event id stands on a page's last message, so a cut behind the first one repeats the page.
    const bodies = await take(queue, 4, { each: (_, count) => count === 1 && proxy.cut() });
    assert.deepEqual(bodies, ["a", "b", "c", "d"]);
  });

  test("polls where a stream never becomes one, and goes on where it was", async () => {
    const proxy = await proxied();
    const queue = await newQueue({ at: proxy.url });
    await queue.publish(["one", "two"]);
    proxy.rule = (request) => (isStream(request) ? "plain" : "pass");
    const states = [];
    const bodies = await take(queue, 4, {
      onState: (word) => states.push(word),
      each: (_, count) => count === 2 && queue.publish(["three", "four"]),
    });
    assert.deepEqual(bodies, ["one", "two", "three", "four"]);
    assert.equal(proxy.requests.filter(isStream).length, 1);
    assert.ok(asked(proxy, "wait=25").length >= 2);
    assert.ok(states.every((word) => word === "polling"));
  });

  test("polls where something between holds a stream's bytes back", { timeout: 30_000 }, async () => {
    const proxy = await proxied();
    const queue = await newQueue({ at: proxy.url });
    await queue.publish("held");
    proxy.rule = (request) => (isStream(request) ? "hold" : "pass");
    assert.deepEqual(await take(queue, 1), ["held"]);
    assert.ok(asked(proxy, "wait=25").length >= 1);
  });

  test("ends quietly when it is told to", async () => {
    const queue = await newQueue();
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 200);
    for await (const message of queue.follow({ signal: stop.signal })) assert.fail(message.body);
  });

  test("claims, extends, gives back and settles", async () => {
    const queue = await newQueue();
    await queue.publish(["one", "two"]);
    const { claims, guarantee } = await queue.claim({ limit: 2, lease: 30, claim_id: "c-1" });
    assert.deepEqual(claims.map((claim) => claim.body), ["one", "two"]);
    assert.equal(guarantee, "at_least_once");
    const [extended] = await queue.extend(claims[0].receipt, { lease: 60 });
    assert.equal(extended.outcome, "extended");
    assert.ok(Number(extended.lease_until) > Number(claims[0].lease_until));
    const [released] = await queue.release([claims[1].receipt]);
    assert.equal(released.outcome, "released");
    const again = await queue.claim({ wait: 5, ack: [extended.receipt] });
    assert.deepEqual(again.acked.map((result) => result.outcome), ["acked"]);
    assert.deepEqual(again.claims.map((claim) => [claim.body, claim.deliveries]), [["two", 2]]);
    assert.deepEqual((await queue.ack(again.claims[0].receipt)).map((result) => result.outcome), ["acked"]);
    assert.deepEqual((await queue.claim()).claims, []);
  });

  test("settles once although the answer of its ack gets lost", async () => {
    const proxy = await proxied();
    const queue = await newQueue({ at: proxy.url });
    await queue.publish("one");
    const { claims } = await queue.claim();
    let lost = 0;
    proxy.rule = (request) => (request.url.endsWith("/acks") && (lost += 1) === 1 ? "lose" : "pass");
    assert.deepEqual((await queue.ack(claims[0].receipt)).map((result) => result.outcome), ["acked"]);
    assert.equal(lost, 2);
  });

  test("finds again what it claimed when the answer gets lost", async () => {
    const proxy = await proxied();
    const queue = await newQueue({ at: proxy.url });
    await queue.publish(["one", "two"]);
    let lost = 0;
    proxy.rule = (request) => (request.url.endsWith("/claims") && (lost += 1) === 1 ? "lose" : "pass");
    assert.deepEqual((await queue.claim({ limit: 1 })).claims.map((claim) => claim.body), ["one"]);
    assert.equal(lost, 2);
  });

  test("lists queues over several pages", async () => {
    const made = await Promise.all([newQueue(), newQueue(), newQueue()]);
    const names = [];
    for await (const queue of made[0].application.queues({ pageSize: 2 })) names.push(queue.queue_name);
    assert.ok(made.every((queue) => names.includes(queue.name)));
    assert.equal(new Set(names).size, names.length);
  });

  test("asks for a fresh token for every request", async () => {
    const proxy = await proxied();
    let number = 0;
    const queuey = new Queuey(proxy.url, "web", { token: async () => `token-${(number += 1)}` });
    for (let turn = 0; turn < 2; turn += 1) await assert.rejects(queuey.queue("q").read(), { status: 401 });
    assert.deepEqual(proxy.requests.map((request) => request.headers.authorization), ["Bearer token-1", "Bearer token-2"]);
  });

  test("has the members that its types name", () => {
    const types = readFileSync(new URL("../../../api/static/client/queuey.d.ts", import.meta.url), "utf8");
    for (const made of [Queuey, Queue]) {
      const body = types.split(`export class ${made.name} {`)[1].split("\n}")[0];
      const named = [...body.matchAll(/^ {2}(\w+)\(/gm)].map(([, name]) => name);
      assert.deepEqual(Object.getOwnPropertyNames(made.prototype).sort(), named.sort());
    }
  });
});
