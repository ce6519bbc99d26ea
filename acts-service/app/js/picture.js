/** Pictures as the assignment's app makes them: 350 x 350 JPEG, base64 without a prefix. */
export const SIDE = 350;
const QUALITY = 0.6;

/** {base64, url, bytes} of a file, cut to its middle square; throws with a sentence. */
export async function shrink(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    throw new Error("That file is not a picture that this browser can read.");
  }
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIDE;
  const side = Math.min(bitmap.width, bitmap.height);
  const c = canvas.getContext("2d");
  c.fillStyle = "#fff"; // JPEG knows no transparency
  c.fillRect(0, 0, SIDE, SIDE);
  c.imageSmoothingQuality = "high";
  c.drawImage(bitmap, (bitmap.width - side) / 2, (bitmap.height - side) / 2, side, side, 0, 0, SIDE, SIDE);
  bitmap.close();
  const url = canvas.toDataURL("image/jpeg", QUALITY);
  const base64 = url.slice(url.indexOf(",") + 1);
  return { base64, url, bytes: Math.floor(base64.length * 3 / 4) };
}

const kinds = [["/9j/", "jpeg"], ["iVBOR", "png"], ["R0lGOD", "gif"], ["UklGR", "webp"]];

/** What to show for a stored picture; null: no picture that we know. */
export function source(base64) {
  const kind = kinds.find(([start]) => base64.startsWith(start));
  return kind ? "data:image/" + kind[1] + ";base64," + base64 : null;
}
