const unitMs: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 24 * 3_600_000,
  w: 7 * 24 * 3_600_000,
};

/** Reads a duration of one unit such as `90s`, `2h`, `3d` or `1w`, in milliseconds; undefined if it is none. */
export function readDuration(text: string): number | undefined {
  const [, number, unit = ''] = /^(\d{1,6})([smhdw])$/.exec(text) ?? [];
  const milliseconds = Number(number) * (unitMs[unit] ?? Number.NaN);
  return Number.isNaN(milliseconds) ? undefined : milliseconds;
}

/** A duration as {@link readDuration} reads it, in the largest unit that needs no fraction: `36h`, `30d`. */
export function formatAge(milliseconds: number): string {
  const [unit = 's', ms = 1000] =
    Object.entries(unitMs).findLast(([name, one]) => name !== 'w' && milliseconds % one === 0) ?? [];
  return `${Math.round(milliseconds / ms)}${unit}`;
}
