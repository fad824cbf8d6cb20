/** Milliseconds of each unit of Go's durations. */
const units: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
};

const piece = String.raw`(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)`;

/** Parses a duration as Go writes it, such as `10s`, `1m30s` or `0`. @returns milliseconds; undefined if it is none */
export function parseDuration(text: string): number | undefined {
  if (text === '0') return 0;
  if (!new RegExp(`^(?:${piece})+$`).test(text)) return undefined;
  const pieces = text.matchAll(new RegExp(piece, 'g'));
  return [...pieces].reduce((sum, [, number, unit = '']) => sum + Number(number) * (units[unit] ?? 0), 0);
}

/** A duration as Go writes it, to a tenth of a second: `1m30s`, `0.5s`. */
export function formatDuration(milliseconds: number): string {
  const tenths = Math.round(milliseconds / 100);
  const [hours, minutes, seconds] = [
    Math.floor(tenths / 36_000),
    Math.floor(tenths / 600) % 60,
    (tenths % 600) / 10,
  ];
  const text = [hours > 0 && `${hours}h`, minutes > 0 && `${minutes}m`, seconds > 0 && `${seconds}s`];
  return text.filter(Boolean).join('') || '0s';
}
