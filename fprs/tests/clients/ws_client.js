"use strict";
// ws: messages, fragments, pings, extensions, subprotocols and closes.

const assert = require("node:assert");
const { once } = require("node:events");
const WebSocket = require("ws");
const { address, authority, run, say } = require("./transcript.js");

async function talk(options, end) {
  const socket = new WebSocket(`ws://${address}/`, ["other", "echo.v2"], {
    headers: { host: authority },
    ...options,
  });
  await once(socket, "open");
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
  const closed = once(socket, "close");
  end(socket);
  const [code, reason] = await closed;
  say("closed", code, reason.toString());
  return code;
}

run(async () => {
  assert.equal(await talk({ perMessageDeflate: true }, (socket) => socket.send("close")), 4001);
  await talk({ perMessageDeflate: false }, (socket) => socket.close(4002, "leaving"));
});
