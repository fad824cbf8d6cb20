/** As the registry before this one made it. One that is there is used as it is. */
export const definition = `CREATE TABLE IF NOT EXISTS \`repositories\` (
  \`name\` VARCHAR(1024) NOT NULL,
  \`createTime\` BIGINT(20) NOT NULL DEFAULT '0',
  PRIMARY KEY (\`name\`)
) COLLATE='utf8_general_ci' ENGINE=InnoDB`;

/**
 * Rows that are no names: of a table that was begun by recording names, until a reindex has made it whole, and of one that
 * is whole and has none, as a table without rows is not whole.
 */
export const notWhole = '# not whole: npm run reindex';
export const empty = '# empty';
// Others cannot be read back for certain, and so not gone on from.
const isAscii = 'CHAR_LENGTH(name) = LENGTH(CONVERT(name USING utf8mb4))';
const isName = `name NOT LIKE '#%' AND ${isAscii}`;
const isMarked = 'EXISTS (SELECT 1 FROM repositories WHERE name = ?)';

/** What a table has, and in which order: no row of a table that has none. Value: {@link notWhole}. */
export const stateStatement = `SELECT COLLATION(name) AS collation, ${isMarked} AS marked FROM repositories LIMIT 1`;

/**
 * Waits for who is emptying the table, and keeps others from it until the end of the transaction.
 * @param lock several may share it, but for who changes this row itself
 */
export const holdStatement = (lock: 'LOCK IN SHARE MODE' | 'FOR UPDATE') =>
  `SELECT name, COLLATION(name) AS collation FROM repositories ORDER BY name LIMIT 1 ${lock}`;

/** Value: {@link notWhole}. */
export const markStatement = `INSERT INTO repositories (name, createTime) VALUES (?, 0)
  ON DUPLICATE KEY UPDATE name = VALUES(name)`;

/** What a table can be that holds names: with a key of just the name, all of it, and with transactions. No row for a view. */
export const soundStatement = `SELECT e.transactions AS transactions, (
    SELECT COUNT(*) FROM (
      SELECT index_name FROM information_schema.statistics
      WHERE table_schema = DATABASE() AND table_name = 'repositories' AND non_unique = 0
      GROUP BY index_name
      HAVING COUNT(*) = 1 AND MAX(column_name) = 'name' AND MAX(sub_part) IS NULL
    ) AS k
  ) AS unique_keys
  FROM information_schema.tables AS t JOIN information_schema.engines AS e ON e.engine = t.engine
  WHERE t.table_schema = DATABASE() AND t.table_name = 'repositories'`;

const rangeIn = (count: number) => repeated(count, '(name >= ? AND name < ?)', ' OR ');

/**
 * Names in the order of the key, from the key alone. Each row tells that order, and whether the table is whole.
 * Values: {@link notWhole}, the name above which to begin, the two of each range, the limit.
 * @param count of ranges
 */
export const pageStatement = (count: number) =>
  `SELECT name, COLLATION(name) AS collation, ${isMarked} AS marked FROM repositories
  WHERE name > ? AND (${rangeIn(count)}) AND ${isAscii} ORDER BY name LIMIT ?`;

// A table may be in any character set, such as UCS-2, whose bytes are others.
const bytes = 'CAST(CONVERT(name USING utf8mb4) AS BINARY)';

/** Names in byte order, whatever that of the key, for which all of it is read. Values: {@link notWhole}, the name above which to begin, the limit. */
export const scanStatement = `SELECT name, COLLATION(name) AS collation, ${isMarked} AS marked FROM repositories
  WHERE ${bytes} > CAST(? AS BINARY) AND ${isAscii} ORDER BY ${bytes} LIMIT ?`;

const position = `LOCATE(CAST(? AS BINARY), ${bytes})`;

/** Value: the term. */
export const countStatement = `SELECT COUNT(*) AS total FROM repositories WHERE ${position} > 0 AND ${isName}`;

/** Values: the term three times, the limit, the offset. */
export const searchStatement = `SELECT name FROM repositories WHERE ${position} > 0 AND ${isName}
  ORDER BY ${bytes} = CAST(? AS BINARY) DESC, ${position} = 1 DESC, ${bytes}
  LIMIT ? OFFSET ?`;

/** A name in other letters than it should have is put right. Value: the name. */
export const recordStatement = `INSERT INTO repositories (name, createTime) VALUES (?, UNIX_TIMESTAMP())
  ON DUPLICATE KEY UPDATE name = VALUES(name), createTime = VALUES(createTime)`;

export const clockStatement = 'SELECT UNIX_TIMESTAMP() AS now';
export const rowsStatement = `SELECT name, createTime FROM repositories WHERE ${isName}`;
export const totalStatement = `SELECT COUNT(*) AS total FROM repositories WHERE ${isName}`;

/** Those of the names that are there. Values: the names. */
export const storedStatement = (count: number) =>
  `SELECT name FROM repositories WHERE name IN (${repeated(count, '?', ', ')})`;

/** Values: the names. */
export const insertStatement = (count: number) =>
  `INSERT INTO repositories (name, createTime) VALUES ${repeated(count, '(?, UNIX_TIMESTAMP())', ', ')}
  ON DUPLICATE KEY UPDATE name = VALUES(name)`;

/** Locks those that are not younger. Values: the names, and a time in seconds. */
export const lockStatement = (count: number) =>
  `SELECT name FROM repositories WHERE name IN (${repeated(count, '?', ', ')}) AND createTime < ? FOR UPDATE`;

/** Values: the names. */
export const deleteStatement = (count: number) =>
  `DELETE FROM repositories WHERE name IN (${repeated(count, '?', ', ')})`;

function repeated(count: number, one: string, between: string): string {
  return Array.from({ length: count }, () => one).join(between);
}
