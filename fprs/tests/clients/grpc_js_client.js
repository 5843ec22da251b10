"use strict";
// @grpc/grpc-js without generated code: messages are bytes as they are.

const assert = require("node:assert");
const { once } = require("node:events");
const { Metadata } = require("@grpc/grpc-js");
const { channel, status: codes } = require("./echo.js");
const { run, say } = require("./transcript.js");

function called(client, name, request, metadata = new Metadata(), options = {}) {
  return new Promise((resolve) => {
    let initial, trailing, answered;
    const call = client[name](request, metadata, options, (error, answer) => (answered = { error, answer }));
    call.on("metadata", (metadata) => (initial = metadata));
    call.on("status", (status) => {
      trailing = status;
      setImmediate(() => resolve({ initial, status: trailing, ...answered }));
    });
  });
}

/** Reads a stream that must fail; what came before, and how it did. */
async function failing(call) {
  const pieces = [];
  call.on("data", (piece) => pieces.push(piece.toString()));
  const [error] = await once(call, "error");
  return [pieces, error];
}

run(async () => {
  const client = channel();
  const metadata = new Metadata();
  metadata.set("x-sent", "one");
  metadata.set("x-sent-bin", Buffer.from([0, 1, 255]));
  const soon = { deadline: Date.now() + 20_000 };
  const sent = Buffer.alloc(100_000, 7);
  const { answer, initial, status } = await called(client, "unary", sent, metadata, soon);
  say("unary", answer, initial.get("x-initial"), initial.get("x-data-bin")[0]);
  say("status", status.code, status.details, status.metadata.get("x-trailing"));
  say("back", status.metadata.get("x-back-bin")[0], status.metadata.get("x-deadline"));
  const failed = await called(client, "fail", Buffer.from("why ☃"));
  assert.equal(failed.error.code, codes.FAILED_PRECONDITION);
  const detail = failed.error.metadata.get("x-detail-bin")[0];
  say("error", failed.error.code, failed.error.details, detail);
  const [before, late] = await failing(client.failLate(Buffer.alloc(0)));
  say("late error", before, late.code, late.details, late.metadata.get("x-detail"));
  const nothing = await called(client, "nothing", Buffer.alloc(0));
  say("no method", nothing.error.code, nothing.error.details);
  const began = Date.now();
  const [hung, exceeded] = await failing(client.hang(Buffer.alloc(0), { deadline: began + 500 }));
  assert(Date.now() - began < 2000);
  say("deadline", hung, exceeded.code);

  const counted = [];
  for await (const piece of client.count(Buffer.from("500"))) counted.push(piece);
  say("server streaming", counted.length, Buffer.concat(counted));

  const total = new Promise((resolve, reject) => {
    const call = client.total((error, answer) => (error ? reject(error) : resolve(answer)));
    for (let size = 0; size < 500; size++) call.write(Buffer.alloc(size));
    call.end();
  });
  say("client streaming", (await total).toString());

  const echo = client.echo();
  const ended = once(echo, "status");
  for (let number = 0; number < 200; number++) {
    echo.write(Buffer.from(`${number}`));
    const [back] = await once(echo, "data");
    assert.equal(back.toString(), `${number}`);
  }
  echo.end();
  echo.resume();
  say("bidi", (await ended)[0].code);
  client.close();
});
