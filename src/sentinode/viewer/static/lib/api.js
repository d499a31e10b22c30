// Requests to the server, and what is known about the connection to it.

const GONE = "The server does not respond. Check that `sentinode view` is still running.";
const EXPIRED = "The access token of this page has expired. Open the address that `sentinode view` printed.";
const RETRY_MS = 2000;

/** An answer that is not a success; `status` is 0 where there was none. */
export class ApiError extends Error {
  constructor(message, status, body = null) {
    super(message);
    this.status = status;
    this.body = body;
  }
}

/** Whether the server answers: fires "change". */
export const connection = new EventTarget();
connection.lost = null;

/** Ask the server; returns the parsed JSON, or what `as` names ("arrayBuffer", "blob"). */
export async function api(path, { method = "GET", body, as = "json", signal } = {}) {
  const options = { method, signal, headers: { Accept: "*/*" } };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    setLost(GONE);
    throw new ApiError(GONE, 0);
  }
  if (!response.ok) {
    const answer = await response.json().catch(() => null);
    const message = response.status === 401 ? EXPIRED : (answer?.error ?? `The server responded with status ${response.status}.`);
    if (response.status === 401) setLost(EXPIRED);
    throw new ApiError(message, response.status, answer);
  }
  setLost(null);
  return response[as]();
}

function setLost(message) {
  if (connection.lost === message) return;
  connection.lost = message;
  connection.dispatchEvent(new Event("change"));
  if (message !== null) setTimeout(lookAgain, RETRY_MS);
}

async function lookAgain() {
  if (connection.lost === null) return;
  try {
    await api("api/session");
  } catch {
    setTimeout(lookAgain, RETRY_MS);
  }
}

/** Build a query string without the values that are null. */
export function query(values) {
  const known = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return known.length ? `?${new URLSearchParams(known)}` : "";
}
