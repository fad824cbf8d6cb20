import { buffer } from 'node:stream/consumers';
import { withTimeout } from '../concurrency/with-timeout.ts';
import { digestParts, type Digest } from '../protocol/digests.ts';
import { RegistryError } from '../protocol/errors.ts';
import { readNeeds } from '../protocol/manifest-needs.ts';
import { maxConfigSize, platformOfConfig } from '../registry/manifests/config-platform.ts';
import { digestOf } from '../registry/uploads/content-hash.ts';
import { UpstreamError } from '../upstream/upstream.ts';
import type { Source } from './sources.ts';
import type { UpstreamRequests } from './upstream-requests.ts';

/** Milliseconds for one. */
const configTimeoutMs = 30_000;

/** Refuses images for platforms that are not wanted. */
export class Platforms {
  readonly #requests: UpstreamRequests;

  constructor(requests: UpstreamRequests) {
    this.#requests = requests;
  }

  /**
   * An index is always wanted, and what says no platform. The config of an image says its own, which costs a request to the upstream.
   * @throws RegistryError DENIED; UpstreamError
   */
  async assertWanted(source: Source, bytes: Buffer): Promise<void> {
    const { platforms } = source;
    if (platforms.length === 0) return;
    const { blobs, children } = readNeeds(bytes);
    const [config] = blobs;
    if (config === undefined || children.length > 0 || (config.size ?? 0) > maxConfigSize) return;
    const { os, architecture } = platformOfConfig(await this.#config(source, config.digest)) ?? {};
    if (os === undefined || os === '' || os === 'unknown') return;
    const isWanted = platforms.some((one) => one.os === os && one.architecture === architecture);
    if (!isWanted)
      throw new RegistryError(
        'DENIED',
        `images for ${os}/${architecture} are not pulled through this registry, only for ${platforms.map((one) => `${one.os}/${one.architecture}`).join(', ')}`,
      );
  }

  async #config(source: Source, digest: Digest): Promise<Buffer> {
    const bytes = await this.#requests.ask(source, `config ${digest}`, async ({ upstream, remote }) => {
      const { size, body } = await upstream.blob(remote, digest);
      try {
        if (size > maxConfigSize) return Buffer.alloc(0);
        return await withTimeout(buffer(body), configTimeoutMs, () => tooSlow(source));
      } finally {
        body.destroy();
      }
    });
    if (digestOf(bytes, digestParts(digest).algorithm) !== digest)
      throw new UpstreamError(
        'unavailable',
        `${source.upstream.host} sent other bytes than those of ${digest}`,
      );
    return bytes;
  }
}

function tooSlow({ upstream }: Source): UpstreamError {
  const message = `${upstream.host} has not given the config of an image within ${configTimeoutMs} ms`;
  return new UpstreamError('unavailable', message);
}
