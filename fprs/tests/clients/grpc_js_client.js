"use strict";
// @grpc/grpc-js without generated code: messages are bytes as they are.

const assert = require("node:assert");
const { once } = require("node:events");
const grpc = require("@grpc/grpc-js");
const { address, authority, run, say } = require("./transcript.js");

const same = (bytes) => bytes;
const method = (name, requestStream, responseStream) => ({
  path: `/test.Echo/${name}`,
  requestStream,
  responseStream,
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
});
const Echo = grpc.makeGenericClientConstructor({
  unary: method("Unary", false, false),
  fail: method("Fail", false, false),
  count: method("Count", false, true),
  total: method("Total", true, false),
  echo: method("Echo", true, true),
});

function called(client, name, request) {
  return new Promise((resolve) => {
    let initial, trailing, answered;
    const call = client[name](request, (error, answer) => (answered = { error, answer }));
    call.on("metadata", (metadata) => (initial = metadata));
    call.on("status", (status) => {
      trailing = status;
      setImmediate(() => resolve({ initial, status: trailing, ...answered }));
    });
  });
}

run(async () => {
  const client = new Echo(address, grpc.credentials.createInsecure(), {
    "grpc.default_authority": authority,
  });
  const { answer, initial, status } = await called(client, "unary", Buffer.alloc(100_000, 7));
  say("unary", answer, initial.get("x-initial"), initial.get("x-data-bin"));
  say("status", status.code, status.details, status.metadata.get("x-trailing"));
  const failed = await called(client, "fail", Buffer.from("why"));
  assert.equal(failed.error.code, grpc.status.FAILED_PRECONDITION);
  say("error", failed.error.code, failed.error.details, failed.error.metadata.get("x-detail-bin"));

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
