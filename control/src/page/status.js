// Asks this process what it runs, again and again, and shows it. What comes from the plane is only
// ever set as text.

const KEY = "fprs-token";
// Between two looks; one that costs a large plane much is taken less often: a tenth of a core's time.
const EVERY = 400;
const SHARE = 10;
// Between two looks at what changes slowly.
const SLOWLY = 2000;
// How far back "the last minute" and the line of what is in flight go.
const MINUTE = 60_000;

const control = document.documentElement.dataset.role === "control";
const at = (id) => document.getElementById(id);
const history = { inFlight: [], answers: [] };
let generation = 0;

// --- asking

class Refused extends Error {}

/** Asks by one token to the end, whoever signs in meanwhile. */
const by = (token) => async (path) => {
  const headers = { authorization: `Bearer ${token}` };
  const answer = await fetch(path, { headers, cache: "no-store" });
  if (answer.status === 401) throw new Refused("This token is not known, or no longer.");
  if (answer.status === 403) return undefined;
  if (!answer.ok) throw new Error(`the plane answers ${answer.status}`);
  return path === "/metrics" ? answer.text() : answer.json();
};

/** Values of one metric by one label; only those samples that have another one, where it is given. */
function metric(text, name, label, also = "") {
  const values = new Map();
  for (const line of text.split("\n")) {
    if (!line.startsWith(`${name}{`) || !line.includes(also)) continue;
    const end = line.lastIndexOf("}");
    const key = line.slice(name.length + 1, end).match(`${label}="([^"]*)"`)?.[1] ?? "";
    values.set(key, (values.get(key) ?? 0) + Number(line.slice(end + 1)));
  }
  return values;
}

// --- showing

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** Sets a text if it is another one: what stays is not read out again. */
function say(element, text) {
  if (element.textContent !== String(text)) element.textContent = text;
}

/** One child for each item, in their order; those that stay keep their place in the document and the focus. */
function each(parent, items, key, create, fill) {
  const kept = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let before = parent.firstElementChild;
  for (const item of items) {
    let child = kept.get(key(item));
    kept.delete(key(item));
    if (!child) {
      child = create(item);
      child.dataset.key = key(item);
    }
    if (child === before) before = before.nextElementSibling;
    else parent.insertBefore(child, before);
    fill(child, item);
  }
  for (const gone of kept.values()) gone.remove();
}

/** The rows of a section's table: the first cell is its header. `cells` are text, or fill a cell. */
function rows(section, items, key, cells, numbers = []) {
  at(section).hidden = false;
  const body = at(section).querySelector("tbody");
  const none = { none: true };
  each(
    body,
    items.length ? items : [none],
    (item) => (item === none ? "" : key(item)),
    (item) => {
      if (item === none) {
        const columns = at(section).querySelectorAll("thead th").length;
        return make("tr", {}, make("td", { colspan: columns, class: "empty" }, "none"));
      }
      const row = make("tr");
      cells(item).forEach((_, i) => {
        const kind = numbers.includes(i) ? "number" : undefined;
        row.append(i ? make("td", { class: kind }) : make("th", { scope: "row" }));
      });
      return row;
    },
    (row, item) => {
      if (item === none) return;
      cells(item).forEach((cell, i) => {
        if (typeof cell === "function") cell(row.children[i]);
        else say(row.children[i], cell);
      });
    },
  );
}

const tag = (kind, text) => (cell) => {
  const shown = cell.firstElementChild ?? cell.appendChild(make("span"));
  shown.className = `tag ${kind}`;
  say(shown, text);
};

const many = (count, one, more = `${one}s`) => `${count} ${count === 1 ? one : more}`;

function age(seconds) {
  if (seconds === null || seconds === undefined) return "unknown";
  if (seconds < 1) return "under a second";
  if (seconds < 120) return many(Math.floor(seconds), "second");
  if (seconds < 7200) return many(Math.floor(seconds / 60), "minute");
  return many(Math.floor(seconds / 3600), "hour");
}

/** The numbers on top: [name, number, what is worth saying about it]. */
function numbers(items) {
  each(
    at("fleet"),
    items,
    ([name]) => name,
    ([name]) => make("div", {}, make("dt", {}, name), make("dd", {}, make("span"), make("small"))),
    (card, [, number, remark]) => {
      const [value, note] = card.querySelector("dd").children;
      say(value, number);
      if (Array.isArray(remark)) line(note, remark);
      else say(note, remark ?? "");
    },
  );
}

