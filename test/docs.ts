/*
 * What the check of the documentation reads in a page of Markdown.
 */

/** A page with its blocks of code, and what is in backticks, blanked out: as long as before, with the same lines. */
export function withoutCode(page: string): string {
  const blank = (code: string) => code.replace(/[^\n]/g, ' ');
  return page.replace(/^```.*?^```$/gms, blank).replace(/`[^`\n]+`/g, blank);
}

/** The targets of a page's links within the repository, such as `docs/s3.md#pulls`. */
export function linksIn(page: string): string[] {
  const targets = [...withoutCode(page).matchAll(/\]\(\s*([^)\s]+)\s*\)/g)].map(([, target = '']) => target);
  return targets.filter((target) => !/^[a-z]+:/.test(target));
}

/** The anchors of a page's headings, as GitHub makes them. */
export function anchorsOf(page: string): string[] {
  const times = new Map<string, number>();
  const headings = page.replace(/^```.*?^```$/gms, '').matchAll(/^#{1,6} +(.+?) *$/gm);
  return [...headings].map(([, text = '']) => {
    const anchor = text
      .toLowerCase()
      .replace(/[^\p{L}\p{N}_ -]/gu, '')
      .replaceAll(' ', '-');
    const before = times.get(anchor) ?? 0;
    times.set(anchor, before + 1);
    return before === 0 ? anchor : `${anchor}-${before}`;
  });
}

/** The names of settings in a text, each once; one that ends with an underscore is the beginning of several. */
export function settingsIn(text: string): string[] {
  const names = [...text.matchAll(/\b(?:REGISTRY_[A-Z0-9][A-Z0-9_]*|SEARCH_BACKEND[A-Z0-9_]*)/g)];
  return [...new Set(names.map(([name]) => name))];
}
