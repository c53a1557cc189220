/** A page of examples that are shown as they run. */

import { Queuey, QueueyError } from "/queuey.js";

const examples = {
  create: {
    title: "Make a queue",
    async run({ queuey, queue, show }) {
      show(await queuey.call("POST", "", { json: { queue_name: queue.name } }));
    },
  },
  publish: {
    title: "Publish",
    async run({ queue, show }) {
      // Sent again while the outcome is unknown, and stored once all the same.
      const [one] = await queue.publish("Hello, world");
      show(`stored as ${one.key}`);
      const messages = ["one", "two"].map((body) => ({ body, ttl: 3600, attributes: { source: "examples" } }));
      show(await queue.publish(messages));
    },
  },
  read: {
    title: "Read page by page",
    async run({ queue, show }) {
      let cursor;
      for (let pages = 0; pages < 3; pages += 1) {
        const page = await queue.read({ cursor, limit: 5 });
        for (const message of page.messages) show(message.body);
        if (page.messages.length < 5) break;
        cursor = page.next;
      }
    },
  },
  follow: {
    title: "Follow live",
    async run({ queue, show, signal }) {
      // Goes on over every break: misses nothing, shows nothing twice.
      const onState = (word) => show(`(${word})`);
      for await (const message of queue.follow({ onState, signal })) show(message.body);
    },
  },
  claim: {
    title: "Claim, work, ack",
    async run({ queue, show }) {
      const { claims } = await queue.claim({ limit: 3, lease: 30, wait: 5, group: "examples" });
      if (claims.length === 0) show("nothing to do");
      for (const claim of claims) {
        show(`working on ${claim.body}`);
        const [{ outcome }] = await queue.ack(claim.receipt);
        show(outcome); // "lease_lost": another worker has it, undo what was done
      }
    },
  },
  refuse: {
    title: "Hear a refusal",
    async run({ queue, show }) {
      try {
        await queue.publish({ body: "x", ttl: -1 });
      } catch (error) {
        if (!(error instanceof QueueyError)) throw error; // the network
        show(`${error.status} ${error.code}, try again: ${error.retry}`);
      }
    },
  },
};

let running = new AbortController();

function given() {
  const form = document.getElementById("identity");
  if (!form.reportValidity()) throw new Error("something is missing above");
  const { application, key, link, queue } = Object.fromEntries(new FormData(form));
  const queuey = new Queuey(location.origin, application, { key: key || undefined, link: link || undefined });
  return { queuey, queue: queuey.queue(queue) };
}

function section(name, { title, run }) {
  const made = document.createElement("section");
  const code = run.toString().split("\n").slice(1, -1).map((line) => line.slice(6)).join("\n");
  const parts = { h2: title, pre: code, button: "Run", output: "" };
  const elements = Object.entries(parts).map(([tag, text]) => {
    const element = document.createElement(tag);
    element.textContent = text;
    return element;
  });
  const [heading, shown, button, output] = elements;
  made.id = name;
  heading.id = `${name}-title`;
  made.setAttribute("aria-labelledby", heading.id);
  shown.tabIndex = 0;
  button.type = "button";
  button.setAttribute("aria-label", `Run: ${title}`);
  output.className = "shown";
  button.addEventListener("click", () => start(run, output));
  made.append(...elements);
  return made;
}

async function start(run, output) {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  output.textContent = "";
  const show = (value) => {
    output.textContent += `${typeof value === "string" ? value : JSON.stringify(value)}\n`;
  };
  try {
    await run({ ...given(), show, signal });
  } catch (error) {
    show(error instanceof QueueyError ? `${error.message} (${error.code})` : error.message);
  }
}

document.getElementById("examples").append(...Object.entries(examples).map(([name, example]) => section(name, example)));
document.getElementById("identity").addEventListener("submit", (event) => event.preventDefault());
