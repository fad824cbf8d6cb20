import { digestOrUndefined, type Digest } from '../../protocol/digests.ts';
import { fieldsOf } from '../json-fields.ts';

/** What a deletion takes: the condemned digests from one to another, both included, in the order of their text. */
export interface Deletion {
  readonly from: Digest;
  readonly to: Digest;
}

export function serializeDeletion({ from, to }: Deletion): Buffer {
  return Buffer.from(`${JSON.stringify({ version: 1, from, to })}\n`);
}

/** @returns undefined for what is no record of a version that this release knows: it may then take any digest */
export function parseDeletion(bytes: Buffer): Deletion | undefined {
  const fields = fieldsOf(bytes) ?? {};
  const [from, to] = [fields['from'], fields['to']].map((text) => digestOrUndefined(String(text)));
  return fields['version'] === 1 && from !== undefined && to !== undefined ? { from, to } : undefined;
}
