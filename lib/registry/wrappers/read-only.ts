import { RegistryError } from '../../protocol/errors.ts';
import { methodRoles, type Part, type Refusal, type Registry } from '../interface.ts';
import { wrap, type Methods } from './wrap.ts';

/** A registry that refuses all changes. @param message for clients */
export function readOnly(registry: Registry, message = 'this registry is read-only'): Registry {
  return refuse(registry, { allowed: ['read', 'list'], message });
}

/** A registry that refuses deletes. */
export function withoutDeletes(registry: Registry): Registry {
  const allowed = ['read', 'list', 'write', 'repair'] as const;
  return refuse(registry, { allowed, message: 'deleting is disabled in this registry' });
}

function refuse(registry: Registry, refusal: Refusal): Registry {
  const refused = async () => await Promise.reject(new RegistryError('UNSUPPORTED', refusal.message));
  const parts = (Object.keys(methodRoles) as Part[]).map((part) => {
    const names = Object.entries(methodRoles[part])
      .filter(([, role]) => !refusal.allowed.includes(role))
      .map(([name]) => name);
    return [part, () => Object.fromEntries(names.map((name) => [name, refused]))];
  });
  return wrap(registry, Object.fromEntries(parts) as Methods, refusal);
}
