"use strict";
// Headless Chromium: opens the program's page, and says what the page saw.

const assert = require("node:assert");
const { spawn } = require("node:child_process");
const { createHash, X509Certificate } = require("node:crypto");
const { once } = require("node:events");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { address, authority, run } = require("./transcript.js");

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-dev-shm-usage",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-proxy-server",
  "--remote-debugging-pipe",
  // Whatever this machine makes of such names.
  `--host-resolver-rules=MAP ${authority} 127.0.0.1`,
];

/** Sends a command of the DevTools protocol, and waits for its result. */
function commands(browser) {
  const [, , , to, from] = browser.stdio;
  const waiting = new Map();
  const loaded = once(from, "loaded");
  let rest = "";
  from.setEncoding("utf8").on("data", (text) => {
    const messages = (rest + text).split("\0");
    rest = messages.pop();
    for (const message of messages.map((message) => JSON.parse(message))) {
      if (message.id !== undefined) waiting.get(message.id)(message);
      if (message.method === "Page.loadEventFired") from.emit("loaded");
    }
  });
  const command = (method, params, sessionId) =>
    new Promise((resolve, reject) => {
      const id = waiting.size;
      waiting.set(id, ({ error, result }) =>
        error ? reject(new Error(`${method}: ${error.message}`)) : resolve(result),
      );
      to.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    });
  return { command, loaded };
}

/** What the page's `transcript` comes to. */
async function visit(browser, url) {
  const { command, loaded } = commands(browser);
  const { targetId } = await command("Target.createTarget", { url: "about:blank" });
  const { sessionId } = await command("Target.attachToTarget", { targetId, flatten: true });
  await command("Page.enable", {}, sessionId);
  const { errorText } = await command("Page.navigate", { url }, sessionId);
  assert.equal(errorText, undefined);
  await loaded;
  const expression = { expression: "window.transcript", awaitPromise: true, returnByValue: true };
  const { exceptionDetails, result } = await command("Runtime.evaluate", expression, sessionId);
  assert.equal(exceptionDetails, undefined, JSON.stringify(exceptionDetails));
  await command("Browser.close");
  return result.value;
}

/** Trusts the authority of the edge behind the address by its key, where there is one. */
function trust() {
  if (!process.env.CA) return [];
  const { publicKey } = new X509Certificate(fs.readFileSync(process.env.CA));
  const key = publicKey.export({ type: "spki", format: "der" });
  const digest = createHash("sha256").update(key).digest("base64");
  return [`--ignore-certificate-errors-spki-list=${digest}`];
}

run(async () => {
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), "chromium-"));
  const flags = [...FLAGS, ...trust(), `--user-data-dir=${profile}`];
  // It takes commands on descriptor 3, answers on 4, and ends with them: also when we are killed.
  const stdio = ["ignore", "ignore", "pipe", "pipe", "pipe"];
  const browser = spawn(process.env.CHROMIUM, flags, { stdio });
  const said = [];
  browser.stderr.setEncoding("utf8").on("data", (text) => said.push(text));
  const gone = once(browser, "exit");
  const early = gone.then(() => Promise.reject(new Error(`it ended early:\n${said.join("")}`)));
  early.catch(() => {});
  const port = address.split(":")[1];
  const url = `${process.env.CA ? "https" : "http"}://${authority}:${port}/page`;
  console.log(await Promise.race([visit(browser, url), early]));
  await gone;
});
