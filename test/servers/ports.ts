import { createServer } from 'node:net';

/**
 * Below the range from which Linux takes ports for outgoing connections (32768 on), so that a port found free here is
 * not given to a connection of the other test file before its server listens on it.
 */
const FIRST = 20_000;
const LAST = 29_999;

/** Those given out: servers that start side by side do not listen yet. */
const given = new Set<number>();

/** A free loopback port, the first of `count` consecutive ones. */
export async function freePort(count = 1): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST - count));
    const ports = Array.from({ length: count }, (_, index) => port + index);
    if (ports.some((one) => given.has(one))) continue;
    const free = await Promise.all(ports.map(isFree));
    if (!free.every(Boolean)) continue;
    for (const one of ports) given.add(one);
    return port;
  }
  throw new Error(`found no ${count} free ports in a row between ${FIRST} and ${LAST}`);
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return await new Promise((resolve) => {
    server.once('error', () => {
      resolve(false);
    });
    server.listen(port, '127.0.0.1', () => {
      server.close(() => {
        resolve(true);
      });
    });
  });
}
