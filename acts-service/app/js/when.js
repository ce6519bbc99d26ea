/** The contract's timestamp, DD-MM-YYYY:SS-MM-HH: seconds before minutes before hours. */
const two = (n) => String(n).padStart(2, "0");

export function stamp(d) {
  return two(d.getDate()) + "-" + two(d.getMonth() + 1) + "-" + String(d.getFullYear()).padStart(4, "0") + ":" +
    two(d.getSeconds()) + "-" + two(d.getMinutes()) + "-" + two(d.getHours());
}

export function readable(text) {
  const m = /^(\d\d)-(\d\d)-(\d{4}):(\d\d)-(\d\d)-(\d\d)$/.exec(text);
  if (!m) return text;
  const d = new Date(+m[3], +m[2] - 1, +m[1], +m[6], +m[5], +m[4]);
  const sameYear = d.getFullYear() === new Date().getFullYear();
  return d.toLocaleString(undefined, { day: "numeric", month: "short", year: sameYear ? undefined : "numeric", hour: "2-digit", minute: "2-digit" });
}
