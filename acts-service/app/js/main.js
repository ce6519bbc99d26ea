/** Routes: the part behind #. Each view is a function (root, argument, alive) that fills the root; alive() turns false
 * when somebody has gone on to another view. */
import { board } from "./board.js";
import { category, home } from "./browse.js";
import { post } from "./post.js";

const root = document.getElementById("view");
let turn = 0;

function find(hash) {
  const path = hash.replace(/^#/, "") || "/";
  if (path.startsWith("/c/")) {
    try {
      return [category, "browse", decodeURIComponent(path.slice(3))];
    } catch {
      return [home, "browse"];
    }
  }
  if (path === "/post" || path.startsWith("/post/")) return [post, "post"];
  if (path === "/board") return [board, "board"];
  return [home, "browse"];
}

async function go() {
  const mine = ++turn;
  const [view, tab, argument] = find(location.hash);
  for (const a of document.querySelectorAll("[data-tab]")) {
    if (a.dataset.tab === tab) a.setAttribute("aria-current", "page");
    else a.removeAttribute("aria-current");
  }
  root.replaceChildren();
  root.setAttribute("aria-busy", "true");
  window.scrollTo(0, 0);
  await view(root, argument, () => mine === turn);
  if (mine !== turn) return;
  root.setAttribute("aria-busy", "false");
  document.title = (root.querySelector("h1")?.textContent ?? "Acts") + " \u00b7 Acts";
}

document.querySelector(".skip").addEventListener("click", (e) => {
  e.preventDefault(); // "#view" is no route
  root.focus();
});
window.addEventListener("hashchange", () => go().then(() => root.focus({ preventScroll: true })));
go();
