"use strict";
// An HTTP/1.1 program with what few frameworks send: responses before the response, and trailers.

const { once } = require("node:events");
const fs = require("node:fs");
const http = require("node:http");

const seen = fs.openSync(process.env.SEEN, "a");
const note = (word) => fs.writeSync(seen, `${word} ${Date.now() / 1000}\n`);

const server = http.createServer(async (request, response) => {
  note("begun");
  response.on("close", () => note("ended"));
  if (request.url === "/hints") {
    for (const link of ["</one.css>; rel=preload", "</two.js>; rel=preload"]) {
      await new Promise((sent) => response.writeEarlyHints({ link, "x-early": "1" }, sent));
    }
    response.end("hinted\n");
    return;
  }
  // A field the client announced, and those it sent.
  const announced = request.headers.trailer ?? "none";
  const body = Buffer.concat(await request.toArray());
  response.writeHead(200, { trailer: "x-length, x-sent" });
  response.write(`${announced}\n`);
  response.addTrailers({ "x-length": body.length, "x-sent": request.trailers["x-sum"] ?? "none" });
  response.end("and trailers\n");
});

server.listen(Number(process.env.PORT), "127.0.0.1");
once(server, "error").then(([error]) => {
  throw error;
});
