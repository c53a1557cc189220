/** Types of queuey.js; what the calls do is said there and in the service's /openapi.json. */

export type Guarantee = "at_most_once" | "at_least_once" | "exactly_once";
export type Retry = "no" | "same" | "later" | "unknown_outcome";

export interface Identity {
  /** An application key; never in a page for others. */
  key?: string;
  /** An OIDC ID token, or what returns a fresh one for each request. */
  token?: string | (() => string | Promise<string>);
  /** A BrowserID assertion. */
  assertion?: string;
  /** A capability link. */
  link?: string;
}

export interface Options extends Identity {
  fetch?: typeof fetch;
}

export interface Stoppable {
  signal?: AbortSignal;
}

export interface NewMessage {
  body: string;
  encoding?: "base64";
  content_type?: string;
  ttl?: number;
  delay?: number;
  partition?: number;
  partition_key?: string;
  idempotency_key?: string;
  attributes?: Record<string, string>;
}

export interface Stored {
  key: string;
  timestamp: string;
  partition: number;
}

export interface Message {
  message_id: string;
  timestamp: string;
  partition: number;
  body: string;
  encoding?: "base64";
  content_type?: string;
  attributes?: Record<string, string>;
}

export interface Page {
  messages: Message[];
  /** Send it back as `cursor`. */
  next: string;
  /** Partition -> id: no acknowledged message can still appear at or below it. */
  complete_until?: Record<string, string>;
}

export interface ReadOptions extends Stoppable {
  since?: string | number;
  after?: string | number;
  until?: string | number;
  cursor?: string;
  limit?: number;
  order?: "ascending" | "descending";
  /** Numbers, or "all"; 1 unless given. */
  partitions?: number[] | string;
  wait?: number;
}

export interface FollowOptions extends Stoppable {
  cursor?: string;
  since?: string | number;
  /** Numbers, or "all"; 1 unless given. */
  partitions?: number[] | string;
  /** Hears of every change; `error` is what made it wait. */
  onState?: (state: "connected" | "polling" | "waiting", error?: unknown) => void;
}

export interface ClaimOptions extends Stoppable {
  limit?: number;
  lease?: number;
  wait?: number;
  group?: string;
  partitions?: number[];
  claim_id?: string;
  ack?: string[];
}

export interface Claimed extends Message {
  deliveries: number;
  receipt: string | null;
  lease_until: string | null;
}

export type Outcome = "acked" | "already_acked" | "released" | "extended" | "leased" | "lease_lost" | "unknown";

export interface Settlement {
  receipt: string;
  outcome: Outcome;
  lease_until?: string | null;
}

export interface ClaimAnswer {
  claims: Claimed[];
  /** What became of the receipts in `ack`. */
  acked?: Settlement[];
  guarantee: Guarantee;
}

export interface QueueInfo {
  queue_name: string;
  partitions?: number;
  type?: "public" | "user";
  created?: string;
  count?: number;
}

export interface CallOptions extends Stoppable {
  query?: Record<string, string | number | boolean | null | undefined>;
  json?: unknown;
  body?: BodyInit;
  headers?: Record<string, string>;
}

/** An answer other than 2xx, or the end of a stream that can't go on (`status` 0). */
export class QueueyError extends Error {
  readonly status: number;
  readonly code: string;
  readonly retry: Retry;
  readonly fields: Record<string, string>;
  readonly retryAfterSeconds?: number;
}

export class Queuey {
  constructor(url: string, application: string, options?: Options);
  readonly base: string;
  queue(name: string): Queue;
  queues(options?: { details?: boolean; pageSize?: number }): AsyncGenerator<QueueInfo, void, void>;
  call(method: string, path: string, options?: CallOptions): Promise<any>;
  open(method: string, path: string, options?: CallOptions): Promise<Response>;
}

export class Queue {
  constructor(application: Queuey, name: string);
  readonly application: Queuey;
  readonly name: string;
  readonly path: string;
  publish(messages: string | NewMessage | Array<string | NewMessage>, options?: Stoppable): Promise<Stored[]>;
  read(options?: ReadOptions): Promise<Page>;
  follow(options?: FollowOptions): AsyncGenerator<Message, void, void>;
  claim(options?: ClaimOptions): Promise<ClaimAnswer>;
  ack(receipts: string | string[], options?: Stoppable): Promise<Settlement[]>;
  release(receipts: string | string[], options?: Stoppable & { delay?: number }): Promise<Settlement[]>;
  extend(receipts: string | string[], options?: Stoppable & { lease?: number }): Promise<Settlement[]>;
}
