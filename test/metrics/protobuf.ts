/** Fields of a message by number, read without a schema (protobuf.dev, "Encoding"). */
export interface Message {
  has(field: number): boolean;
  /** The bytes of a field, or none. */
  bytes(field: number): Buffer;
  /** A varint, or 0. */
  number(field: number): number;
  messages(field: number): readonly Message[];
}

/** @throws Error if the bytes are no message */
export function readMessage(bytes: Buffer): Message {
  const fields = new Map<number, (Buffer | number)[]>();
  let at = 0;
  const varint = (): number => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes.readUInt8(at++);
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return Number(value);
    }
  };
  const take = (size: number): Buffer => {
    if (at + size > bytes.byteLength) throw new Error('a field is cut off');
    at += size;
    return bytes.subarray(at - size, at);
  };
  const readers: Readonly<Record<number, () => Buffer | number>> = {
    0: varint,
    1: () => take(8),
    2: () => take(varint()),
    5: () => take(4),
  };
  while (at < bytes.byteLength) {
    const tag = varint();
    const read = readers[tag & 7];
    if (read === undefined) throw new Error(`no wire type ${tag & 7}`);
    const field = tag >>> 3;
    fields.set(field, [...(fields.get(field) ?? []), read()]);
  }
  const all = (field: number) => fields.get(field) ?? [];
  return {
    has: (field) => fields.has(field),
    bytes: (field) => all(field).find((one) => typeof one !== 'number') ?? Buffer.alloc(0),
    number: (field) => all(field).find((one) => typeof one === 'number') ?? 0,
    messages: (field) => all(field).flatMap((one) => (typeof one === 'number' ? [] : readMessage(one))),
  };
}
