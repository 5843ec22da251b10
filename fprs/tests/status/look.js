"use strict";
// Headless Chromium on a status page: signs in, looks, and says what it saw, a line of JSON each.

const { spawn } = require("node:child_process");
const { once } = require("node:events");
const fs = require("node:fs");
const http = require("node:http");
const os = require("node:os");
const path = require("node:path");

const { ADDRESS, TOKEN, CHROMIUM, PICTURES } = process.env;
const AXE = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
// A replica is looked for this often.
const GLANCE = 20;
const PATIENCE = 20_000;

const say = (name, seen) => console.log(JSON.stringify({ name, ...seen }));
const pause = (ms) => new Promise((wake) => setTimeout(wake, ms));

/** The DevTools protocol over the browser's pipe. */
class Browser {
  constructor(child) {
    [, , , this.to, this.from] = child.stdio;
    this.waiting = new Map();
    this.heard = [];
    let rest = "";
    this.from.setEncoding("utf8").on("data", (text) => {
      const messages = (rest + text).split("\0");
      rest = messages.pop();
      for (const message of messages.map((message) => JSON.parse(message))) {
        if (message.id === undefined) this.heard.push(message);
        else this.waiting.get(message.id)(message);
      }
    });
  }

  send(method, params = {}) {
    return new Promise((resolve, reject) => {
      const id = this.waiting.size;
      this.waiting.set(id, ({ error, result }) =>
        error ? reject(new Error(`${method}: ${error.message}`)) : resolve(result),
      );
      this.to.write(`${JSON.stringify({ id, method, params, sessionId: this.session })}\0`);
    });
  }

  async open() {
    const { targetId } = await this.send("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await this.send("Target.attachToTarget", { targetId, flatten: true });
    this.session = sessionId;
    for (const domain of ["Page", "Runtime", "Log", "Network"]) await this.send(`${domain}.enable`);
  }

  async run(expression) {
    const params = { expression, awaitPromise: true, returnByValue: true };
    const { exceptionDetails, result } = await this.send("Runtime.evaluate", params);
    if (exceptionDetails) throw new Error(JSON.stringify(exceptionDetails));
    return result.value;
  }

  async until(expression) {
    const deadline = Date.now() + PATIENCE;
    for (;;) {
      const value = await this.run(expression);
      if (value) return value;
      if (Date.now() > deadline) throw new Error(`never: ${expression}`);
      await pause(GLANCE);
    }
  }

  async key(key, text) {
    const code = { Enter: 13, Tab: 9 }[key];
    const params = { key, code: key, windowsVirtualKeyCode: code, text };
    await this.send("Input.dispatchKeyEvent", { type: text ? "keyDown" : "rawKeyDown", ...params });
    await this.send("Input.dispatchKeyEvent", { type: "keyUp", ...params });
  }

  /** What axe finds, and a picture of what it looked at. */
  async judge(name) {
    const { data } = await this.send("Page.captureScreenshot", { captureBeyondViewport: true });
    fs.writeFileSync(path.join(PICTURES, `${name}.png`), Buffer.from(data, "base64"));
    const violations = await this.run(
      `axe.run().then(({ violations }) => violations.map(({ id, nodes }) => id + ": " + nodes.map((node) => node.html).join(" ")))`,
    );
    say(name, { violations });
  }

  of(method) {
    return this.heard.filter((message) => message.method === method).map(({ params }) => params);
  }
}

/** What the plane's own API says. */
function ask(what) {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${TOKEN}` };
    http
      .get(`http://${ADDRESS}${what}`, { headers, agent: false }, (answer) => {
        let text = "";
        answer.setEncoding("utf8").on("data", (piece) => (text += piece));
        answer.on("end", () => resolve(JSON.parse(text)));
      })
      .on("error", reject);
  });
}

