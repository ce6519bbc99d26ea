/** What this device remembers: the last user and category, and which acts it has voted for. */
export function recall(key) {
  try {
    return JSON.parse(localStorage.getItem("acts." + key));
  } catch {
    return null; // private mode, or somebody else's value
  }
}

export function remember(key, value) {
  try {
    localStorage.setItem("acts." + key, JSON.stringify(value));
  } catch {
    // then it is forgotten
  }
}
