import type { Context } from 'koa';

/** Sends a response without a body, where Koa would send the status text. */
export function sendEmpty(ctx: Context, status: number): void {
  ctx.body = null;
  ctx.status = status;
  ctx.length = 0;
}

/** Sends JSON as text: of an object, Koa would make it again each time its length is asked for. */
export function sendJson(ctx: Context, value: unknown, type = 'application/json'): void {
  // Before the body, for which Koa would look for a type otherwise. Without a charset, as some clients compare the whole value.
  ctx.set('Content-Type', type);
  ctx.body = JSON.stringify(value);
}