/** What was in flight in the last minute; the number beside it says how much it is now. */
function line(element, points) {
  const SVG = "http://www.w3.org/2000/svg";
  let shape = element.querySelector("polyline");
  if (!shape) {
    const picture = document.createElementNS(SVG, "svg");
    for (const [name, value] of Object.entries({ viewBox: "0 0 100 20", preserveAspectRatio: "none", "aria-hidden": "true" })) {
      picture.setAttribute(name, value);
    }
    shape = picture.appendChild(document.createElementNS(SVG, "polyline"));
    shape.setAttribute("vector-effect", "non-scaling-stroke");
    element.replaceChildren(picture);
  }
  const now = Date.now();
  const highest = Math.max(1, ...points.map(([, value]) => value));
  const place = ([then, value]) => `${100 - (100 * (now - then)) / MINUTE},${19 - (18 * value) / highest}`;
  shape.setAttribute("points", points.map(place).join(" "));
}

function showServers(status) {
  const { servers_found: found } = status;
  // The busiest were chosen; in an order that lasts, they can be read.
  const servers = status.servers.sort((a, b) => !a.problem - !b.problem || a.name.localeCompare(b.name));
  say(at("shown"), found > servers.length ? `the first ${servers.length} of ${found}` : many(found, "server"));
  rows(
    "servers",
    servers,
    (server) => server.name,
    (server) => [
      (cell) => nameOf(cell, server),
      server.tenant,
      server.proven ? `${server.generation}` : `${server.generation}, not proven yet`,
      (cell) => replicasOf(cell, server),
      server.in_flight,
    ],
    [2, 4],
  );
}

function nameOf(cell, server) {
  const link = cell.querySelector("a") ?? cell.appendChild(make("a", { rel: "noreferrer", target: "_blank" }));
  link.href = server.url;
  say(link, server.name);
  const problem = cell.querySelector(".problem");
  if (!server.problem) problem?.remove();
  else say(problem ?? cell.appendChild(make("span", { class: "problem" })), server.problem);
}

function replicasOf(cell, server) {
  const first = !cell.firstElementChild;
  const list = cell.querySelector("ul") ?? cell.appendChild(make("ul", { class: "replicas" }));
  const { counts, replicas } = server;
  const live = counts.starting + counts.ready + counts.draining;
  const items = replicas.map((replica) => ({ ...replica, text: ` ${replica.state}` }));
  if (live > replicas.length) items.push({ id: "more", state: "more", text: `and ${live - replicas.length} more` });
  if (counts.failed) items.push({ id: "failed", state: "failed", text: `${counts.failed} failed` });
  if (!items.length) items.push({ id: "none", state: "none", text: `none of up to ${server.max_replicas}` });
  each(
    list,
    items,
    (item) => item.id,
    () => make("li", {}, make("b"), make("span")),
    (chip, item) => {
      const fresh = !chip.dataset.seen && !first && item.worker;
      chip.dataset.seen = "yes";
      chip.dataset.state = item.state;
      if (!fresh || !chip.className) chip.className = item.state + (fresh ? " new" : "");
      if (item.worker || item.address) chip.title = `${item.id} on ${item.worker ?? "no worker yet"}`;
      say(chip.children[0], item.state === "ready" || item.state === "draining" ? item.in_flight : "");
      say(chip.children[1], item.text);
    },
  );
}

function showWorkers(workers) {
  const state = (worker) => {
    if (!worker.attached) return tag("failed", "away");
    return worker.silent_ms > 5000 ? tag("starting", `silent for ${age(worker.silent_ms / 1000)}`) : tag("ready", "attached");
  };
  rows(
    "workers",
    workers,
    (worker) => worker.id,
    (worker) => [worker.id, state(worker), worker.compute_region, worker.address, worker.replicas, worker.capacity],
    [4, 5],
  );
}

