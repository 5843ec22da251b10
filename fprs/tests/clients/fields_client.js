"use strict";
// Node's own clients over HTTP/1.1 and HTTP/2: responses before the response, and trailers both ways.

const assert = require("node:assert");
const { once } = require("node:events");
const http = require("node:http");
const http2 = require("node:http2");
const { address, authority, fields, more, run, say } = require("./transcript.js");

/** Without the pseudo-fields and the marks of HTTP/2. */
const plain = (headers) => fields(headers).filter(([name]) => !name.startsWith(":"));

async function one(path, body) {
  const [host, port] = address.split(":");
  const method = body === undefined ? "GET" : "POST";
  const request = http.request({ host, port, path, method, headers: { host: authority } });
  const early = [];
  request.on("information", ({ statusCode, headers }) => early.push([statusCode, plain(headers)]));
  if (body !== undefined) {
    request.setHeader("trailer", "x-sum");
    request.write(body);
    request.addTrailers({ "x-sum": "7" });
  }
  request.end();
  const [response] = await once(request, "response");
  const text = (await response.toArray()).join("");
  return [early, response.statusCode, plain(response.headers), text, plain(response.trailers)];
}

async function two(session, path, body) {
  const pseudo = { ":path": path, ":authority": authority };
  const early = [];
  const answered = (request) => {
    request.on("headers", (headers) => early.push([headers[":status"], plain(headers)]));
    request.on("trailers", (headers) => (request.last = plain(headers)));
    return once(request, "response");
  };
  let request;
  if (body === undefined) {
    request = session.request({ ...pseudo, ":method": "GET" });
  } else {
    const headers = { ...pseudo, ":method": "POST", trailer: "x-sum", te: "trailers" };
    request = session.request(headers, { waitForTrailers: true });
    request.on("wantTrailers", () => request.sendTrailers({ "x-sum": "7" }));
    request.end(body);
  }
  const [headers] = await answered(request);
  const text = (await request.toArray()).join("");
  return [early, headers[":status"], plain(headers), text, request.last ?? []];
}

run(async () => {
  const session = more[0] === "2" ? http2.connect(`http://${address}`) : undefined;
  const ask = (path, body) => (session ? two(session, path, body) : one(path, body));
  for (const body of [undefined, "a body", "x".repeat(300_000)]) {
    const path = body === undefined ? "/hints" : "/trailers";
    const seen = await ask(path, body);
    if (body === undefined) assert.equal(seen[0].length, 2);
    else assert.deepEqual(seen[4], [["x-length", `${body.length}`], ["x-sent", "7"]]);
    say(path, ...seen);
  }
  session?.close();
});
