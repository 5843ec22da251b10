"use strict";
// What a client saw, as lines that are the same with and without a routing plane between.

const { createHash } = require("node:crypto");

const [address, authority, ...more] = process.argv.slice(2);
// Fields of one hop, or different each time.
const OWN = new Set(["connection", "date", "keep-alive", "transfer-encoding"]);

function say(what, ...seen) {
  const shown = seen.map((item) => (Buffer.isBuffer(item) ? digest(item) : JSON.stringify(item)));
  console.log(what, ...shown);
}

function digest(bytes) {
  return `${bytes.length} bytes ${createHash("sha256").update(bytes).digest("hex")}`;
}

function fields(headers) {
  return Object.entries(headers)
    .filter(([name]) => !OWN.has(name))
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

/** Ends the process with an error unless `main` comes to its end. */
function run(main) {
  main().then(
    () => process.exit(0),
    (error) => {
      console.error(error);
      process.exit(1);
    },
  );
}

module.exports = { address, authority, digest, fields, more, run, say };
