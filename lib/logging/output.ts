import { pino, type DestinationStream } from 'pino';
import type { LogConfig } from '../config/log.ts';
import { escapeControls } from './control-characters.ts';
import { textLine } from './text-line.ts';

/** Turns a line of JSON into what is written. */
export function formatOf(formatter: LogConfig['formatter']): (json: string) => string {
  return formatter === 'json' ? escapeControls : textLine;
}

/**
 * Standard output, which Lambda and containers collect. Synchronous, since a function is frozen after its response and would lose
 * buffered lines. Drops lines that cannot be written, so that a full disk below the log does not end the process.
 */
export const standardOutput: DestinationStream = {
  write: (line) => {
    destination ??= open();
    destination.write(line);
  },
};

let destination: DestinationStream | undefined;

function open(): DestinationStream {
  return pino.destination({ dest: 1, sync: true }).on('error', () => {
    destination = undefined;
  });
}
