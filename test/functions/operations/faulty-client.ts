import assert from 'node:assert/strict';
import { Client, type Ask, type Reply } from '../client.ts';
import { isSigned } from './signed-url.ts';

/** The registry reported a failure with an error of the spec, or cut off a response. */
export class RegistryFailed extends Error {
  override readonly name = 'RegistryFailed';
}

/** A client of a registry whose storage fails now and then. */
export class FaultyClient extends Client {
  /** @throws RegistryFailed */
  override async send(ask: Ask): Promise<Reply> {
    const reply = await super.send(ask).catch((cause: unknown) => {
      throw new RegistryFailed('the connection was cut', { cause });
    });
    // SCS answers 501 to conditions, which is its own affair.
    if (reply.status < 500 || isSigned(ask.path)) return reply;
    assert.equal(reply.headers['content-type'], 'application/json', reply.body.toString());
    if (ask.method !== 'HEAD')
      assert.match(reply.body.toString(), /^\{"errors":\[\{"code":"[A-Z]+","message":"[^"]+"/);
    throw new RegistryFailed(`${ask.method} ${ask.path} answered ${reply.status}`);
  }
}
