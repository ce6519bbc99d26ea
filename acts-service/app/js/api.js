/** The application's REST interface, as the balancer offers it. */
const BASE = "/api/v1";
const PATIENCE_MS = 30000;

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const meanings = {
  0: "The server cannot be reached. Is there a network connection?",
  404: "This server does not offer that.",
  405: "This server does not offer that.",
  408: "The server waited too long for the request. Please try again.",
  413: "That is too large for the server.",
  500: "The server has a problem right now. It is being replaced; please try again in a moment.",
  502: "The server closed the connection. Please try again.",
  503: "The service is starting or busy. Please try again in a moment.",
  504: "The server did not answer in time. Please try again.",
};

async function call(method, path, body, meaning400) {
  const init = { method, cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) };
  let r;
  if (body !== undefined) {
    init.headers = { "Content-Type": "application/json;charset=utf-8" };
    init.body = body;
  }
  try {
    r = await fetch(BASE + path, init);
  } catch (e) {
    throw new ApiError(0, e.name === "TimeoutError" ? meanings[504] : meanings[0]);
  }
  if (r.ok) return r;
  throw new ApiError(r.status, (r.status === 400 && meaning400) || meanings[r.status] || "The server answered with status " + r.status + ".");
}

/** Ids may be longer than a double is exact: they stay text. (A key never stands inside a string unescaped.) */
function parse(text) {
  return JSON.parse(text.replace(/"actId":\s*(\d+)/g, '"actId":"$1"'));
}

const part = encodeURIComponent;

/** [{name, acts}] */
export async function categories() {
  const r = await call("GET", "/categories");
  if (r.status === 204) return [];
  return Object.entries(await r.json()).map(([name, acts]) => ({ name, acts }));
}

export function addCategory(name) {
  return call("POST", "/categories", JSON.stringify([name]), "There is a category of that name already.");
}

/** Names, or null when this server has no users service (any name goes then). */
export async function users() {
  try {
    const r = await call("GET", "/users");
    return r.status === 204 ? [] : await r.json();
  } catch (e) {
    if (e.status === 404 || e.status === 405) return null;
    throw e;
  }
}

export function addUser(username, password) {
  return call("POST", "/users", JSON.stringify({ username, password }), "That name is taken.");
}

export async function size(category) {
  const r = await call("GET", "/categories/" + part(category) + "/acts/size", undefined, "There is no such category (any more).");
  return (await r.json())[0];
}

/** Acts first..last of a category, 1 is the newest; at most 100. */
export async function range(category, first, last) {
  const r = await call("GET", "/categories/" + part(category) + "/acts?start=" + first + "&end=" + last, undefined,
    "The list has changed meanwhile. Please load it again.");
  return r.status === 204 ? [] : parse(await r.text());
}

/** Exactly what the mobile app sends. */
export function upload(act) {
  return call("POST", "/acts", JSON.stringify(act),
    "The server does not accept this act: is the user registered, and does the category still exist?");
}

export function upvote(actId) {
  return call("POST", "/acts/upvote", "[" + actId + "]", "That act has been removed.");
}
