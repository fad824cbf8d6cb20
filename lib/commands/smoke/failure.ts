import type { Reply } from './messages.ts';

/** What was asked, what came, and what to change: three texts for a person. */
export interface Finding {
  readonly asked: string;
  readonly came: string;
  readonly change: string;
}

/** A check that failed. */
export class SmokeFailure extends Error {
  readonly finding: Finding;

  constructor(finding: Finding) {
    super(finding.came);
    this.finding = finding;
  }
}

/** @throws SmokeFailure about a reply */
export function fail(reply: Reply, came: string, change: string): never {
  throw new SmokeFailure({ asked: reply.asked, came, change });
}

/** Bytes of a body that are shown. */
const maxShown = 200;

/** Status and body of a reply, and who seems to have written it. */
export function shown(reply: Reply): string {
  const text = reply.body.toString('utf8', 0, maxShown);
  const body = text === '' ? 'no body' : text;
  const isForeign = reply.status >= 400 && reply.body.length > 0 && errorCode(reply) === undefined;
  return `${reply.status} with ${body}${isForeign ? ' (not an error of a registry: what stands before it answered)' : ''}`;
}

/** The code of the first error of a response (OCI Distribution, "Error Codes"); undefined where it has none. */
export function errorCode({ body }: Reply): string | undefined {
  try {
    const { errors } = JSON.parse(body.toString()) as { errors?: { code?: unknown }[] };
    const code = errors?.[0]?.code;
    return typeof code === 'string' ? code : undefined;
  } catch {
    return undefined;
  }
}
