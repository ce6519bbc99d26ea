/** Categories, and the acts of one. */
import * as api from "./api.js";
import { bones, h, icon, plural, stateBox, toast, trouble } from "./dom.js";
import { recall, remember } from "./memory.js";
import { source } from "./picture.js";
import { readable } from "./when.js";

const PAGE = 20;

const postLink = (text) => h("a", { class: "button main", href: "#/post" }, text);

function categoryCard({ name, acts }) {
  return h("li", {}, h("a", { class: "card cat", href: "#/c/" + encodeURIComponent(name) },
    h("span", { class: "mark", "aria-hidden": "true" }, [...name.toUpperCase()][0] ?? "?"),
    h("b", {}, name), h("span", { class: "n num" }, plural(acts, "act"))));
}

export async function home(root, _argument, alive) {
  const list = h("div", {}, bones(4));
  root.append(h("div", { class: "head" }, h("h1", {}, "Categories"),
    h("p", { class: "dim" }, "Small things that people do for others.")), list);
  async function load() {
    list.replaceChildren(bones(4));
    try {
      const all = await api.categories();
      all.sort((a, b) => b.acts - a.acts || a.name.localeCompare(b.name));
      if (!alive()) return;
      list.replaceChildren(all.length > 0 ? h("ul", { class: "cats" }, all.map(categoryCard))
        : stateBox("empty", "No categories yet", "Post the first act: a category is made on the way.", postLink("Post an act")));
    } catch (e) {
      if (alive()) list.replaceChildren(trouble(e, load));
    }
  }
  await load();
}

function voteButton(act, voted) {
  let n = act.upvotes;
  const count = h("span", { class: "num" }, n.toLocaleString());
  const b = h("button", { class: voted.has(act.actId) ? "vote mine" : "vote", type: "button", onclick: vote }, icon("heart"), count);
  const say = () => b.setAttribute("aria-label", "Upvote, " + plural(n, "vote") + " so far");
  async function vote() {
    count.textContent = (++n).toLocaleString(); // shown at once, taken back if it fails
    b.classList.add("mine");
    say();
    try {
      await api.upvote(act.actId);
      voted.add(act.actId);
      remember("voted", [...voted].slice(-500));
    } catch (e) {
      count.textContent = (--n).toLocaleString();
      b.classList.toggle("mine", voted.has(act.actId));
      say();
      toast(e.message);
    }
  }
  say();
  return b;
}

function actCard(act, voted) {
  const src = source(act.imgB64);
  const text = act.caption !== "" ? act.caption : null;
  return h("li", { class: "card act", "data-act": act.actId },
    src !== null ? h("img", { src, width: 350, height: 350, loading: "lazy", alt: text ?? "Picture by " + act.username })
      : h("div", { class: "nopic" }, "no picture that can be shown"),
    h("div", { class: "text" }, h("p", { class: text !== null ? "caption" : "caption none" }, text ?? "No caption")),
    h("div", { class: "foot" },
      h("span", { class: "who" }, h("b", {}, act.username), " \u00b7 " + readable(act.timestamp)), voteButton(act, voted)));
}

export async function category(root, name, alive) {
  const said = h("p", { class: "dim", role: "status" });
  const list = h("ul", { class: "acts" });
  const below = h("div", { class: "more" });
  const shown = new Set(), voted = new Set(recall("voted") ?? []);
  let total = 0, at = 0;

  root.append(h("a", { class: "back", href: "#/" }, "\u2039 All categories"),
    h("div", { class: "head" }, h("h1", {}, name), said), list, below);

  /** The next page by ranks. New acts push the others down meanwhile: those that are shown already are passed over. */
  async function next() {
    below.replaceChildren(bones(at === 0 ? 2 : 1, true));
    try {
      total = await api.size(name);
      const last = Math.min(total, at + PAGE);
      const acts = at < last ? await api.range(name, at + 1, last) : [];
      if (!alive()) return;
      for (const a of acts.filter((x) => !shown.has(x.actId))) {
        shown.add(a.actId);
        list.append(actCard(a, voted));
      }
      at = last;
      said.textContent = total > 0 ? plural(total, "act") + ", newest first" : "";
      if (total === 0)
        below.replaceChildren(stateBox("empty", "Nothing here yet", "Be the first to post in this category.", postLink("Post an act")));
      else if (at < total)
        below.replaceChildren(h("button", { class: "button wide", type: "button", onclick: next },
          "Show " + plural(Math.min(PAGE, total - at), "more", "more")));
      else below.replaceChildren();
    } catch (e) {
      if (alive()) below.replaceChildren(trouble(e, next));
    }
  }
  await next();
}