function showProcesses(config, followers) {
  const own = {
    name: "this process",
    revision: Math.max(config.revision, slow.revision ?? 0),
    state: config.source === "store" ? tag("ready", "current") : tag("starting", config.source.replace("_", " ")),
    age: age(config.age_seconds),
  };
  if (config.trouble) own.state = tag("failed", config.trouble);
  if (config.refused.length) own.state = tag("failed", many(config.refused.length, "record refused", "records refused"));
  const others = followers.map((follower) => ({
    name: follower.name,
    revision: follower.told_revision,
    state:
      follower.told_revision >= config.revision
        ? tag("ready", "current")
        : tag("starting", `${many(config.revision - follower.told_revision, "revision")} behind`),
    age: `follows for ${age(follower.watches_for_seconds)}`,
  }));
  rows(
    "processes",
    [own, ...others],
    (process) => process.name,
    ({ name, revision, state, age }) => [name, revision, state, age],
    [1],
  );
  each(
    at("refused"),
    config.refused,
    (refusal) => refusal.key,
    () => make("li"),
    (item, refusal) => say(item, `${refusal.key}, revision ${refusal.revision}: ${refusal.reason}`),
  );
}

function showAnswers(metrics) {
  const answers = metric(metrics, "fprs_proxy_answers_total", "reason");
  if (!answers.size) return undefined;
  const now = Date.now();
  history.answers.push([now, answers]);
  while (now - history.answers[0][0] > MINUTE) history.answers.shift();
  const [, then] = history.answers[0];
  const lately = (reason) => Math.max(0, answers.get(reason) - (then.get(reason) ?? 0));
  const reasons = [...answers.keys()].filter((reason) => answers.get(reason)).sort();
  rows("answers", reasons, (reason) => reason, (reason) => [reason, answers.get(reason), lately(reason)], [1, 2]);
  return reasons.reduce((sum, reason) => sum + lately(reason), 0);
}

function showMirrors(mirrors, metrics) {
  const inFlight = metric(metrics, "fprs_mirror_in_flight", "mirror");
  const complete = metric(metrics, "fprs_mirror_requests_total", "mirror", `end="complete"`);
  const all = metric(metrics, "fprs_mirror_requests_total", "mirror");
  const differ = metric(metrics, "fprs_mirror_compared_total", "mirror", `result="different"`);
  const of = (counts, { name }) => counts.get(name) ?? 0;
  rows(
    "mirrors",
    mirrors,
    (mirror) => mirror.name,
    (mirror) => [
      mirror.name,
      mirror.server,
      `${mirror.shadow}, ${mirror.percent} %`,
      mirror.paused ? tag("starting", "paused") : tag("ready", "copying"),
      of(inFlight, mirror),
      of(complete, mirror),
      of(all, mirror) - of(complete, mirror),
      mirror.compare ? of(differ, mirror) : "not compared",
    ],
    [4, 5, 6, 7],
  );
}

/** A row for each static IP at each gateway; one for a gateway of which nothing is known. */
function showEgress(gateways) {
  const all = gateways.flatMap((gateway) => {
    const ips = gateway.static_ips.length ? gateway.static_ips : [{ static_ip: "" }];
    return ips.map((ip) => ({ ...gateway, ...ip }));
  });
  all.sort((a, b) => a.static_ip.localeCompare(b.static_ip) || a.gateway.localeCompare(b.gateway));
  const state = (row) => {
    if (row.trouble) return tag("failed", row.trouble);
    if (row.owned) return row.draining ? tag("starting", "leaves here, draining") : tag("ready", "leaves here");
    return tag("none", row.draining ? "draining" : "stands by");
  };
  rows(
    "egress",
    all,
    (row) => `${row.static_ip} ${row.gateway}`,
    (row) => [
      row.static_ip || "unknown",
      row.gateway,
      state(row),
      row.peers ?? "",
      bytes(row.received),
      bytes(row.sent),
    ],
    [3, 4, 5],
  );
}

function bytes(count) {
  if (count === undefined) return "";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; count >= 1024 && unit < units.length - 1; unit += 1) count /= 1024;
  return `${unit ? count.toFixed(1) : count} ${units[unit]}`;
}

