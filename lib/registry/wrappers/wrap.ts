import { RegistryError } from '../../protocol/errors.ts';
import { methodRoles, type Part, type Registry } from '../interface.ts';

/**
 * Methods that a wrapper replaces, made from those of the part that it wraps. A part is made when it is first used: wrappers are
 * made for each request, and most requests use one part or none.
 */
export type Methods = { readonly [P in Part]?: (inner: Registry[P]) => Partial<Registry[P]> };

/** A registry with some methods replaced. It refuses every method that is not in {@link methodRoles}. */
export function wrap(registry: Registry, own: Methods, refusal = registry.refusal): Registry {
  return new WrappedRegistry(registry, own, refusal);
}

class WrappedRegistry implements Registry {
  readonly refusal: Registry['refusal'];
  readonly #inner: Registry;
  readonly #own: Methods;
  readonly #parts: { [P in Part]?: Registry[P] } = {};

  constructor(inner: Registry, own: Methods, refusal: Registry['refusal']) {
    this.#inner = inner;
    this.#own = own;
    this.refusal = refusal;
  }

  get blobs(): Registry['blobs'] {
    return (this.#parts.blobs ??= this.#wrap('blobs'));
  }

  get manifests(): Registry['manifests'] {
    return (this.#parts.manifests ??= this.#wrap('manifests'));
  }

  get uploads(): Registry['uploads'] {
    return (this.#parts.uploads ??= this.#wrap('uploads'));
  }

  get tags(): Registry['tags'] {
    return (this.#parts.tags ??= this.#wrap('tags'));
  }

  get referrers(): Registry['referrers'] {
    return (this.#parts.referrers ??= this.#wrap('referrers'));
  }

  get catalog(): Registry['catalog'] {
    return (this.#parts.catalog ??= this.#wrap('catalog'));
  }

  #wrap<P extends Part>(part: P): Registry[P] {
    const inner = this.#inner[part];
    return wrapPart(part, inner, this.#own[part]?.(inner) ?? {}) as unknown as Registry[P];
  }
}

type Method = (...parameters: readonly unknown[]) => unknown;
type AnyPart = Readonly<Record<string, Method | undefined>>;

function wrapPart(part: Part, inner: object, own: object): AnyPart {
  const names = Object.keys(methodRoles[part]);
  const method = (name: string): Method =>
    (own as AnyPart)[name] ?? ((...parameters) => (inner as AnyPart)[name]?.(...parameters));
  return new Proxy<AnyPart>(Object.fromEntries(names.map((name) => [name, method(name)])), {
    get: (methods, name: string) => methods[name] ?? ((inner as AnyPart)[name] && refused),
  });
}

const refused: Method = async () => await Promise.reject(new RegistryError('UNSUPPORTED'));
