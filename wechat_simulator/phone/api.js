/* Calls to the control API. */

export class Offline extends Error {
  name = "Offline";
}

export class Refused extends Error {
  name = "Refused";

  constructor(status, said) {
    super(said);
    this.status = status;
    this.said = said;
  }
}

async function call(method, path, body) {
  let response;
  try {
    response = await fetch(`/_sim${path}`, {
      method,
      headers: body === undefined ? {} : { "content-type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
    });
  } catch {
    throw new Offline("no connection");
  }
  const text = await response.text();
  let value = {};
  try {
    value = JSON.parse(text);
  } catch {
    if (response.ok) throw new Refused(response.status, "the answer is not JSON");
  }
  if (!response.ok) throw new Refused(response.status, value.error ?? `HTTP ${response.status}`);
  return value;
}

function query(values) {
  const text = new URLSearchParams(Object.entries(values).filter(([, value]) => value !== undefined && value !== "")).toString();
  return text ? `?${text}` : "";
}

/** What the QR codes of a picture say. */
export async function readCodes(file) {
  let response;
  try {
    response = await fetch("/_sim/codes/read", { method: "POST", body: file, cache: "no-store" });
  } catch {
    throw new Offline("no connection");
  }
  const value = await response.json();
  if (!response.ok) throw new Refused(response.status, value.error ?? `HTTP ${response.status}`);
  if (value.problem) throw new Refused(response.status, value.problem);
  return value.texts;
}

export const get = (path, values = {}) => call("GET", path + query(values));
export const post = (path, body) => call("POST", path, body);
export const remove = (path) => call("DELETE", path);
export const person = (id) => `/people/${encodeURIComponent(id)}`;
