"use strict";
// The gRPC program's methods without generated code: messages are bytes as they are.

const grpc = require("@grpc/grpc-js");
const { address, authority } = require("./transcript.js");

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
  gone: method("Gone", false, false),
  nothing: method("Nothing", false, false),
  count: method("Count", false, true),
  failLate: method("FailLate", false, true),
  hang: method("Hang", false, true),
  total: method("Total", true, false),
  echo: method("Echo", true, true),
});

/** A client of the program, under that host name. */
function channel(name = authority) {
  const credentials = grpc.credentials.createInsecure();
  return new Echo(address, credentials, { "grpc.default_authority": name });
}

module.exports = { channel, status: grpc.status };
