"use strict";
// Everything from the document is put in as text: a description can never become markup here.
const JSON_TYPE = "application/json";
const byId = (id) => document.getElementById(id);

function element(name, className, ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children.filter((child) => child !== null));
  return made;
}

// ---- schemas ----

function resolved(schema, api) {
  const name = schema && schema.$ref && schema.$ref.split("/").pop();
  return name ? api.components.schemas[name] : schema || {};
}

function kindOf(schema) {
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const type = [schema.type || "anything"].flat().join(" or ");
  const bounds = [
    ["minimum", "from"], ["exclusiveMinimum", "above"], ["maximum", "to"], ["minLength", "at least characters:"],
    ["maxLength", "at most characters:"], ["minItems", "at least items:"], ["pattern", "like"],
  ].filter(([name]) => schema[name] !== undefined).map(([name, word]) => `${word} ${schema[name]}`);
  return [type, schema.format, ...bounds].filter(Boolean).join(", ");
}

function shown(schema, api) {
  const found = resolved(schema, api);
  const choices = found.anyOf || (found.properties ? null : found.oneOf);
  if (choices) {
    const list = element("ul", "schema");
    choices.forEach((choice, number) => list.append(line(number ? "or" : "either", choice, api, false)));
    return list;
  }
  const properties = Object.entries(found.properties || {});
  const list = element("ul", "schema");
  properties.forEach(([name, part]) => list.append(line(name, part, api, (found.required || []).includes(name))));
  if (found.items) list.append(line("each", found.items, api, false));
  return list.children.length ? list : null;
}

function line(name, schema, api, isNeeded) {
  const found = resolved(schema, api);
  const simple = found.anyOf && found.anyOf.every((choice) => !choice.properties && !choice.items);
  const kind = simple ? found.anyOf.map(kindOf).join(" | ") : found.anyOf ? "" : kindOf(found);
  return element("li", "",
    element("code", isNeeded ? "needed" : "", name), " ", element("span", "kind", kind), " ",
    element("span", "why", found.description || ""), simple ? null : shown(found, api));
}

// ---- an example that a schema allows ----

function exampleOf(schema, api) {
  const found = resolved(schema, api);
  if ("const" in found) return found.const;
  if (found.examples) return found.examples[0];
  if (found.enum) return found.enum[0];
  if (found.anyOf) return exampleOf(found.anyOf[0], api);
  const type = [found.type].flat()[0];
  if (type === "object" || found.properties) return exampleObject(found, api);
  if (type === "array") return exampleArray(found, api);
  if (type === "number" || type === "integer") return exampleNumber(found);
  if (type === "boolean") return false;
  if (type === "null") return null;
  return exampleText(found);
}

function exampleArray({ items, minItems, maxItems }, api) {
  if (maxItems === 0) return [];
  return Array.from({ length: minItems || 1 }, () => exampleOf(items || {}, api));
}

function exampleObject(schema, api) {
  const needed = new Set([...(schema.required || []), ...((schema.oneOf || [{}])[0].required || [])]);
  return Object.fromEntries(Object.entries(schema.properties || {})
    .filter(([name]) => needed.has(name))
    .map(([name, part]) => [name, exampleOf(part, api)]));
}

function exampleNumber({ type, minimum, maximum, exclusiveMinimum }) {
  const low = minimum ?? exclusiveMinimum ?? 0;
  const middle = type === "number" && maximum !== undefined ? (low + maximum) / 2 : Math.max(low, 1);
  return Number.isFinite(middle) ? Number(middle.toPrecision(3)) : low;
}

function exampleText({ format, minLength }) {
  if (format === "date-time") return new Date().toISOString();
  if (format === "uuid") return "00000000-0000-7000-8000-000000000000";
  return "example".padEnd(minLength || 0, "x");
}

// ---- operations ----

function operationOf(method, path, operation, api) {
  const inside = element("div", "inside");
  const open = element("details", "", element("summary", "",
    element("span", `method ${method}`, method), element("span", "path", path),
    element("span", "about", operation.summary || "")), inside);
  // Built when it is first opened: the schemas of a hundred columns cost nothing before.
  open.addEventListener("toggle", () => inside.children.length || fill(inside, method, path, operation, api));
  return open;
}

function fill(inside, method, path, operation, api) {
  inside.append(element("p", "", operation.summary || ""));
  const content = (operation.requestBody || {}).content || {};
  inside.append(tryIt(method, path, operation, api, content[JSON_TYPE]));
  for (const [type, { schema }] of Object.entries(content)) inside.append(described(`Request: ${type}`, schema, api));
  const [[status, success], ...problems] = Object.entries(operation.responses)
    .sort(([one], [other]) => Number(one) - Number(other));
  for (const [type, { schema }] of Object.entries(success.content || {})) {
    inside.append(described(`Answer ${status}: ${type}`, schema, api));
  }
  inside.append(element("h3", "", "Problem documents (application/problem+json)"),
    element("p", "", problems.map(([number, { description }]) => `${number} ${description}`).join(" · ")));
}

