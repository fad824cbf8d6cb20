/**
 * Lines of a table whose columns are as wide as they need to be.
 * @param hasNumbers whether all columns but the first are aligned at their right
 */
export function tableLines(rows: readonly (readonly string[])[], hasNumbers = false): readonly string[] {
  const widths = (rows[0] ?? []).map((_, column) =>
    rows.reduce((width, row) => Math.max(width, row[column]?.length ?? 0), 0),
  );
  const pad = (cell: string, column: number) =>
    hasNumbers && column > 0 ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0);
  return rows.map((row) => row.map(pad).join('  ').trimEnd());
}
