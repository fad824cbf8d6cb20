import { RegistryError } from '../protocol/errors.ts';
import { TagImmutable } from '../registry/interface.ts';
import { QuotaExceeded } from '../registry/quotas/quota.ts';
import type { Route } from '../protocol/routes.ts';
import { requestScope } from '../request-scope.ts';
import { AccessRefused, type Admission, type Refusal } from './authorization.ts';
import type { Exchange } from './exchange.ts';
import { requestTarget } from './request-target.ts';
import type { Services } from './services.ts';

/** Callers that have not logged in. */
export const anonymous = 'anonymous';

const refusals: ReadonlySet<string> = new Set(['UNAUTHORIZED', 'DENIED', 'TOO_MANY_REQUESTS']);

/** How a data plane refuses an upload without a valid signature. */
const signatureRefusals: ReadonlySet<string> = new Set([
  'BLOB_UPLOAD_UNKNOWN',
  'BLOB_UPLOAD_INVALID',
  'UPLOAD_STATE_FOREIGN',
]);

/** Whether a method changes something. */
function isWrite(method: string): boolean {
  return method !== 'GET' && method !== 'HEAD' && method !== 'OPTIONS';
}

/**
 * Handles a request. Logs one line for each granted or denied write: actor, method, path, rule and address. A write that fails
 * for another reason counts as granted.
 * @param work handles the request, and passes the admission to its argument
 */
export async function audited(
  audit: Services['audit'],
  { ctx, route }: { readonly ctx: Exchange; readonly route: Route },
  work: (admitted: (admission: Admission) => void) => Promise<void>,
): Promise<void> {
  let admission: Admission | undefined;
  let denial: RegistryError | undefined;
  try {
    await work((given) => {
      admission = given;
    });
  } catch (error) {
    if (error instanceof RegistryError && isDenial(error, admission)) denial = error;
    throw error;
  } finally {
    const isAudited = route.group !== 'token' && isWrite(ctx.method);
    if (audit !== undefined && isAudited && (admission?.isControlled === true || denial !== undefined)) {
      const { actor, rule } = refusalOf(denial, admission);
      audit.info(
        {
          actor: actor ?? anonymous,
          method: ctx.method,
          path: requestTarget(ctx.req).path,
          ...('name' in route && { repository: route.name }),
          rule,
          address: requestScope()?.client.address,
        },
        denial === undefined ? 'granted' : 'denied',
      );
    }
  }
}

function isDenial({ failure }: RegistryError, admission: Admission | undefined): boolean {
  return refusals.has(failure) || (admission === undefined && signatureRefusals.has(failure));
}

/** Actor and rule: those of the denial, or else those that granted the request. */
function refusalOf(denial: RegistryError | undefined, admission: Admission | undefined): Refusal {
  if (denial instanceof AccessRefused) return denial.refusal;
  const isOfContent = denial instanceof TagImmutable || denial instanceof QuotaExceeded;
  const rule = isOfContent ? denial.rule : admission?.rule;
  return { actor: admission?.caller.actor, rule };
}
