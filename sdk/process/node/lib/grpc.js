// gRPC over HTTP/2, as far as a plugin and its host need it.
import http2 from "node:http2";
import tls from "node:tls";

export const maxMessage = (8 << 20) + (64 << 10); // bytes, in both directions
export const status = { ok: 0, permissionDenied: 7, resourceExhausted: 8, unimplemented: 12, internal: 13, unavailable: 14 };

/** A call that had no answer. */
export class Status extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

function framed(data) {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(data.length, 1);
  return Buffer.concat([head, data]);
}

/** Gives the messages of a stream one by one. Chunks are joined once a message is complete. */
async function* messages(stream) {
  let held = [];
  let size = 0;
  let wanted = 5; // bytes of which it is known that they belong to the next message
  for await (const chunk of stream) {
    held.push(chunk);
    size += chunk.length;
    while (size >= wanted) {
      const all = held.length === 1 ? held[0] : Buffer.concat(held, size);
      const length = all.readUInt32BE(1);
      if (length > maxMessage) throw new Status(status.resourceExhausted, `a message is larger than ${maxMessage} bytes`);
      if (all[0] !== 0) throw new Status(status.unimplemented, "a message is compressed");
      held = [all];
      wanted = 5 + length;
      if (size < wanted) break;
      yield all.subarray(5, wanted);
      held = [all.subarray(wanted)];
      size -= wanted;
      wanted = 5;
    }
  }
}

/** One call of the host. */
export class Call {
  #stream;
  #answered = false;
  #finished = false;
  /** Ends when the host ends the call. */
  signal;

  constructor(stream) {
    this.#stream = stream;
    const stop = new AbortController();
    this.signal = stop.signal;
    stream.on("error", () => {}); // is told by close
    stream.on("close", () => this.#finished || stop.abort());
  }

  async receive() {
    for await (const data of messages(this.#stream.iterator({ destroyOnReturn: false }))) return data;
    return Buffer.alloc(0);
  }

  messages() {
    return messages(this.#stream);
  }

  begin() {
    if (this.#answered || this.closed) return;
    this.#answered = true;
    this.#stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  }

  get closed() {
    return this.#stream.closed || this.#stream.destroyed;
  }

  /** Sends a message. False once nobody hears it; else a promise that ends when more may be sent. */
  send(data) {
    if (this.closed) return false;
    this.begin();
    if (this.#stream.write(framed(data))) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        this.#stream.off("drain", done).off("close", done);
        resolve();
      };
      this.#stream.on("drain", done).on("close", done);
    });
  }

  /** Ends the call. */
  finish(code = status.ok, text = "") {
    if (this.#finished || this.closed) return;
    this.#finished = true;
    const trailers = { "grpc-status": String(code) };
    if (text) trailers["grpc-message"] = encodeURIComponent(text.slice(0, 1000)).replaceAll("%20", " ");
    if (!this.#answered) {
      this.#stream.respond({ ":status": 200, "content-type": "application/grpc", ...trailers }, { endStream: true });
      return;
    }
    this.#stream.on("wantTrailers", () => this.#stream.sendTrailers(trailers));
    this.#stream.end();
  }
}

/** Listens on a socket and hands calls to handlers, by path. */
export function listen(path, credentials, handlers, onLost) {
  const options = { settings: { initialWindowSize: 1 << 20, maxConcurrentStreams: 100 }, maxSessionMemory: 256 };
  const server = credentials
    ? http2.createSecureServer({ ...options, ...credentials, requestCert: true, rejectUnauthorized: true, minVersion: "TLSv1.2" })
    : http2.createServer(options);
  server.on("session", (session) => {
    session.on("error", () => {}); // is told by close
    session.on("close", onLost);
  });
  server.on("stream", async (stream, headers) => {
    const call = new Call(stream);
    try {
      const handler = handlers[headers[":path"]];
      if (!handler) throw new Status(status.unimplemented, `unknown method ${headers[":path"]}`);
      await handler(call);
      call.finish();
    } catch (error) {
      call.finish(error instanceof Status ? error.code : status.internal, String(error?.message ?? error));
    }
  });
  return new Promise((resolve, reject) => server.on("error", reject).listen(path, resolve));
}

/** A connection to the services of the host. */
export class Client {
  #session;
  #waiting = [];
  #free = 8; // as many calls as the host takes at once

  constructor(session) {
    this.#session = session;
  }

  static connect(path, credentials) {
    return new Promise((resolve, reject) => {
      const session = http2.connect(credentials ? "https://localhost" : "http://localhost", {
        settings: { initialWindowSize: 1 << 20, enablePush: false },
        maxSessionMemory: 256,
        ...(credentials
          ? { createConnection: () => tls.connect({ ...credentials, path, servername: "localhost", ALPNProtocols: ["h2"], minVersion: "TLSv1.2" }) }
          : { path }),
      });
      session.once("error", reject);
      session.once("connect", () => {
        session.off("error", reject).on("error", () => {}); // is told by the calls
        resolve(new Client(session));
      });
    });
  }

  get lost() {
    return this.#session.closed || this.#session.destroyed;
  }

  /** Makes one call and returns the answer. */
  async call(path, request) {
    if (this.#free > 0) this.#free--;
    else await new Promise((resolve) => this.#waiting.push(resolve));
    try {
      return await this.#ask(path, request);
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free++;
    }
  }

  async #ask(path, request) {
    if (this.lost) throw new Status(status.unavailable, "the connection to the host is lost");
    const stream = this.#session.request({ ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers" });
    let said = {};
    stream.on("response", (headers) => (said = { ...said, ...headers }));
    stream.on("trailers", (headers) => (said = { ...said, ...headers }));
    stream.end(framed(request));
    let answer;
    try {
      for await (const data of messages(stream)) answer = data;
    } catch (error) {
      throw error instanceof Status ? error : new Status(status.unavailable, `the connection to the host is lost: ${error.message}`);
    }
    const code = Number(said["grpc-status"] ?? status.internal);
    if (code !== status.ok || answer === undefined) {
      throw new Status(code || status.internal, decodeURIComponent(said["grpc-message"] ?? "no answer"));
    }
    return answer;
  }
}
