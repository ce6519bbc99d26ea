/** A new act: category, user, picture, caption. */
import * as api from "./api.js";
import { bones, h, icon, toast, trouble } from "./dom.js";
import { recall, remember } from "./memory.js";
import { shrink, SIDE } from "./picture.js";
import { sha1 } from "./sha1.js";
import { stamp } from "./when.js";

let lastId = 0;

/** Milliseconds since 1970, and never the same twice from here. */
function nextId() {
  lastId = Math.max(Date.now(), lastId + 1);
  return lastId;
}

function problem(field, text) {
  const id = field.id + "-wrong";
  const old = document.getElementById(id);
  old?.remove();
  field.toggleAttribute("aria-invalid", false);
  field.removeAttribute("aria-describedby");
  if (text === null) return;
  field.setAttribute("aria-invalid", "true");
  field.setAttribute("aria-describedby", id);
  field.closest(".field").append(h("p", { class: "wrong", id, role: "alert" }, text));
}

/** A list of names with a way to make a new one. {node, value(), field} */
function chooser({ id, label, names, last, newLabel, emptyHint, form }) {
  const select = h("select", { id, required: true });
  const place = h("div", {});
  const toggle = h("button", { class: "button", type: "button", "aria-expanded": "false", "aria-controls": id + "-new", onclick: () => open(place.childElementCount === 0) }, "New");
  const hint = h("p", { class: "hint" });

  function fill(chosen) {
    select.replaceChildren(h("option", { value: "", disabled: true, hidden: true, selected: !names.includes(chosen) },
      names.length > 0 ? "Choose\u2026" : "None yet"),
    ...names.map((n) => h("option", { value: n, selected: n === chosen }, n)));
    select.disabled = names.length === 0;
    hint.textContent = names.length === 0 ? emptyHint : "";
    hint.hidden = names.length > 0;
  }
  function open(yes) {
    toggle.setAttribute("aria-expanded", String(yes));
    toggle.textContent = yes ? "Cancel" : "New";
    place.replaceChildren();
    if (!yes) return;
    problem(select, null);
    place.append(form(async (name) => {
      names.push(name);
      names.sort((a, b) => a.localeCompare(b));
      fill(name);
      problem(select, null);
      open(false);
      select.focus();
    }));
    place.querySelector("input").focus();
  }
  fill(last);
  return {
    node: h("div", { class: "field" }, h("label", { for: id }, label),
      h("div", { class: "row" }, select, toggle), hint, h("div", { id: id + "-new", "aria-label": newLabel, role: "group" }, place)),
    value: () => select.value, field: select,
  };
}

/** The small form of a new name. send(values) makes it on the server. */
function miniForm(fields, button, send, done) {
  const inputs = fields.map((f) => h("input", { id: f.id, type: f.type ?? "text", autocomplete: f.autocomplete ?? "off", autocapitalize: "off" }));
  const go = h("button", { class: "button main", type: "button", onclick: submit }, button);
  async function submit() {
    const empty = inputs.find((i) => i.value === "");
    inputs.forEach((i) => problem(i, null));
    if (empty) {
      problem(empty, "Please fill this in.");
      empty.focus();
      return;
    }
    go.disabled = true;
    try {
      await send(...inputs.map((i) => i.value));
      await done(inputs[0].value);
    } catch (e) {
      problem(inputs[0], e.message);
      inputs[0].focus();
    }
    go.disabled = false;
  }
  return h("div", { class: "mini", onkeydown: (e) => {
    if (e.key === "Enter" && e.target.tagName === "INPUT") {
      e.preventDefault();
      submit();
    }
  } }, fields.map((f, i) => h("div", { class: "field" }, h("label", { for: f.id }, f.label), inputs[i],
    f.hint ? h("p", { class: "hint" }, f.hint) : null)), go);
}

