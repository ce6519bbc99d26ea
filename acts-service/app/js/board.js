/** The leaderboard: walks every category through ranges of at most 100, as an outside one does, and counts. */
import * as api from "./api.js";
import { h, plural, stateBox, trouble } from "./dom.js";
import { source } from "./picture.js";

const STEP = 100;

/** All acts, one by one, each id once: what is posted meanwhile pushes others down into the next range. */
async function walk(each, progress, alive) {
  const cats = await api.categories();
  const total = cats.reduce((sum, c) => sum + c.acts, 0);
  const seen = new Set();
  for (const c of cats) {
    let n = c.acts;
    for (let at = 0; at < n; at += STEP) {
      let acts;
      try {
        acts = await api.range(c.name, at + 1, Math.min(n, at + STEP));
      } catch (e) {
        if (e.status !== 400 || !alive()) throw e;
        const now = await api.size(c.name); // acts were removed: the end has moved
        if (now >= n) throw e;
        n = now;
        at -= STEP;
        continue;
      }
      if (!alive()) return;
      for (const a of acts.filter((x) => !seen.has(x.actId))) {
        seen.add(a.actId);
        each(a);
      }
      progress(seen.size, total);
    }
  }
}

/** {acts, people: [{name, acts, upvotes, copies}], twins: [[act, ...]]} */
export async function collect(progress, alive) {
  const people = new Map(), pictures = new Map();
  let acts = 0;
  await walk((a) => {
    const p = people.get(a.username) ?? { name: a.username, acts: 0, upvotes: 0, copies: 0 };
    const same = pictures.get(a.imgB64);
    people.set(a.username, p);
    acts++;
    p.acts++;
    p.upvotes += a.upvotes;
    if (same) {
      same.push(a);
      p.copies++;
    } else {
      pictures.set(a.imgB64, [a]);
    }
  }, progress, alive);
  return {
    acts, pictures: pictures.size, twins: [...pictures.values()].filter((x) => x.length > 1),
    people: [...people.values()].sort((a, b) => b.acts - b.copies - (a.acts - a.copies) || b.upvotes - a.upvotes || a.name.localeCompare(b.name)),
  };
}

function row(p, place, most) {
  const line = h("i", {});
  line.style.width = Math.max(2, Math.round(100 * p.acts / most)) + "%";
  return h("li", { class: place <= 3 ? "rank top" : "rank" }, h("span", { class: "place num" }, String(place)),
    h("div", { class: "name" }, p.name, h("div", { class: "line", "aria-hidden": "true" }, line)),
    h("div", { class: "figures num" }, h("b", {}, plural(p.acts, "act")),
      h("div", { class: "dim" }, plural(p.upvotes, "upvote")),
      p.copies > 0 ? h("div", { class: "wrong" }, plural(p.copies, "duplicate")) : null));
}

function twinRow(acts) {
  const src = source(acts[0].imgB64);
  return h("li", { class: "card twin" }, src !== null ? h("img", { src, alt: "", width: 58, height: 58 }) : h("span", {}),
    h("div", {}, h("b", {}, plural(acts.length, "time", "times")), h("p", { class: "hint" },
      acts.slice(0, 6).map((a) => a.username + " in " + a.categoryName).join("; ") + (acts.length > 6 ? "; \u2026" : ""))));
}

function show(body, r, again) {
  if (r.acts === 0) {
    body.replaceChildren(stateBox("empty", "Nobody has posted yet", "The first act takes the lead.", h("a", { class: "button main", href: "#/post" }, "Post an act")));
    return;
  }
  const copies = r.acts - r.pictures;
  body.replaceChildren(...[
    h("dl", { class: "sums" }, h("div", { class: "card" }, h("dd", { class: "num" }, r.acts.toLocaleString()), h("dt", {}, r.acts === 1 ? "act" : "acts")),
      h("div", { class: "card" }, h("dd", { class: "num" }, r.pictures.toLocaleString()), h("dt", {}, "different pictures")),
      h("div", { class: copies > 0 ? "card warn" : "card" }, h("dd", { class: "num" }, copies.toLocaleString()), h("dt", {}, copies === 1 ? "duplicate" : "duplicates"))),
    h("ol", { class: "card ranks", "aria-label": "People by different acts posted" }, r.people.map((p, i) => row(p, i + 1, r.people.reduce((m, x) => Math.max(m, x.acts), 1)))),
    r.twins.length > 0 ? h("section", { class: "twins" }, h("h2", {}, "The same picture more than once"), h("ul", { class: "cats" }, r.twins.slice(0, 50).map(twinRow))) : null,
    h("div", { class: "more" }, h("button", { class: "button wide", type: "button", onclick: again }, "Count again"))].filter((x) => x !== null));
}

export async function board(root, _argument, alive) {
  const body = h("div", {});
  root.append(h("div", { class: "head" }, h("h1", {}, "Leaderboard"),
    h("p", { class: "dim" }, "Who posted how many different acts. Every act of every category is looked at.")), body);
  async function load() {
    const said = h("p", { class: "dim num", role: "status" }, "Counting\u2026");
    const bar = h("progress", { max: "1", "aria-label": "Acts looked at" });
    body.replaceChildren(h("div", { class: "card walk" }, said, bar));
    try {
      const r = await collect((n, total) => {
        said.textContent = n.toLocaleString() + " of " + plural(Math.max(n, total), "act") + " looked at";
        bar.value = total > 0 ? Math.min(1, n / total) : 1;
      }, alive);
      if (alive()) show(body, r, load);
    } catch (e) {
      if (alive()) body.replaceChildren(trouble(e, load));
    }
  }
  await load();
}
