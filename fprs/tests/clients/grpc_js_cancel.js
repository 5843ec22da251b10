"use strict";
// @grpc/grpc-js: cancels a call, and says when by the clock that the program notes by.

const { once } = require("node:events");
const { channel } = require("./echo.js");
const { more, run } = require("./transcript.js");

run(async () => {
  const client = channel();
  const call = client.hang(Buffer.from(more[0]));
  call.on("error", () => {});
  await once(call, "data");
  const now = Date.now() / 1000;
  call.cancel();
  const ask = (name, request) =>
    new Promise((resolve, reject) =>
      client[name](request, (error, answer) => (error ? reject(error) : resolve(answer))),
    );
  // The channel stays, also on the wire: only the call ends.
  await ask("unary", Buffer.from("after"));
  await ask("gone", Buffer.from(more[0]));
  console.log(now.toFixed(6));
  client.close();
});