function described(title, schema, api) {
  const found = resolved(schema, api);
  return element("section", "", element("h3", "", title),
    element("p", "why", [found.anyOf ? "" : kindOf(found), found.description].filter(Boolean).join(". ")),
    shown(found, api));
}

function tryIt(method, path, operation, api, json) {
  const fields = element("div", "fields");
  const inputs = (operation.parameters || []).map((parameter) => [parameter, fieldOf(parameter, fields)]);
  const body = json ? element("textarea") : null;
  if (body) {
    body.value = JSON.stringify(exampleOf(json.schema, api), null, 2);
    body.spellcheck = false;
  }
  const send = element("button", "", "Send");
  const answer = element("div");
  send.addEventListener("click", async () => {
    send.disabled = true;
    const request = requestOf(method, path, inputs, body, api);
    try {
      answer.replaceChildren(...await answered(request));
    } catch (error) {
      answer.replaceChildren(element("p", "bad", `No answer: ${error.message}`));
    } finally {
      send.disabled = false;
    }
  });
  return element("section", "", element("h3", "", "Try it"), fields, body, send, answer);
}

function fieldOf({ name, required, schema }, fields) {
  const input = schema.enum ? element("select") : element("input");
  if (schema.enum) {
    if (!required) input.append(element("option", "", ""));
    input.append(...schema.enum.map((value) => element("option", "", String(value))));
  }
  const label = element("label", "", element("code", required ? "needed" : "", name));
  input.id = label.htmlFor = `field-${document.querySelectorAll(".fields label").length}-${name}-${Math.random()}`;
  fields.append(label, input);
  return input;
}

function requestOf(method, path, inputs, body, api) {
  const headers = { Authorization: `Bearer ${byId("key").value}` };
  const query = new URLSearchParams();
  let local = path;
  for (const [{ name, in: where }, input] of inputs) {
    if (where === "path") local = local.replace(`{${name}}`, encodeURIComponent(input.value));
    else if (input.value && where === "query") query.set(name, input.value);
    else if (input.value) headers[name] = input.value;
  }
  if (body) headers["Content-Type"] = JSON_TYPE;
  const asked = String(query) ? `?${query}` : "";
  return { url: api.servers[0].url + local + asked, options: { method, headers, body: body ? body.value : undefined } };
}

async function answered({ url, options }) {
  const startedMs = performance.now();
  const response = await fetch(url, { ...options, cache: "no-store" });
  const bytes = await response.arrayBuffer();
  const tookMs = performance.now() - startedMs;
  const said = element("p", response.ok ? "good" : "bad",
    `${response.status} ${response.statusText} in ${tookMs.toFixed(0)} ms, ${bytes.byteLength} bytes`);
  const heads = [...response.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
  return [said, element("pre", "", heads), element("pre", "", textOf(response, bytes)),
    element("h3", "", "The same with curl"), element("pre", "", curlOf(url, options))];
}

function textOf(response, bytes) {
  const type = response.headers.get("content-type") || "";
  if (!/json|text/.test(type)) return `(${bytes.byteLength} bytes of ${type || "no type"})`;
  const text = new TextDecoder().decode(bytes);
  return type.includes("json") ? JSON.stringify(JSON.parse(text), null, 2) : text;
}

function compact(body) {
  try {
    return JSON.stringify(JSON.parse(body));
  } catch {
    return body; // no JSON: shown as it was sent, beside the answer that says so
  }
}

function curlOf(url, { method, headers, body }) {
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  // The key is left out: what is copied from here ends in chats and tickets.
  const named = Object.entries({ ...headers, Authorization: "Bearer $KEY" });
  return ["curl -s -X " + method, quoted(location.origin + url),
    ...named.map(([name, value]) => name === "Authorization" ? `-H "${name}: ${value}"` : `-H ${quoted(`${name}: ${value}`)}`),
    ...(body ? [`-d ${quoted(compact(body))}`] : [])].join(" \\\n  ");
}

function render(api) {
  document.title = byId("title").textContent = api.info.title;
  const groups = new Map();
  for (const [path, operations] of Object.entries(api.paths)) {
    const group = path.split("/").slice(1, 2).join("/");
    if (!groups.has(group)) groups.set(group, element("section", "", element("h2", "", `/${group}`)));
    for (const [method, operation] of Object.entries(operations)) {
      groups.get(group).append(operationOf(method.toUpperCase(), path, operation, api));
    }
  }
  byId("operations").replaceChildren(...groups.values());
}

byId("enter").addEventListener("submit", async (event) => {
  event.preventDefault();
  const said = byId("said");
  try {
    const headers = { Authorization: `Bearer ${byId("key").value}`, Accept: JSON_TYPE };
    const response = await fetch(location.pathname, { headers, cache: "no-store" });
    const told = await response.json();
    if (!response.ok) throw new Error(told.detail || response.statusText);
    render(told);
    said.textContent = "";
  } catch (error) {
    said.className = "bad";
    said.textContent = error.message;
    return;
  }
  said.className = "";
});
