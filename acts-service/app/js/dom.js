/** Elements without a framework. Text is always text: nothing here parses HTML. */
export function h(tag, props = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) e.addEventListener(name.slice(2), value);
    else if (name === "class") e.className = value;
    else e.setAttribute(name, value === true ? "" : value);
  }
  e.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
  return e;
}

const icons = {
  heart: "M12 20.3C5 15.5 2.7 12 2.7 8.7 2.7 6 4.8 4 7.3 4c1.9 0 3.6 1 4.7 2.8C13.1 5 14.8 4 16.7 4c2.5 0 4.6 2 4.6 4.7 0 3.3-2.3 6.8-9.3 11.6Z",
  camera: "M4 8.5h3.5L9 6h6l1.5 2.5H20V19H4ZM12 16.5a3.2 3.2 0 1 0 0-6.4 3.2 3.2 0 0 0 0 6.4Z",
  picture: "M4 5h16v14H4ZM4.5 17l4.7-5 3.5 3.5 2.6-2.5 4.3 4.2M15.5 9.5h.1",
  empty: "M4 13.5 6.5 5h11L20 13.5V19H4ZM4 13.5h4.5l1.2 2.2h4.6l1.2-2.2H20",
  trouble: "M12 8v5M12 16.2v.1M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17Z",
};

export function icon(name) {
  const ns = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(ns, "svg");
  const path = document.createElementNS(ns, "path");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", icons[name]);
  svg.append(path);
  return svg;
}

/** Nothing to show, or something went wrong: a sign, a sentence, and what to do about it. */
export function stateBox(kind, title, text, ...actions) {
  return h("div", { class: kind === "trouble" ? "state bad" : "state", role: kind === "trouble" ? "alert" : null },
    h("div", { class: "sign" }, icon(kind)), h("h2", {}, title), h("p", {}, text), ...actions);
}

export function bones(n, tall = false) {
  return h("div", { class: "bones" }, h("span", { class: "sr", role: "status" }, "Loading"),
    ...Array.from({ length: n }, () => h("div", { class: tall ? "bone tall" : "bone" })));
}

export function trouble(error, again) {
  return stateBox("trouble", "That did not work", error.message,
    h("button", { class: "button", type: "button", onclick: again }, "Try again"));
}

let hide;
export function toast(text) {
  const e = document.getElementById("toast");
  e.textContent = text;
  e.classList.add("on");
  clearTimeout(hide);
  hide = setTimeout(() => e.classList.remove("on"), 3500);
}

export function plural(n, one, many = one + "s") {
  return n.toLocaleString() + " " + (n === 1 ? one : many);
}
