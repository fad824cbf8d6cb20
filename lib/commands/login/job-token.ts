import { readFile } from 'node:fs/promises';
import { ask, isSafe } from './request.ts';

/** Characters of a token. */
const maxLength = 16 * 1024;

export interface JobTokenOptions {
  /** Has the token. */
  readonly file: string | undefined;
  /** For whom GitHub is to make it. */
  readonly audience: string;
}

/**
 * The OIDC token of the CI job that this command runs in.
 * @throws Error that says what is missing
 */
export async function readJobToken(
  { file, audience }: JobTokenOptions,
  env: NodeJS.ProcessEnv = process.env,
): Promise<string> {
  if (file !== undefined) return asToken(await readFile(file, 'utf8'), `the file ${file}`);
  const given = env['STOWAGE_ID_TOKEN'];
  if (given !== undefined && given !== '') return asToken(given, 'STOWAGE_ID_TOKEN');
  const { ACTIONS_ID_TOKEN_REQUEST_URL: url, ACTIONS_ID_TOKEN_REQUEST_TOKEN: secret } = env;
  if (url !== undefined && secret !== undefined) return await askGitHub(url, secret, audience);
  throw new Error(
    env['GITHUB_ACTIONS'] === 'true'
      ? 'this job may not get a token; give it permissions: id-token: write'
      : 'there is no token of a CI job; name a file by --token-file, or set STOWAGE_ID_TOKEN as id_tokens of GitLab CI does',
  );
}

async function askGitHub(requestUrl: string, secret: string, audience: string): Promise<string> {
  if (!isSafe(requestUrl)) throw new Error('ACTIONS_ID_TOKEN_REQUEST_URL is no https URL');
  const url = new URL(requestUrl);
  url.searchParams.set('audience', audience);
  const { status, body } = await ask('GitHub Actions', url.href, {
    headers: { authorization: `Bearer ${secret}`, accept: 'application/json' },
  });
  if (status !== 200) throw new Error(`GitHub Actions made no token: its status is ${status}`);
  return asToken(String(body['value']), 'the response of GitHub Actions');
}

/** Sends nothing else by mistake, such as another secret in another file. */
function asToken(text: string, where: string): string {
  const token = text.trim();
  if (token.length > maxLength || !/^[\w-]+\.[\w-]+\.[\w-]+$/.test(token))
    throw new Error(`${where} has no OIDC token, which is a JWT`);
  return token;
}
