import { methodRoles, type Part, type Registry } from '../interface.ts';

/** Methods that a wrapper replaces. */
export type Methods = { readonly [P in Part]?: Partial<Registry[P]> };

/**
 * A registry with some methods replaced. It has only the methods in {@link methodRoles}: a method without a role is not
 * passed on.
 */
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
  return Object.fromEntries(names.map((name) => [name, method(name)]));
}
