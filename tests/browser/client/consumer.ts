/** What the types let a program do, and what they don't; never run. */

import { Queuey, QueueyError, type Claimed, type Message, type Outcome, type Settlement, type Stored } from "queuey";

const queuey = new Queuey("https://queue.example", "web", { token: async () => "token" });
const queue = queuey.queue("news");

export async function every(signal: AbortSignal): Promise<Outcome[]> {
  const stored: Stored[] = await queue.publish(["text", { body: "YQ==", encoding: "base64", delay: 1.5, ttl: 60 }], { signal });
  const page = await queue.read({ since: stored[0]?.key ?? 0, partitions: [1, 2], order: "descending", limit: 10 });
  const until: Record<string, string> = page.complete_until ?? {};
  for await (const message of queue.follow({ cursor: page.next, signal, onState: (word) => word === "polling" })) {
    show(message, until);
  }
  const { claims, acked, guarantee } = await queue.claim({ limit: 5, lease: 30, wait: 20, group: "g", ack: [] });
  const exact: boolean = guarantee === "exactly_once";
  const receipts = claims.map((claim: Claimed) => claim.receipt ?? "");
  const settled: Settlement[] = [...(acked ?? []), ...(await queue.ack(receipts))];
  await queue.release(receipts, { delay: exact ? 1 : 0 });
  await queue.extend(receipts[0] ?? "", { lease: 60 });
  for await (const one of queuey.queues({ details: true })) console.log(one.queue_name, one.count);
  return settled.map((one) => one.outcome);
}

function show(message: Message, until: Record<string, string>): void {
  console.log(message.message_id, message.partition, message.body, until[String(message.partition)]);
}

export function code(error: unknown): string {
  return error instanceof QueueyError ? `${error.status} ${error.code} ${error.retry}` : "network";
}

export function wrong(): void {
  // @ts-expect-error a message has a body
  void queue.publish({ ttl: 1 });
  // @ts-expect-error there are two orders
  void queue.read({ order: "random" });
  // @ts-expect-error receipts are text
  void queue.ack(17);
  // @ts-expect-error a queue belongs to an application
  void new Queuey("https://queue.example");
}
