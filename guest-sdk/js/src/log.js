import { write } from '#host/log';

/** What is logged, as one text: as `console.log` shows it, but on one line. */
function text(parts) {
  const shown = (part) => {
    if (typeof part === 'string') return part;
    if (part instanceof Error) return `${part.name}: ${part.message}`;
    if (typeof part === 'object' && part !== null) {
      try {
        return JSON.stringify(part);
      } catch {
        return String(part);
      }
    }
    return typeof part === 'bigint' ? `${part}n` : String(part);
  };
  return parts.map(shown).join(' ');
}

export const debug = (...parts) => write('debug', text(parts));
export const info = (...parts) => write('info', text(parts));
export const warn = (...parts) => write('warn', text(parts));
export const error = (...parts) => write('error', text(parts));
