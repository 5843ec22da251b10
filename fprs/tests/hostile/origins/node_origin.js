// Notes each whole request that Node's own server reads, one line of JSON in $RECORD, and answers its target.
const fs = require("fs");
const http = require("http");

http
  .createServer((request, response) => {
    const pieces = [];
    request.on("data", (piece) => pieces.push(piece));
    request.on("end", () => {
      const field = (name) => request.headers[name] || "";
      const seen = {
        method: request.method,
        target: request.url,
        host: field("host"),
        body: Buffer.concat(pieces).toString("latin1"),
        "x-a": field("x-a"),
        cookie: field("cookie"),
        "content-length": field("content-length"),
        "transfer-encoding": field("transfer-encoding"),
      };
      fs.appendFileSync(process.env.RECORD, JSON.stringify(seen) + "\n");
      response.end(request.url);
    });
  })
  .listen(Number(process.env.PORT), "127.0.0.1");
