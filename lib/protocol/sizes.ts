/** Bytes, for people: `1.2 MB`. */
export function size(bytes: number): string {
  const names = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  let [value, unit] = [bytes, 0];
  for (; value >= 1000 && unit < names.length - 1; unit++) value /= 1000;
  return `${unit === 0 ? value : value.toFixed(1)} ${names[unit] ?? ''}`;
}
