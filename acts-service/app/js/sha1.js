/** SHA-1 (RFC 3174) as 40 hex digits: the form in which the users service takes passwords. The browser's own is only
 * there on secure origins, which a plain http address is not. */
const turn = (x, n) => (x << n) | (x >>> (32 - n));

export function sha1(text) {
  const data = new TextEncoder().encode(text);
  const blocks = new Uint8Array(((data.length + 8 >> 6) + 1) * 64);
  const view = new DataView(blocks.buffer);
  let s = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0];
  blocks.set(data);
  blocks[data.length] = 0x80;
  view.setBigUint64(blocks.length - 8, BigInt(data.length) * 8n);
  for (let at = 0; at < blocks.length; at += 64) {
    const w = Array.from({ length: 16 }, (_, i) => view.getInt32(at + 4 * i));
    let [a, b, c, d, e] = s;
    for (let i = 0; i < 80; i++) {
      if (i > 15) w[i] = turn(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
      const [f, k] = i < 20 ? [(b & c) | (~b & d), 0x5a827999] : i < 40 ? [b ^ c ^ d, 0x6ed9eba1]
        : i < 60 ? [(b & c) | (b & d) | (c & d), 0x8f1bbcdc] : [b ^ c ^ d, 0xca62c1d6];
      [a, b, c, d, e] = [(turn(a, 5) + f + e + k + w[i]) | 0, a, turn(b, 30), c, d];
    }
    s = [a, b, c, d, e].map((x, i) => (x + s[i]) | 0);
  }
  return s.map((x) => (x >>> 0).toString(16).padStart(8, "0")).join("");
}
