/**
 * The manifests a client accepts, from its `Accept` header (RFC 9110, section 12.5.1). Weights matter only if they are 0:
 * each manifest has one form only.
 */
export class Accept {
  /** Media types and ranges, and whether each is accepted. */
  readonly #ranges: ReadonlyMap<string, boolean>;

  /** @param header lines joined by commas; '' if there is none */
  constructor(header: string) {
    this.#ranges = new Map(
      header.split(',').flatMap((range): [string, boolean][] => {
        const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
        return type === '' ? [] : [[type, !parameters.some((one) => /^q=0(?:\.0{0,3})?$/.test(one))]];
      }),
    );
  }

  /** Whether the most specific matching range accepts a type. An empty header accepts all. */
  accepts(mediaType: string): boolean {
    if (this.#ranges.size === 0) return true;
    const [main = ''] = mediaType.split('/', 1);
    const range = [mediaType, `${main}/*`, '*/*'].find((one) => this.#ranges.has(one));
    return range !== undefined && this.#ranges.get(range) === true;
  }

  /** Whether the header accepts this exact type, not just a range with it. */
  names(mediaType: string): boolean {
    return this.#ranges.get(mediaType) === true;
  }
}

/** Headers that are kept, … */
const maxKept = 64;

/** … and characters of the longest. docker's has 400. */
const maxKeptLength = 1024;

/** By header. */
const kept = new Map<string, Accept>();

/** As the constructor does, but the same header is parsed once: a client sends one with each request. */
export function acceptOf(header: string): Accept {
  const known = kept.get(header);
  if (known !== undefined) return known;
  const accept = new Accept(header);
  if (header.length > maxKeptLength) return accept;
  if (kept.size >= maxKept) kept.clear();
  kept.set(header, accept);
  return accept;
}

/** Without an `Accept` header. */
export const anything = new Accept('');
