/** Bytes, for people: `1.2 MB`. */
export function size(bytes: number): string {
  if (bytes < 1000) return `${bytes} ${bytes === 1 ? 'byte' : 'bytes'}`;
  const names = ['kB', 'MB', 'GB', 'TB'];
  let [value, unit] = [bytes / 1000, 0];
  for (; value >= 1000 && unit < names.length - 1; unit++) value /= 1000;
  return `${value.toFixed(1)} ${names[unit] ?? ''}`;
}
