"use strict";
// ws: messages, fragments, pings, extensions, subprotocols and closes.

const assert = require("node:assert");
const { once } = require("node:events");
const http = require("node:http");
const net = require("node:net");
const WebSocket = require("ws");
const { address, authority, digest, run, say } = require("./transcript.js");

const CODES = [
  [1000, ""],
  [1001, "going"],
  [1008, "x".repeat(123)],
  [1011, "☃"],
  [3000, "lib"],
  [4999, "last"],
];

/** Opens a socket that keeps what comes and goes on its connection. */
async function open(path, options = {}) {
  const wire = { came: [], went: [] };
  const createConnection = (to) => {
    const connection = net.connect(to);
    connection.on("data", (data) => wire.came.push(data));
    const write = connection.write;
    connection.write = function (data, encoding, ...more) {
      const coding = typeof encoding === "string" ? encoding : undefined;
      wire.went.push(Buffer.from(data, coding));
      return write.call(this, data, encoding, ...more);
    };
    return connection;
  };
  const socket = new WebSocket(`ws://${address}${path}`, ["other", "echo.v2"], {
    headers: { host: authority },
    createConnection,
    ...options,
  });
  await once(socket, "open");
  return { path, socket, wire };
}

function frames(pieces) {
  const bytes = Buffer.concat(pieces);
  return digest(bytes.subarray(bytes.indexOf("\r\n\r\n") + 4));
}

/** Ends a socket; says how it closed, and that both ends saw the same bytes. */
async function closed({ path, socket, wire }, end) {
  const close = once(socket, "close");
  end(socket);
  const [code, reason] = await close;
  say("closed", code, reason.toString());
  const [host, port] = address.split(":");
  const asked = http.get({ host, port, path: `/frames${path}`, headers: { host: authority } });
  const [response] = await once(asked, "response");
  const [came, went] = (await response.toArray()).join("").split("\n");
  assert.deepEqual({ came, went }, { came: frames(wire.went), went: frames(wire.came) });
  // What comes is not masked: the same each time.
  say("frames", went);
  return code;
}

async function talk({ socket }) {
  say("opened", socket.protocol, socket.extensions);
  const ask = async (message) => {
    const answer = once(socket, "message");
    socket.send(message);
    return answer;
  };
  for (const message of ["text ☃", "", "x".repeat(65_536), "y".repeat(300_000)]) {
    const [data, binary] = await ask(message);
    assert(!binary && data.toString() === message);
  }
  const bytes = Buffer.alloc(200_000, 0xa7);
  const [data, binary] = await ask(bytes);
  assert(binary && data.equals(bytes));
  const fragmented = once(socket, "message");
  socket.send("frag", { fin: false });
  socket.send("mented", { fin: true });
  say("fragmented", (await fragmented)[0].toString());
  const pong = once(socket, "pong");
  socket.ping("are you there");
  say("pong", (await pong)[0].toString());
  const pinged = once(socket, "ping");
  const answer = once(socket, "message");
  socket.send("ping me");
  say("pinged", (await pinged)[0].toString(), (await answer)[0].toString());
}

run(async () => {
  const deflate = await open("/deflate", { perMessageDeflate: { threshold: 0 } });
  await talk(deflate);
  assert.match(deflate.socket.extensions, /permessage-deflate/);
  assert.equal(await closed(deflate, (socket) => socket.send("close 4001 as you wish ☃")), 4001);
  const plain = await open("/plain", { perMessageDeflate: false });
  await talk(plain);
  assert.equal(plain.socket.extensions, "");
  await closed(plain, (socket) => socket.close(4002, "leaving"));
  for (const [code, reason] of CODES) {
    const theirs = await open(`/by-the-program/${code}`);
    await closed(theirs, (socket) => socket.send(`close ${code} ${reason}`));
    const ours = await open(`/by-the-client/${code}`);
    await closed(ours, (socket) => socket.close(code, reason));
  }
  const aborted = await open("/aborted");
  const close = once(aborted.socket, "close");
  aborted.socket.send("abort");
  assert.equal((await close)[0], 1006);
  (await open("/left")).socket.terminate();
});
