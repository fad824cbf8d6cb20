import { RegistryError } from '../../protocol/errors.ts';
import { methodRoles, type Part, type Registry } from '../interface.ts';

/** Methods that a wrapper replaces. */
export type Methods = { readonly [P in Part]?: Partial<Registry[P]> };

/** A registry with some methods replaced. It refuses every method that is not in {@link methodRoles}. */
export function wrap(registry: Registry, own: Methods, refusal = registry.refusal): Registry {
  const parts = Object.keys(methodRoles) as Part[];
  const wrapped = parts.map((part) => [part, wrapPart(part, registry[part], own[part] ?? {})] as const);
  return { ...(Object.fromEntries(wrapped) as unknown as Registry), refusal };
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
