/** Whether an endpoint is AWS's own: none, or one for a region, for both IP versions or within a VPC. */
export function isAws(endpoint: string | undefined): boolean {
  return endpoint === undefined || /\.(amazonaws\.com(\.cn)?|api\.aws)$/.test(new URL(endpoint).hostname);
}
