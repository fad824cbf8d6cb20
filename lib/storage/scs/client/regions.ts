/** Hosts of SCS by region. Those of `-internal` regions are reachable only from Sohu's own network. */
const hosts: Readonly<Record<string, string>> = Object.fromEntries(
  ['bjcnc', 'bjctc', 'shctc', 'gzctc'].flatMap((region) => [
    [region, `${region}.scs.sohucs.com`],
    [`${region}-internal`, `${region}.scs-in.sohucs.com`],
  ]),
);

/** All regions, the internal ones last. */
export const regions: readonly string[] = Object.keys(hosts).sort(
  (a, b) => Number(a.endsWith('-internal')) - Number(b.endsWith('-internal')),
);

/** The host of a region, or undefined if there is no such region. */
export function regionHost(region: string): string | undefined {
  return Object.hasOwn(hosts, region) ? hosts[region] : undefined;
}
