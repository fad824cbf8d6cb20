import { digestOf, someName, withDigest, type Ask, type Client } from '../client.ts';
import type { Case, Expectation } from './case.ts';

export const first = Buffer.from('first,');
export const second = Buffer.from('second');
export const whole = Buffer.concat([first, second]);
export const digest = digestOf(whole);

export const created = (name: string, blob = digest): Expectation => ({
  status: 201,
  headers: {
    location: new RegExp(`/v2/${name}/blobs/${blob}$`),
    'docker-content-digest': blob,
    'content-length': '0',
  },
});

/** The upload continues at a Location of the repository with this range. */
export const goesOn = (status: number, name: string, range: string): Expectation => ({
  status,
  headers: {
    location: new RegExp(`/v2/${name}/blobs/uploads/.*_state=`),
    range,
    'docker-upload-uuid': /^[0-9a-f-]{36}$/,
  },
});

/** A case on an upload in progress. */
export function onUpload(
  title: string,
  act: (client: Client, name: string, location: string) => Promise<{ ask: Ask; expect: Expectation }>,
): Case {
  return {
    title,
    async act({ client }) {
      const name = someName();
      return await act(client, name, await client.startUpload(name));
    },
  };
}

export const put = (location: string, blob: string, body?: Uint8Array): Ask => ({
  method: 'PUT',
  path: withDigest(location, blob),
  ...(body === undefined ? {} : { body }),
});