function photoField() {
  let picture = null;
  const frame = h("div", { class: "photo", id: "photo", tabindex: "-1" });
  const take = h("input", { type: "file", accept: "image/*", capture: "environment", "aria-label": "Take a photo", onchange: picked });
  const pick = h("input", { type: "file", accept: "image/*", id: "pick", "aria-label": "Choose a picture", onchange: picked });

  function show() {
    frame.classList.toggle("full", picture !== null);
    if (picture === null)
      frame.replaceChildren(icon("camera"), h("p", { class: "dim" }, "A photo of the act. It is cut to a square and made small on this device."));
    else
      frame.replaceChildren(h("img", { src: picture.url, alt: "The picture as it will be posted" }),
        h("span", { class: "weight num" }, SIDE + " \u00d7 " + SIDE + ", " + Math.max(1, Math.round(picture.bytes / 1000)) + " kB"));
  }
  async function use(file) {
    if (!file) return;
    problem(frame, null);
    try {
      picture = await shrink(file);
      show();
    } catch (e) {
      problem(frame, e.message);
    }
  }
  async function picked(e) {
    await use(e.target.files[0]);
    e.target.value = ""; // the same file may be picked again
  }
  for (const [event, over] of [["dragover", true], ["dragleave", false], ["drop", false]])
    frame.addEventListener(event, (e) => {
      e.preventDefault();
      frame.classList.toggle("over", over);
      if (event === "drop") use(e.dataTransfer.files[0]);
    });
  show();
  return {
    node: h("div", { class: "field" }, h("span", { class: "label" }, "Picture"), frame,
      h("div", { class: "picks" }, h("label", { class: "button" }, icon("camera"), "Take photo", take),
        h("label", { class: "button" }, icon("picture"), "Choose picture", pick))),
    field: frame, get: () => picture,
    clear: () => {
      picture = null;
      show();
    },
  };
}

function userField(names) {
  if (names === null) { // no users service here: any name goes
    const input = h("input", { id: "user", autocomplete: "username", value: recall("user") ?? "" });
    return { node: h("div", { class: "field" }, h("label", { for: "user" }, "Your name"), input), value: () => input.value, field: input };
  }
  return chooser({
    id: "user", label: "User", names, last: recall("user"), newLabel: "New user", emptyHint: "There are no users yet: make one with \u201cNew\u201d.",
    form: (done) => miniForm([{ id: "new-user", label: "Name", autocomplete: "username" },
      { id: "new-password", label: "Password", type: "password", autocomplete: "new-password", hint: "Only its SHA-1 leaves this device." }],
    "Create user", (name, password) => api.addUser(name, sha1(password)), done),
  });
}

function build(root, cats, names) {
  const cat = chooser({
    id: "category", label: "Category", names: cats, last: recall("category"), newLabel: "New category",
    emptyHint: "There are no categories yet: make one with \u201cNew\u201d.",
    form: (done) => miniForm([{ id: "new-category", label: "Name of the category" }], "Create category", api.addCategory, done),
  });
  const user = userField(names), photo = photoField();
  const caption = h("textarea", { id: "caption", rows: 2, placeholder: "What happened?" });
  const notice = h("div", { role: "alert" });
  const button = h("button", { class: "button main wide", type: "submit", id: "send" }, "Post");

  function check() {
    const wrong = [[cat.field, cat.value() === "", "Please choose a category."], [user.field, user.value() === "", "Please choose a user."],
      [photo.field, photo.get() === null, "Please take or choose a picture."]];
    wrong.forEach(([field, is, text]) => problem(field, is ? text : null));
    const first = wrong.find(([, is]) => is);
    first?.[0].focus();
    return first === undefined;
  }
  async function send(e) {
    e.preventDefault();
    notice.replaceChildren();
    if (button.disabled || !check()) return;
    button.disabled = true;
    button.textContent = "Posting\u2026";
    const where = cat.value();
    try {
      await api.upload({ actId: nextId(), username: user.value(), timestamp: stamp(new Date()), caption: caption.value,
        categoryName: where, imgB64: photo.get().base64 });
      remember("user", user.value());
      remember("category", where);
      toast("Posted. Thank you!");
      location.hash = "#/c/" + encodeURIComponent(where);
    } catch (err) {
      notice.replaceChildren(h("p", { class: "notice" }, err.message));
      notice.scrollIntoView({ block: "nearest" });
    }
    button.disabled = false;
    button.textContent = "Post";
  }
  root.append(h("form", { class: "form", novalidate: true, onsubmit: send }, photo.node, cat.node, user.node,
    h("div", { class: "field" }, h("label", { for: "caption" }, "Caption ", h("span", { class: "hint" }, "(may be empty)")), caption), notice, button));
}

export async function post(root, _argument, alive) {
  const body = h("div", {});
  root.append(h("div", { class: "head" }, h("h1", {}, "Post an act")), body);
  async function load() {
    body.replaceChildren(bones(4));
    try {
      const [cats, names] = await Promise.all([api.categories(), api.users()]);
      if (!alive()) return;
      body.replaceChildren();
      build(body, cats.map((c) => c.name).sort((a, b) => a.localeCompare(b)), names?.sort((a, b) => a.localeCompare(b)) ?? null);
    } catch (e) {
      if (alive()) body.replaceChildren(trouble(e, load));
    }
  }
  await load();
}