async function load(browser) {
  await browser.send("Page.navigate", { url: `http://${ADDRESS}/` });
  await browser.until(`document.querySelector("#enter") && !document.querySelector("#enter").hidden`);
  const loaded = browser.of("Network.loadingFinished");
  const asked = browser.of("Network.requestWillBeSent").map(({ request }) => request.url);
  const strangers = asked.filter((url) => !url.startsWith(`http://${ADDRESS}/`) && !url.startsWith("data:"));
  say("loaded", { bytes: loaded.reduce((sum, { encodedDataLength }) => sum + encodedDataLength, 0), strangers });
}

async function signIn(browser) {
  await browser.send("Input.insertText", { text: TOKEN });
  await browser.key("Enter", "\r");
  await browser.until(`!document.querySelector("#all").hidden`);
}

/** From the plane saying that the third replica is ready to the page showing it. */
async function scaleUp(browser) {
  const ready = (replicas) => replicas.filter(({ state }) => state === "ready").length === 3;
  const shown = `document.querySelectorAll("#servers tr[data-key=web] li[data-state=ready]").length === 3 && Date.now()`;
  const pageShows = browser.until(shown);
  const deadline = Date.now() + PATIENCE;
  while (!ready(await ask("/v1/servers/web/replicas"))) {
    if (Date.now() > deadline) throw new Error("three replicas never got ready");
    await pause(GLANCE);
  }
  const since = Date.now();
  say("live", { late_ms: (await pageShows) - since });
}

async function sections(browser) {
  const names = ["servers", "workers", "processes", "answers", "mirrors", "egress", "tenants"];
  const text = `Object.fromEntries(${JSON.stringify(names)}.map((name) => [name, document.getElementById(name).hidden ? "" : document.getElementById(name).innerText]))`;
  say("seen", await browser.run(text));
}

async function control(browser) {
  await scaleUp(browser);
  await browser.until(`document.querySelector("#servers .problem") && document.querySelector("#answers tbody th")`);
  await browser.until(`!document.querySelector("#mirrors").hidden && !document.querySelector("#egress").hidden`);
  await browser.until(`/unauthenticated/.test(document.querySelector("#answers").innerText)`);
  await browser.until(`document.querySelector("#servers tr[data-key=web]").lastElementChild.textContent === "3"`);
  await sections(browser);
  await browser.run(AXE);
  const screen = (width) =>
    browser.send("Emulation.setDeviceMetricsOverride", { width, height: 900, deviceScaleFactor: 1, mobile: false });
  const scheme = (value) =>
    browser.send("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value }] });
  await screen(1280);
  await scheme("light");
  await browser.judge("light");
  await scheme("dark");
  await browser.judge("dark");
  await screen(400);
  await scheme("light");
  await browser.judge("narrow");
  await screen(1280);
  await browser.run(`document.querySelector("#leave").click()`);
  await browser.judge("sign-in");
  await signIn(browser);
  const signed_in = await browser.run(`document.querySelector("#state").textContent === "live"`);
  say("keys", { signed_in });
}

async function visit(browser) {
  await browser.open();
  await load(browser);
  await signIn(browser);
  if (await browser.run(`document.documentElement.dataset.role === "control"`)) await control(browser);
  else {
    await browser.until(`!document.querySelector("#processes").hidden`);
    await sections(browser);
  }
  const said = browser.of("Runtime.consoleAPICalled").map(({ args }) => args.map(({ value }) => value).join(" "));
  const logged = browser.of("Log.entryAdded").map(({ entry }) => `${entry.text} ${entry.url ?? ""}`);
  const thrown = browser.of("Runtime.exceptionThrown").map(({ exceptionDetails }) => exceptionDetails.text);
  say("end", { console: [...said, ...logged, ...thrown] });
  browser.session = undefined;
  await browser.send("Browser.close");
}

async function main() {
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), "chromium-"));
  const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"];
  flags.push("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server");
  flags.push("--remote-debugging-pipe", `--user-data-dir=${profile}`);
  // It ends with its pipes: also when we are killed.
  const stdio = ["ignore", "ignore", "ignore", "pipe", "pipe"];
  const child = spawn(CHROMIUM, flags, { stdio });
  const gone = once(child, "exit");
  await visit(new Browser(child));
  await gone;
  fs.rmSync(profile, { recursive: true, force: true });
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
