/**
 * The body of a response.
 * @param maxSize bytes, unpacked
 * @throws Error where it has more
 */
export async function readText({ body }: Response, maxSize: number): Promise<string> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of (body ?? []) as AsyncIterable<Uint8Array>) {
    size += piece.byteLength;
    if (size > maxSize) throw new Error(`it has more than ${maxSize} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString('utf8');
}
