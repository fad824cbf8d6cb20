import { repositoryPath, type Context } from './check.ts';
import { shown, SmokeFailure } from './failure.ts';

/** Removes the manifests of this run. @returns what stays, as sentences */
export async function removeImages(context: Context): Promise<string[]> {
  const left: string[] = [];
  const scope = `repository:${context.repository}:pull,push,delete`;
  for (const [tag, digest] of context.pushed) {
    const reply = await context.session
      .ask(scope, repositoryPath(context, `manifests/${digest}`), { method: 'DELETE' })
      .catch((error: unknown) => {
        if (error instanceof SmokeFailure) return undefined;
        throw error;
      });
    // 404: its push had no answer, and did not come to pass.
    if (reply?.status === 202 || reply?.status === 404) context.pushed.delete(tag);
    else
      left.push(
        `the tag ${context.repository}:${tag}, which could not be removed (${reply === undefined ? 'no answer' : shown(reply)})`,
      );
  }
  return left;
}

/** @returns what no client can remove, as a sentence, if anything was pushed */
export function stayingBlobs(
  { repository }: Context,
  checks: readonly { readonly name: string; readonly status: string }[],
): string[] {
  const isPushed = checks.some(({ name, status }) => name.startsWith('push-') && status === 'passed');
  return isPushed
    ? [`layers in ${repository}, which are the same in each run, so that further runs add none`]
    : [];
}
