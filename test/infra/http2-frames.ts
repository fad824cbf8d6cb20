import type { Socket } from 'node:net';
import { dial } from './raw-http.ts';

/** Frames of HTTP/2 (RFC 9113, section 6), byte by byte, for what no client library sends. */
export const frameTypes = {
  data: 0,
  headers: 1,
  reset: 3,
  settings: 4,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
export const endStream = 1;
export const endHeaders = 4;

export function frame(
  type: keyof typeof frameTypes,
  stream: number,
  flags = 0,
  payload: Uint8Array = Buffer.alloc(0),
): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.byteLength, 0, 3);
  head.writeUInt8(frameTypes[type], 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A block of headers, each a literal without Huffman coding (RFC 7541, section 6.2.2). Texts have fewer than 255 bytes. */
export function headerBlock(headers: Readonly<Record<string, string>>): Buffer {
  // The length in 7 bits, or more in a second byte (section 5.1).
  const length = (value: string) => (value.length < 127 ? [value.length] : [127, value.length - 127]);
  const text = (value: string) => Buffer.from([...length(value), ...Buffer.from(value, 'latin1')]);
  const fields = Object.entries(headers).map(([name, value]) =>
    Buffer.concat([Buffer.from([0]), text(name), text(value)]),
  );
  return Buffer.concat(fields);
}

export function requestHeaders(method: string, path: string): Record<string, string> {
  return { ':method': method, ':scheme': 'http', ':authority': 'registry', ':path': path };
}

/** A connection that has begun with the preface and empty settings. */
export async function dialHttp2(url: string, localAddress?: string): Promise<Socket> {
  const socket = await dial(url, localAddress);
  socket.write(preface);
  socket.write(frame('settings', 0));
  return socket;
}

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** The end of a connection, however it comes. */
export async function closeOf(socket: Socket): Promise<void> {
  if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
}

/** Calls `onFrame` with each frame as it comes. */
export function eachFrame(socket: Socket, onFrame: (frame: Frame) => void): void {
  let bytes: Buffer = Buffer.alloc(0);
  socket.on('data', (piece: Buffer) => {
    bytes = Buffer.concat([bytes, piece]);
    while (bytes.byteLength >= 9 && bytes.byteLength >= 9 + bytes.readUIntBE(0, 3)) {
      const length = bytes.readUIntBE(0, 3);
      const [type, flags, stream] = [bytes.readUInt8(3), bytes.readUInt8(4), bytes.readUInt32BE(5)];
      onFrame({ type, flags, stream, payload: bytes.subarray(9, 9 + length) });
      bytes = bytes.subarray(9 + length);
    }
  });
}

/** All frames until the server closed the connection. */
export async function framesOf(socket: Socket): Promise<readonly Frame[]> {
  const frames: Frame[] = [];
  eachFrame(socket, (one) => frames.push(one));
  await closeOf(socket);
  return frames;
}

/** The error codes of the GOAWAY frames among these. */
export function goawayCodes(frames: readonly Frame[]): readonly number[] {
  return frames
    .filter(({ type }) => type === frameTypes.goaway)
    .map(({ payload }) => payload.readUInt32BE(4));
}
