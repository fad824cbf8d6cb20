/** As in the original registry. */
export const definition = `CREATE TABLE IF NOT EXISTS \`repositories\` (
  \`name\` VARCHAR(1024) NOT NULL,
  \`createTime\` BIGINT(20) NOT NULL DEFAULT '0',
  PRIMARY KEY (\`name\`)
) COLLATE='utf8_general_ci' ENGINE=InnoDB`;

// Compares as UTF-8 bytes in any collation and character set.
const text = 'CONVERT(name USING utf8mb4)';
const bytes = `CAST(${text} AS BINARY)`;
const position = `LOCATE(CAST(? AS BINARY), ${bytes})`;
// Whatever `isRepositoryName` refuses, but for the length. Without nested repetition, and in the syntax that MariaDB,
// MySQL 5.7 and MySQL 8 share.
const notAName = '[^-a-z0-9._/]|^[-._/]|[-._/]$|[/.][-._/]|_[-/.]|-[/._]|___|^$';
// Skips rows of the last release such as `# empty`, and rows of other programs.
const isMatch = `${position} > 0 AND CHAR_LENGTH(name) <= 255 AND ${text} COLLATE utf8mb4_bin NOT REGEXP '${notAName}'`;

/** In byte order, whatever the order of the key: reads the whole key once. Values: the exclusive start, the limit. */
export const pageStatement = `SELECT name FROM repositories
  WHERE ${bytes} > CAST(? AS BINARY) ORDER BY ${bytes} LIMIT ?`;

/** Value: the term. */
export const countStatement = `SELECT COUNT(*) AS total FROM repositories WHERE ${isMatch}`;

/** Values: the term three times, the limit, the offset. */
export const searchStatement = `SELECT name FROM repositories WHERE ${isMatch}
  ORDER BY ${bytes} = CAST(? AS BINARY) DESC, ${position} = 1 DESC, ${bytes}
  LIMIT ? OFFSET ?`;

/** Values: the names. */
export const recordStatement = (count = 1) =>
  `INSERT INTO repositories (name, createTime) VALUES ${repeated(count, '(?, UNIX_TIMESTAMP())')}
  ON DUPLICATE KEY UPDATE createTime = VALUES(createTime)`;

export const clockStatement = 'SELECT UNIX_TIMESTAMP() AS now';
export const rowsStatement = 'SELECT name, createTime FROM repositories';

/** Values: the names, and a time in seconds. Names pushed since then stay. */
export const deleteStatement = (count: number) =>
  `DELETE FROM repositories WHERE name IN (${repeated(count, '?')}) AND createTime < ?`;

/** Whether the table has transactions and unique keys on the whole name alone. No row for a view. */
export const tableStatement = `SELECT e.transactions AS transactions, (
    SELECT COUNT(*) FROM (
      SELECT index_name FROM information_schema.statistics
      WHERE table_schema = DATABASE() AND table_name = 'repositories' AND non_unique = 0
      GROUP BY index_name
      HAVING COUNT(*) = 1 AND MAX(column_name) = 'name' AND MAX(sub_part) IS NULL
    ) AS k
  ) AS unique_keys
  FROM information_schema.tables AS t JOIN information_schema.engines AS e ON e.engine = t.engine
  WHERE t.table_schema = DATABASE() AND t.table_name = 'repositories'`;

function repeated(count: number, one: string): string {
  return Array.from({ length: count }, () => one).join(', ');
}
