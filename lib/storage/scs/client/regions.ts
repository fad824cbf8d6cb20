/** Hosts of SCS by region. Those that end in `-internal` are reached from Sohu's own network only. */
const hosts: Readonly<Record<string, string>> = Object.fromEntries(
  ['bjcnc', 'bjctc', 'shctc', 'gzctc'].flatMap((region) => [
    [region, `${region}.scs.sohucs.com`],
    [`${region}-internal`, `${region}.scs-in.sohucs.com`],
  ]),
);

/** Every region's name, the internal ones after the others. */
export const regions: readonly string[] = Object.keys(hosts).sort(
  (a, b) => Number(a.endsWith('-internal')) - Number(b.endsWith('-internal')),
);

/** The host of a region, or undefined when there is no such region. */
export function regionHost(region: string): string | undefined {
  return Object.hasOwn(hosts, region) ? hosts[region] : undefined;
}