function showTenants(tenants) {
  const limits = (tenant) =>
    ["requests_per_second", "burst", "concurrent_exchanges", "streams_per_connection", "buffered_bytes", "dials"]
      .filter((name) => tenant[name] !== null && tenant[name] !== undefined)
      .map((name) => `${name.replaceAll("_", " ")} ${tenant[name]}`)
      .join(", ") || "none of its own";
  rows(
    "tenants",
    tenants,
    (tenant) => tenant.name,
    (tenant) => [tenant.name, tenant.servers, tenant.weight ?? 1, limits(tenant)],
    [1, 2],
  );
}

// --- running

const slow = {};

/** What changes all the time; how long to wait until the next look. */
async function lookNow(ask) {
  const like = at("like").value.trim();
  const query = like ? `?like=${encodeURIComponent(like)}` : "";
  const status = control ? await ask(`/v1/status${query}`) : undefined;
  show(status);
  return Math.max(EVERY, (SHARE * (status?.took_us ?? 0)) / 1000);
}

/** And the rest. */
async function lookSlowly(ask) {
  const [config, metrics] = await Promise.all([ask("/v1/config"), ask("/metrics")]);
  const followers = (control && config && (await ask("/v1/followers"))) || [];
  if (config) showProcesses(config, followers);
  if (config || !control) slow.refused = showAnswers(metrics);
  const mirrors = control && (await ask("/v1/mirrors"));
  if (mirrors?.length) showMirrors(mirrors, metrics);
  else at("mirrors").hidden = true;
  const gateways = control && (await ask("/v1/egress"));
  if (gateways?.length) showEgress(gateways);
  else at("egress").hidden = true;
  slow.config = config;
  return SLOWLY;
}

function show(status) {
  const cards = [];
  if (status) {
    slow.revision = status.revision;
    say(at("zone"), status.zone);
    document.title = `fprs ${status.zone}`;
    const now = Date.now();
    history.inFlight.push([now, status.in_flight]);
    while (now - history.inFlight[0][0] > MINUTE) history.inFlight.shift();
    const { totals, workers } = status;
    const problems = status.servers.filter((server) => server.problem).length;
    cards.push(["Servers", status.servers_found, problems ? `${problems} with a problem` : "all as deployed"]);
    const waiting = [
      [totals.starting, "starting"],
      [totals.draining, "draining"],
      [totals.failed, "failed"],
    ];
    const rest = waiting.filter(([count]) => count).map(([count, word]) => `${count} ${word}`);
    cards.push(["Replicas ready", totals.ready, rest.join(", ")]);
    cards.push(["Requests in flight", status.in_flight, history.inFlight]);
    if (workers) {
      const away = workers.filter((worker) => !worker.attached).length;
      cards.push(["Workers", workers.length - away, away ? `${away} away` : "all attached"]);
      showWorkers(workers);
    }
    showServers(status);
    showTenants(status.tenants);
  }
  if (slow.refused !== undefined) cards.push(["Refused", slow.refused, "in the last minute, here"]);
  if (slow.config) cards.push(["Revision", status?.revision ?? slow.config.revision, `${age(slow.config.age_seconds)} old`]);
  numbers(cards);
}

function note(text, bad = false) {
  say(at("state"), text);
  at("state").classList.toggle("bad", bad);
}

function enter(why = "") {
  generation += 1;
  sessionStorage.removeItem(KEY);
  at("all").hidden = at("leave").hidden = true;
  at("enter").hidden = false;
  say(at("wrong"), why);
  note("");
  at("token").value = "";
  at("token").focus();
}

function run() {
  generation += 1;
  at("enter").hidden = true;
  again(generation, lookNow);
  again(generation, lookSlowly);
}

/** Looks until somebody else signs in. */
async function again(mine, look) {
  const ask = by(sessionStorage.getItem(KEY));
  while (mine === generation) {
    let pause = EVERY;
    try {
      if (!document.hidden) {
        pause = await look(ask);
        if (mine !== generation) return;
        at("all").hidden = at("leave").hidden = false;
        note("live");
      }
    } catch (error) {
      if (mine !== generation) return;
      if (error instanceof Refused) return enter(error.message);
      pause = SLOWLY;
      note(`No answer: ${error.message}. Trying on; what is below is old.`, true);
    }
    await new Promise((wake) => setTimeout(wake, pause));
  }
}

at("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, at("token").value.trim());
  run();
});
at("leave").addEventListener("click", () => enter());
if (sessionStorage.getItem(KEY)) run();
else enter();
