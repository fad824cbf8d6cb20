import type { Exchange } from './exchange.ts';

/** Sends a response without a body. */
export function sendEmpty(ctx: Exchange, status: number): void {
  ctx.status = status;
  ctx.body = '';
}

/** Sends JSON. */
export function sendJson(ctx: Exchange, value: unknown, type = 'application/json'): void {
  // Without a charset, as some clients compare the whole value.
  ctx.set('Content-Type', type);
  ctx.body = JSON.stringify(value);
}

/** Says that the upstream of a cache could not be asked (RFC 7234, section 5.5.1). */
export function warnOfStale(ctx: Exchange): void {
  ctx.set('Warning', '110 - "Response is Stale"');
}
