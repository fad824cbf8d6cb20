/**
 * Which manifests a client takes, from its `Accept` (RFC 9110, section 12.5.1). Weights count only where they are 0: there is
 * but one form of each manifest.
 */
export class Accept {
  readonly #types: readonly string[];
  readonly #refused: readonly string[];

  /** @param header with its lines joined by commas; '' when there is none */
  constructor(header: string) {
    const ranges = header.split(',').map((range) => {
      const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
      return { type, refused: parameters.some((parameter) => /^q=0(?:\.0{0,3})?$/.test(parameter)) };
    });
    this.#types = ranges.filter(({ type, refused }) => type !== '' && !refused).map(({ type }) => type);
    this.#refused = ranges.filter(({ refused }) => refused).map(({ type }) => type);
  }

  /** Whether it names a type, or takes any. What says nothing takes any. */
  takes(mediaType: string): boolean {
    if (this.#refused.includes(mediaType)) return false;
    return (
      this.#types.length === 0 ||
      [mediaType, 'application/*', '*/*'].some((type) => this.#types.includes(type))
    );
  }

  /** Whether it names just this type. */
  names(mediaType: string): boolean {
    return this.#types.includes(mediaType);
  }
}

/** That of a client which says nothing. */
export const anything = new Accept('');
