"use strict";
// undici over HTTP/1.1: requests, streams both ways, events read as they come.

const assert = require("node:assert");
const { Readable } = require("node:stream");
const { Client } = require("undici");
const { address, authority, fields, run, say } = require("./transcript.js");

const BODY = Buffer.alloc(1 << 20, Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)));

function* pieces() {
  for (let start = 0; start < BODY.length; start += 50_000) {
    yield BODY.subarray(start, start + 50_000);
  }
}

/** Each event is here before the next is sent. */
async function paced(ask) {
  const other = new Client(`http://${address}`);
  const { body } = await ask("GET", "/paced?run=undici");
  let number = 0;
  for await (const event of body) {
    say("event", event.toString());
    const path = `/arrived?run=undici&number=${number}`;
    const { statusCode, body } = await other.request({
      method: "POST",
      path,
      headers: { host: authority },
    });
    assert.equal(statusCode, 200);
    await body.dump();
    number += 1;
  }
  assert.equal(number, 20);
  await other.close();
}

run(async () => {
  const client = new Client(`http://${address}`, { pipelining: 1 });
  const ask = (method, path, more = {}) =>
    client.request({ method, path, headers: { host: authority, ...more.headers }, ...more });

  for (const [method, path] of [
    ["GET", "/hello"],
    ["HEAD", "/hello"],
    ["GET", "/status/204"],
    ["GET", "/status/404"],
    ["PATCH", "/fields?a=1&b=%2F%20"],
  ]) {
    const { statusCode, headers, body } = await ask(method, path);
    say(`${method} ${path}`, statusCode, fields(headers), Buffer.from(await body.arrayBuffer()));
  }
  say("sized upload", await (await ask("POST", "/digest", { body: BODY })).body.json());
  const upload = { body: Readable.from(pieces()) };
  say("streamed upload", await (await ask("POST", "/digest", upload)).body.json());
  const echoed = await ask("POST", "/echo", { body: Readable.from(pieces()) });
  const back = Buffer.from(await echoed.body.arrayBuffer());
  assert(back.equals(BODY));
  say("echo", back);
  const events = await ask("GET", "/events");
  say("events", (await events.body.text()).split("\n"));
  await paced(ask);
  const download = await ask("GET", "/download");
  say("download", Buffer.from(await download.body.arrayBuffer()));
  await client.close();
});
