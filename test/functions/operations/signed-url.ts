/** Whether a URL is one of the bucket's that carries its own right, as S3 or SCS sign it. */
export function isSigned(url: string): boolean {
  return /[?&](X-Amz-)?Signature=/.test(url);
}
