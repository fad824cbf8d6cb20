/**
 * Which manifests a client takes, from its `Accept` (RFC 9110, section 12.5.1). Weights count only where they are 0: there is
 * but one form of each manifest.
 */
export class Accept {
  /** Types and ranges of types, and whether each is taken. */
  readonly #ranges: ReadonlyMap<string, boolean>;

  /** @param header with its lines joined by commas; '' when there is none */
  constructor(header: string) {
    this.#ranges = new Map(
      header.split(',').flatMap((range): [string, boolean][] => {
        const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
        return type === '' ? [] : [[type, !parameters.some((one) => /^q=0(?:\.0{0,3})?$/.test(one))]];
      }),
    );
  }

  /** Whether it takes a type: the most specific range that it has decides. What says nothing takes any. */
  accepts(mediaType: string): boolean {
    if (this.#ranges.size === 0) return true;
    const [main = ''] = mediaType.split('/', 1);
    const range = [mediaType, `${main}/*`, '*/*'].find((one) => this.#ranges.has(one));
    return range !== undefined && this.#ranges.get(range) === true;
  }

  /** Whether it names just this type. */
  names(mediaType: string): boolean {
    return this.#ranges.get(mediaType) === true;
  }
}

/** That of a client which says nothing. */
export const anything = new Accept('');
