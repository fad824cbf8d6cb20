/** An undo cannot be done, and nothing was changed. The message names the cause and a remedy, for operators. */
export class UndoRefused extends Error {
  override readonly name = 'UndoRefused';
}
