"use strict";
// @grpc/grpc-js: what a call to a server without replica, and to a host nobody has, ends with.

const { channel, status } = require("./echo.js");
const { authority, run } = require("./transcript.js");

run(async () => {
  for (const name of [authority, "nobody.region.localhost"]) {
    const client = channel(name);
    const error = await new Promise((resolve) => client.unary(Buffer.alloc(0), resolve));
    console.log(status[error.code], error.metadata.get("x-fprs-reason")[0]);
    client.close();
  }
});
