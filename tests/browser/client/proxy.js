/** Stands between the client and the service: counts, cuts and refuses connections, and spoils answers. */

import http from "node:http";

export class Proxy {
  /** Requests as they came: `{method, path, headers}`. */
  requests = [];
  /** Set to a function `(request) => "pass" | "refuse" | "lose" | "hold" | "plain"`. */
  rule = () => "pass";
  #connections = new Set();

  static async before(service) {
    const proxy = new Proxy();
    proxy.service = new URL(service);
    proxy.server = http.createServer((request, response) => proxy.#serve(request, response));
    proxy.server.on("connection", (socket) => {
      proxy.#connections.add(socket);
      socket.on("close", () => proxy.#connections.delete(socket));
    });
    await new Promise((resolve) => proxy.server.listen(0, "127.0.0.1", resolve));
    proxy.url = `http://127.0.0.1:${proxy.server.address().port}`;
    return proxy;
  }

  /** Break every connection. */
  cut() {
    for (const socket of this.#connections) socket.destroy();
  }

  async close() {
    this.cut();
    await new Promise((resolve) => this.server.close(resolve));
  }

  #serve(request, response) {
    this.requests.push({ method: request.method, path: request.url, headers: request.headers });
    const word = this.rule(request);
    if (word === "refuse") {
      response.writeHead(503, { "Content-Type": "application/json", "Retry-After": "0" });
      response.end(JSON.stringify({ status: "error", code: "overloaded", retry: "later", error_msg: { node: "is full" } }));
      return;
    }
    const { hostname, port } = this.service;
    const onward = http.request(
      { hostname, port, method: request.method, path: request.url, headers: request.headers, agent: false },
      (answer) => this.#pass(word, request, answer, response),
    );
    onward.on("error", () => response.destroy());
    response.on("close", () => onward.destroy());
    request.pipe(onward);
  }

  #pass(word, request, answer, response) {
    answer.on("error", () => response.destroy());
    if (word === "lose") {
      // The service has answered, and the client never hears of it.
      answer.resume().on("end", () => request.socket.destroy());
    } else if (word === "plain") {
      answer.destroy();
      response.writeHead(200, { "Content-Type": "text/plain" }).end("streams are not for this proxy");
    } else if (word === "hold") {
      response.writeHead(answer.statusCode, answer.headers).flushHeaders();
      answer.resume();
    } else {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    }
  }
}
